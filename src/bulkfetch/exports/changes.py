"""What the next export of a name has to ask for: everything, or what changed. Pure.

The cursor is when the service accepted the first page of the export before, on its own clock. Rows
and deletions from the overlap before it come again, which readers expect; none is ever missed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from bulkfetch.config import Export
from bulkfetch.errors import ExportMisfit
from bulkfetch.exports.columns import ExportColumn
from bulkfetch.exports.server_time import server_time
from bulkfetch.text import duration

Mode = Literal["full", "changes"]

# Zoho lists a deletion for as long as the record is in the recycle bin.
DELETIONS_LISTED = timedelta(days=60)
# A full export is due a hundredth early: a nightly run must not miss its seventh night by a second.
_EARLY = 0.99


@dataclass(frozen=True, slots=True)
class Committed:
    """What the last committed export of a name left for the next one.

    `cursor_to` is None if the service sent no time that could be used. `last_full_at` is the cursor
    of the last full export. `deletions_listed` says whether all deletions since that one were
    listed. `folder` is the published one's name or URL, `finished` when it was committed.
    """

    account: str
    cursor_to: str | None
    query_hash: str
    last_full_at: str | None
    columns: tuple[ExportColumn, ...]
    folder: str
    finished: str
    deletions_listed: bool

    def to_text(self) -> str:
        """Return the text to store."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Return what was stored as text."""
        stored: dict[str, Any] = json.loads(text)
        columns = tuple(ExportColumn(*column) for column in stored.pop("columns"))
        return cls(columns=columns, **stored)


@dataclass(frozen=True, slots=True)
class SyncStep:
    """What one export asks for, and `why`, in words that follow the mode and a colon.

    `since` is the lower bound of Modified_Time, None in a full export. `deleted_since` is that of
    the deletions to list, None if none are to be listed. `cursor_from` is the cursor before.
    """

    mode: Mode
    why: str
    since: datetime | None = None
    deleted_since: datetime | None = None
    cursor_from: str | None = None

    def to_text(self) -> str:
        """Return the text to store."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Return what was stored as text."""
        stored: dict[str, Any] = json.loads(text)
        for name in ("since", "deleted_since"):
            stored[name] = server_time(stored[name])
        return cls(**stored)


def next_step(
    export: Export,
    committed: Committed | None,
    now: datetime,
    *,
    account: str,
    query_hash: str,
    full: bool = False,
    has_modified_time: bool | None = None,
) -> SyncStep:
    """Return what the next export asks for; `full` if all is requested, whatever the settings.

    `account` is who is asked, by its name in the settings.
    `now` is compared with days, never sent: if possible it is the Date of the service's last reply.
    `has_modified_time` is None if the module's fields are unknown.
    Raises ExportMisfit if changes cannot be told, because the module has no Modified_Time.
    """
    changes = export.sync == "changes"
    if has_modified_time is False and (changes or export.since is not None):
        raise ExportMisfit(
            f"{export.module} has no Modified_Time, by which changes are found",
            hint='Export it in full: sync = "full".',
            export=export.name,
        )
    if export.since is not None and not full:
        deleted_since = export.since if export.deleted else None
        return SyncStep("changes", "since the given time", export.since, deleted_since)
    ours = committed if committed and committed.account == account else None
    cursor = server_time(ours.cursor_to) if ours else None
    since = None if cursor is None else cursor - timedelta(seconds=export.overlap_s)
    listed = since is not None and now - since <= DELETIONS_LISTED
    deleted_since = since if export.deleted and changes and listed else None
    cursor_from = ours.cursor_to if ours else None
    if full:
        why: str | None = "as requested"
    elif not changes:
        why = 'sync is "full"'
    elif committed is None:
        why = "it is the first one"
    elif ours is None:
        why = "the one before was of another account"
    elif since is None:
        why = "the service sent no usable time with the one before"
    elif committed.query_hash != query_hash:
        why = "the query changed since the one before"
    elif export.deleted and not listed:
        why = f"deletions are listed for {DELETIONS_LISTED.days} days, the one before is older"
    elif export.deleted and not committed.deletions_listed:
        why = "the one before did not list deletions"
    else:
        why = _overdue(export.full_every_s, server_time(committed.last_full_at), now)
    if why is None:
        return SyncStep("changes", f"since {cursor_from}", since, deleted_since, cursor_from)
    return SyncStep("full", why, None, deleted_since, cursor_from)


def _overdue(every_s: float | None, last: datetime | None, now: datetime) -> str | None:
    if every_s is None or (last is not None and now - last < timedelta(seconds=every_s * _EARLY)):
        return None
    return f"one is due every {duration(every_s)}"


def committed_by(
    step: SyncStep,
    before: Committed | None,
    *,
    account: str,
    cursor_to: str | None,
    query_hash: str,
    columns: Sequence[ExportColumn],
    folder: str,
    finished: str,
) -> Committed:
    """Return what an export leaves that did `step` after `before`."""
    left = Committed(
        account=account,
        cursor_to=cursor_to,
        query_hash=query_hash,
        last_full_at=cursor_to,
        columns=tuple(columns),
        folder=folder,
        finished=finished,
        deletions_listed=True,
    )
    if step.mode == "full":
        return left
    return replace(
        left,
        last_full_at=before.last_full_at if before else None,
        deletions_listed=step.deleted_since is not None
        and (before is None or before.deletions_listed)
        and not forgets_deletions(step, cursor_to),
    )


def forgets_deletions(step: SyncStep, cursor_to: str | None) -> bool:
    """Return whether deletions are missing by the service's own clock, which the local one hid."""
    cursor, since = server_time(cursor_to), step.deleted_since
    return cursor is not None and since is not None and cursor - since > DELETIONS_LISTED


def blind_spots(export: Export) -> list[str]:
    """Return what an export of changes does not see, in sentences for the manifest's warnings."""
    found = []
    if export.criteria is not None or export.custom_view is not None:
        what = "criteria" if export.custom_view is None else "custom view"
        found.append(f"Records that left the {what} since the last full export are not told.")
    if joined := [name for name in export.fields or () if "." in name]:
        found.append(f"Changes of parents alone are not told: {', '.join(joined)}.")
    return found
