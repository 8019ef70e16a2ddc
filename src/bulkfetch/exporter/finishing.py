"""An export that is complete is described, published as one, and its cursor committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.from_thread
import anyio.to_thread

from bulkfetch.errors import AccountError, JobError
from bulkfetch.exporter.beginning import step_of
from bulkfetch.exporter.totals import report_of
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import manifest as files
from bulkfetch.exports.changes import Committed, committed_by, forgets_deletions
from bulkfetch.exports.columns import columns_of, drift, notices
from bulkfetch.exports.deleted import write_deleted
from bulkfetch.exports.header import read_header
from bulkfetch.exports.manifest import DELETED, DeletedFile, ExportPart, Manifest, PartFile
from bulkfetch.exports.publication import (
    choose_target,
    complete,
    discard,
    publish,
    require_parts,
)
from bulkfetch.exports.published import folder_in, is_url, place_of, target_of
from bulkfetch.exports.server_time import server_time, stamp
from bulkfetch.journal import PageRow
from bulkfetch.models import ExportReport, Format

if TYPE_CHECKING:
    from bulkfetch.control.responses import DeletedRecord, ModuleField


_BY_COST: Sequence[Format] = ("csv", "csv.gz", "parquet")


async def finish(work: ExportWork) -> ExportReport:
    """Publish an export whose pages are all at home, from wherever an earlier call was cut off.

    Tells of it and of its parts.

    Raises ExportLost where a part is gone; PublishConflict; RunError; what reading deletions
    raises. If cancelled: as after a kill, the next command goes on.
    """
    if work.generation.state == "ACTIVE":
        await _describe(work)
    generation = work.generation
    assert generation.folder is not None, "known before it is PUBLISHING"
    target = target_of(generation.folder)

    def check() -> None:
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run(work.require_turn)

    step = partial(publish, work.folders, work.hidden, work.destination, target, check)
    if not await anyio.to_thread.run_sync(step):
        work.tell("note", f"{files.LATEST} names a newer export already, and stays as it is")
    committed = replace(generation, state="COMMITTED")
    report = report_of(work, "done", generation=committed)
    await work.write_rows(
        committed,
        export=replace(work.row, committed=generation.leaves),
        end=report,
        forgotten=work.jobs(),
    )
    await anyio.to_thread.run_sync(discard, work.folders, work.hidden)
    work.tell("export_published", f"published, {report.manifest}")
    for part in report.parts:
        await work.context.report(part)
    return report


async def _describe(work: ExportWork) -> None:
    """Write what describes the parts beside them, and note where they are to be published."""
    now = work.context.now()
    generation, step, folders = work.generation, step_of(work.generation), work.folders
    folder = folders.staged(work.hidden)
    parts = [_part(page) for page in work.ordered]
    await anyio.to_thread.run_sync(require_parts, folders, work.hidden, parts)
    deleted = None
    if work.export.deleted:
        listed = _deleted(work, step.deleted_since)
        deleted = DeletedFile(DELETED, await write_deleted(listed, folder / DELETED))
    fields = await fields_of(work) if work.fields is None else work.fields
    headers: list[tuple[str, ...]] = []
    if work.export.file_type == "csv":
        paths = [folder / _plainest(part).file for part in parts]
        headers = await anyio.to_thread.run_sync(lambda: list(map(read_header, paths)))
    columns = columns_of(headers, {field.api_name: field.data_type for field in fields})
    before = None if work.row.committed is None else Committed.of_text(work.row.committed)
    drifted = drift(before.columns if before else columns, columns)
    said = notices(work.export.fields, columns, drifted)
    cursor_to = work.cursor_to
    if forgets_deletions(step, cursor_to):
        said.append("Deletions are missing, as this machine's clock is wrong; the next is full.")
    for notice in said:
        work.tell("note", notice)
    warnings = (*generation.warnings, *said)
    finished = now.astimezone(UTC).isoformat(timespec="seconds")
    published_in = generation.folder
    if published_in is None:
        wanted = f"{stamp(server_time(cursor_to) or now)}-{step.mode}"
        target = await anyio.to_thread.run_sync(choose_target, work.destination, work.name, wanted)
        published_in = folder_in(work.destination.reported(place_of(work.name, target)))
    manifest = Manifest(
        export=work.name,
        account=work.account,
        module=work.export.module,
        mode=step.mode,
        why=step.why,
        queries=[body["query"] for body in generation.queries],
        query_hash=generation.query_hash,
        cursor_from=step.cursor_from,
        cursor_to=cursor_to,
        overlap_s=work.export.overlap_s,
        started=generation.started,
        finished=finished,
        api_version=work.version,
        parts=parts,
        columns=columns,
        drift=drifted,
        credits_spent=work.spent,
        credits_wasted=generation.wasted,
        deleted=deleted,
        warnings=warnings,
        url=published_in if is_url(published_in) else None,
    )
    await anyio.to_thread.run_sync(complete, folders, work.hidden, manifest)
    leaves = committed_by(
        step,
        before,
        account=work.account,
        cursor_to=cursor_to,
        query_hash=generation.query_hash,
        columns=columns,
        folder=published_in,
        finished=finished,
    )
    await work.write_rows(
        replace(
            work.generation,
            state="PUBLISHING",
            folder=published_in,
            leaves=leaves.to_text(),
            spent=work.spent,
            warnings=warnings,
        )
    )


async def _deleted(work: ExportWork, since: datetime | None) -> AsyncIterator[DeletedRecord]:
    """Yield what was deleted since then; nothing where a full export has no need of it.

    The file is there all the same: who reads all of them finds one from the first night on.
    """
    if since is not None:
        async for record in work.control.deleted(work.export.module, since):
            yield record


async def fields_of(work: ExportWork) -> Sequence[ModuleField]:
    """Return the module's fields, none if they cannot be had."""
    try:
        return await work.control.fields(work.export.module) or ()
    except (JobError, AccountError):
        return ()


def _part(page: PageRow) -> ExportPart:
    assert page.job_id is not None, "of a page that was created"
    return ExportPart(
        tuple(
            PartFile(file.name, file.name.partition(".")[2], file.bytes, file.sha256)
            for file in page.files
        ),
        page.job_id,
        page.number,
        page.count,
        page.records,
        page.zip_bytes,
        page.created_time,
        page.chain,
    )


def _plainest(part: ExportPart) -> PartFile:
    """Return the file of a part in which its header is found most cheaply."""
    return min(part.files, key=lambda file: _BY_COST.index(file.format))
