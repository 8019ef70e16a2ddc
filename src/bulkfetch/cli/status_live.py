"""What `bulkfetch status` says of the run that is using the folder: what is under way, and its end.

The run writes nothing for it: what is under way shows by the files in staging, and the end by the
pace that the run noted when it began its list.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bulkfetch.cli.printer import Printer
from bulkfetch.disk import disk_errors
from bulkfetch.observe.eta import start_s
from bulkfetch.observe.messages import of_account
from bulkfetch.text import duration, jobs, size

if TYPE_CHECKING:
    from bulkfetch.journal import Holder, JournalReader
    from bulkfetch.journal.reader import OpenList
    from bulkfetch.pipeline.staged import StagedFile

# A body without a byte for so long is told to be one.
_IDLE_S = 5.0
_WORDS = {"part": "receiving", "zip": "received", "draft": "unpacking"}


def tell_run(printer: Printer, reader: JournalReader, holder: Holder, staging: Path) -> None:
    """Tell what the run that holds the folder has under way, and when its list can have started."""
    from bulkfetch.pipeline.staged import staged_files

    with disk_errors(staging):
        found = [file for file in staged_files(staging) if is_of_run(file, holder.since)]
    now = time.time()
    for file in found:
        _tell_file(printer, file, max(now - file.changed, 0.0))
    left = reader.open_list()
    if left is not None:
        _tell_list(printer, left, found)


def is_of_run(file: StagedFile, since: str | None) -> bool:
    """Return whether a file was written since a run took the lock; True where that is unknown."""
    return since is None or file.changed >= datetime.fromisoformat(since).timestamp()


def last_start_s(to_start: int, requests: int, period_s: float) -> tuple[float, float]:
    """Return when, in seconds from now, the last of `to_start` requests starts: at best, at worst.

    That is with all slots of the window free, and with all of them just used.
    """
    if to_start <= 0:
        return (0.0, 0.0)
    soonest = start_s(to_start - 1, requests, period_s)
    return (soonest, soonest + period_s)


def _tell_file(printer: Printer, file: StagedFile, idle_s: float) -> None:
    idle = f", no byte for {duration(idle_s)}" if file.kind == "part" and idle_s > _IDLE_S else ""
    whose = of_account(file.account)
    printer.result(
        f"  {_WORDS[file.kind]} job {file.job_id}{whose}: {size(file.bytes)}{idle}",
        {
            "type": "transfer",
            "id": file.job_id,
            "account": file.account,
            "state": _WORDS[file.kind],
            "bytes": file.bytes,
            "idle_s": round(idle_s, 1),
        },
    )


def _tell_list(printer: Printer, left: OpenList, found: Sequence[StagedFile]) -> None:
    receiving = Counter(file.account for file in found if file.kind == "part")
    soonest = latest = 0.0
    for account, count in left.to_fetch.items():
        pace = left.run.paces.get(account)
        if pace is not None:
            best, worst = last_start_s(count - receiving[account], pace.requests, pace.period_s)
            soonest, latest = max(soonest, best), max(latest, worst)
    to_fetch = sum(left.to_fetch.values())
    end = f"; the last one starts in {duration(soonest)} to {duration(latest)} if nothing delays it"
    printer.result(
        f"  of its list {jobs(to_fetch)} to fetch{end if latest else ''}",
        {
            "type": "list",
            "started": left.run.started.isoformat().replace("+00:00", "Z"),
            "to_fetch": to_fetch,
            "last_start_s": [round(soonest, 3), round(latest, 3)],
        },
    )
