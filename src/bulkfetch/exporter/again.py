"""An export begins again in a fresh generation, where its chain of pages cannot go on."""

from __future__ import annotations

from dataclasses import replace

import anyio.to_thread

from bulkfetch.errors import ChainBroken
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain
from bulkfetch.exports.chain import Step
from bulkfetch.exports.publication import prepare
from bulkfetch.journal import Change, PageRow
from bulkfetch.models import Failure


async def take(work: ExportWork, page: PageRow, step: Step) -> None:
    """Write a step of a page, or have its export begin again if the step says so.

    If cancelled: done or not, never half.
    """
    if step.restart:
        await begin_again(work, page, step.restart)
    else:
        await work.write(step)


async def begin_again(work: ExportWork, page: PageRow, why: str) -> None:
    """Have an export begin in a fresh generation, unless it has too often.

    `page` is where it cannot go on, and why. If cancelled: begun or not, never half.
    """
    if work.is_replaced(page):
        return
    work.restarts += 1
    if work.restarts > chain.MOST_RESTARTS:
        failure = Failure.of(ChainBroken(f"it began again twice, and {why}"))
        await work.write(Step((chain.failed(page, failure),)))
        return
    old = work.generation
    made = sum(each.job_id is not None for each in work.pages.values())
    wasted = chain.CREATE_CREDITS * made
    fresh = replace(
        old, key=0, state="ACTIVE", wasted=old.wasted + wasted, folder=None, leaves=None
    )
    gone = [job for job in work.jobs() if job[1] not in work.handed]
    await work.begin(fresh, Change(generation=replace(old, state="ABANDONED"), forgotten=gone))
    text = f"{why}: it begins again at the first page; what it had is given up"
    work.tell("export_again", text, wasted=wasted)
    await anyio.to_thread.run_sync(prepare, work.folders, work.hidden)
