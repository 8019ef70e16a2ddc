"""What reached the server, as the server saw it: the truth that tests measure clients by."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.quota import worst_in as worst_of_stamps

ArrivalKind = zoho.Kind | Literal["foreign", "other"]

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(slots=True)
class Arrival:
    """One request, written down when it arrived and completed when it ended.

    `at_s` is the server's event loop's clock (CLOCK_MONOTONIC, or a test's virtual one), `boot_s`
    CLOCK_BOOTTIME; both compare across the processes of a machine. `counted`: it took one of the
    window's requests (a refused one did not). `attempt` counts from 1 for each account and job.
    `status` is None until answered, and for ever where no status line was sent. `sent_bytes` are
    of the body. `whole`: the last byte of the right result went into the client's socket. `ended`:
    the server is through with it.

    `module` is the one that was asked for, `page` and `page_token` what a create asked for or, once
    it is accepted, got; `job_id` of an accepted create is its job's, whether its answer arrived or
    not. `credits` is what the call cost.
    """

    number: int
    at_s: float
    boot_s: float
    kind: ArrivalKind
    account: str
    job_id: str | None = None
    attempt: int = 1
    method: str = "GET"
    counted: bool = False
    status: int | None = None
    fault: str | None = None
    sent_bytes: int = 0
    whole: bool = False
    ended: bool = False
    range: str | None = None
    module: str | None = None
    page: int | None = None
    page_token: str | None = None
    credits: int = 0


class Ledger:
    """All arrivals in order, kept in memory and, if asked for, in a file.

    The file has two lines for each request, `"event":"arrive"` and `"event":"end"`, each flushed
    when written: what is missing after a kill had no end. It ends where it cannot be written, for
    the reason in `failure`; requests are answered all the same.
    """

    def __init__(self, log_file: Path | None = None) -> None:
        self.arrivals: list[Arrival] = []
        self.failure: OSError | None = None
        self._attempts: dict[tuple[str, str, str | None], int] = {}
        self._file = None if log_file is None else log_file.open("a", encoding="utf-8")

    def arrive(
        self,
        kind: ArrivalKind,
        account: str,
        at_s: float,
        *,
        job_id: str | None = None,
        method: str = "GET",
        range_: str | None = None,
    ) -> Arrival:
        """Write a request down."""
        key = (kind, account, job_id)
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        arrival = Arrival(
            number=len(self.arrivals),
            at_s=at_s,
            boot_s=time.clock_gettime(_BOOT_CLOCK),
            kind=kind,
            account=account,
            job_id=job_id,
            attempt=attempt,
            method=method,
            range=range_,
        )
        self.arrivals.append(arrival)
        self._write("arrive", arrival)
        return arrival

    def end(self, arrival: Arrival) -> None:
        """Write down that the server is through with a request."""
        arrival.ended = True
        self._write("end", arrival)

    def close(self) -> None:
        """Close the file. What arrives later is kept in memory only."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:  # what is left in its buffer
                self.failure = self.failure or error

    def _write(self, event: str, arrival: Arrival) -> None:
        if self._file is not None:
            line = json.dumps({"event": event, "pid": os.getpid(), **asdict(arrival)}) + "\n"
            try:
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                self.failure = error
                self.close()


def read_log(path: Path) -> list[Arrival]:
    """Read a log file, also while the server goes on writing: each request in its latest state.

    Requests are in the order of their arrival; a file may hold those of several servers.
    """
    latest: dict[tuple[int, int], Arrival] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                fields = json.loads(line)
                del fields["event"]
                arrival = Arrival(**{key: value for key, value in fields.items() if key != "pid"})
                latest[fields["pid"], arrival.number] = arrival
    return sorted(latest.values(), key=lambda arrival: arrival.boot_s)


def worst_in(arrivals: Iterable[Arrival], period_s: float, account: str | None = None) -> int:
    """Return the most result requests of one account in any interval of `period_s` seconds.

    Every arrival counts, admitted or not. `account` None: the worst of all accounts.
    """
    stamps: dict[str, list[float]] = {}
    for arrival in arrivals:
        if arrival.kind == "result" and account in (None, arrival.account):
            stamps.setdefault(arrival.account, []).append(arrival.at_s)
    return max((worst_of_stamps(each, period_s) for each in stamps.values()), default=0)
