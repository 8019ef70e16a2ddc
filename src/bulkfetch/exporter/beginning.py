"""What an export does first: it goes on where it was left, or begins a new generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bulkfetch.config import Export
from bulkfetch.exporter.work import ExportWork, hidden_folder
from bulkfetch.exports.changes import Committed, SyncStep, blind_spots, next_step
from bulkfetch.exports.query import Range, create_body, query_hash
from bulkfetch.journal import Change, GenerationRow, StoredExport

if TYPE_CHECKING:
    from bulkfetch.control.responses import ModuleField

# What a split export's ranges of Created_Time divide evenly; the first is open to what is older,
# the last to what is newer.
SPLIT_OVER = timedelta(days=3652)


def goes_on(stored: StoredExport, export: Export, account: str, *, full: bool) -> bool:
    """Return whether a generation that was left is the one that the export would begin now."""
    generation = stored.generation
    if generation is None or generation.state not in ("ACTIVE", "PUBLISHING"):
        return False
    if full and step_of(generation).mode != "full":
        return False
    if generation.state == "PUBLISHING":  # all is at home, and described
        return True
    return generation.query_hash == query_hash(export) and generation.account == account


def publishes_first(stored: StoredExport | None, *, full: bool) -> bool:
    """Return whether changes are being published, after which all is to be exported as asked."""
    if not full or being_published(stored) is None:
        return False
    assert stored is not None, "something is being published"
    assert stored.generation is not None, "it is a generation"
    return step_of(stored.generation).mode != "full"


def done_earlier(stored: Mapping[str, StoredExport], *, full: bool) -> frozenset[str]:
    """Return the exports that an earlier call of the same command has committed.

    It was the same if it has left any of them undone. `full`: only those that it has done in full.
    """
    if not any(known.row.turn == "due" for known in stored.values()):
        return frozenset()
    return frozenset(
        name
        for name, known in stored.items()
        if known.row.turn == "done"
        and known.generation is not None
        and known.generation.state == "COMMITTED"
        and not (full and step_of(known.generation).mode != "full")
    )


def first_step(
    export: Export,
    account: str,
    stored: StoredExport | None,
    fields: Sequence[ModuleField] | None,
    *,
    full: bool,
    now: datetime,
) -> SyncStep:
    """Return what a new generation asks for. Raises ConfigError where changes cannot be told."""
    text = stored.row.committed if stored else None
    names = {field.api_name for field in fields or ()}
    return next_step(
        export,
        None if text is None else Committed.of_text(text),
        now,
        account=account,
        query_hash=query_hash(export),
        full=full,
        has_modified_time="Modified_Time" in names if names else None,
    )


def new_generation(work: ExportWork, step: SyncStep, now: datetime) -> GenerationRow:
    """Return a generation that asks for `step`; it is not written yet."""
    export = work.export
    bodies = [
        create_body(export, work.version, since=step.since, created=created)
        for created in created_ranges(export.split, now)
    ]
    return GenerationRow(
        key=0,
        export=work.row.key,
        account=work.account,
        state="ACTIVE",
        step=step.to_text(),
        queries=tuple(bodies),
        query_hash=query_hash(export),
        started=now.astimezone(UTC).isoformat(timespec="seconds"),
        warnings=tuple(blind_spots(export)) if step.mode == "changes" else (),
    )


def created_ranges(chains: int, now: datetime) -> list[Range | None]:
    """Return ranges of Created_Time that together hold everything; None for one chain."""
    if chains == 1:
        return [None]
    width = SPLIT_OVER / chains
    cuts = [now.astimezone(UTC) - SPLIT_OVER + width * place for place in range(1, chains)]
    return list(zip([None, *cuts], [*cuts, None], strict=True))


def giving_up(known: StoredExport | None) -> Change:
    """Return the change that gives up what an export was about, if it was about anything."""
    generation = None if known is None else known.generation
    if known is None or generation is None or generation.state not in ("ACTIVE", "PUBLISHING"):
        return Change()
    jobs = [(generation.account, page.job_id) for page in known.pages if page.job_id]
    return Change(generation=replace(generation, state="ABANDONED"), forgotten=jobs)


def step_of(generation: GenerationRow) -> SyncStep:
    """Return what a generation asks for."""
    return SyncStep.of_text(generation.step)


def being_published(stored: StoredExport | None) -> str | None:
    """Return the folder that an export is being published as, None where it is not.

    Also where its files have to be fetched again for it.
    """
    generation = None if stored is None else stored.generation
    if generation is None or generation.state not in ("ACTIVE", "PUBLISHING"):
        return None
    return generation.folder


def folders_to_keep(stored: StoredExport | None) -> list[str]:
    """Return the names of the hidden folders that an export still needs."""
    generation = None if stored is None else stored.generation
    return [] if generation is None else [hidden_folder(generation.key)]
