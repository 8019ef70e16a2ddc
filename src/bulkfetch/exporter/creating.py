"""An export's pages are created, one after the other."""

from __future__ import annotations

import anyio

from bulkfetch.errors import (
    AccountError,
    BulkfetchError,
    ConnectFailed,
    ControlPaused,
    CreateRefused,
    CreateUnknown,
    CreditsSpent,
    JobError,
    ScopeMismatch,
    TlsFailed,
    Unreachable,
)
from bulkfetch.exporter.accounts import AccountState
from bulkfetch.exporter.again import take
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain
from bulkfetch.exports.chain import CREATE_CREDITS, Step
from bulkfetch.journal import PageRow
from bulkfetch.models import Failure
from bulkfetch.text import duration

# What may pass is tried again after so long; Zoho creates no faster than it downloads.
TRY_AGAIN_S = 30.0
# So often in a row what may pass did not, and is taken for what it says.
MOST_FAILURES = 5


class Creator:
    """Creates the pages of one export, as its chains come to them."""

    def __init__(self, work: ExportWork, account: AccountState) -> None:
        self._work = work
        self._account = account
        self._context = work.context
        self._failures = 0

    async def run(self) -> None:
        """Create pages until the export has ended.

        Raises RunError. If cancelled: a page whose call was under way may have been accepted; the
        next command creates it again.
        """
        while self._work.report is None:
            page = self._next()
            if page is None:
                await self._context.changed()
                continue
            wait_s = self._account.pause_until - anyio.current_time()
            if wait_s > 0:
                with anyio.move_on_after(wait_s):
                    await self._context.changed()
                continue
            await self._create(page)

    def _next(self) -> PageRow | None:
        account = self._account
        if self._context.stopping() or account.ended or account.uncreating:
            return None
        if self._work.finishing or self._work.refused:
            return None
        if any(page.state == "FAILED" for page in self._work.pages.values()):
            return None
        page = chain.to_create(self._work.pages.values())
        return None if account.is_full else page

    async def _create(self, page: PageRow) -> None:
        work, again = self._work, page.state != "PLANNED"
        row = chain.creating(page)
        leaving = 1

        async def about_to_leave() -> None:
            # Before the call leaves: after a kill it is known that it may have been accepted.
            nonlocal leaving
            work.booked = CREATE_CREDITS
            await work.write(Step((row,)))
            self._account.leaving -= leaving
            leaving = 0

        self._account.leaving += leaving
        try:
            body = chain.body(work.generation.queries, row)
            reply = await work.control.create(body, before=about_to_leave)
        except BulkfetchError as error:
            work.booked = 0
            await self._after(row, error)
            return
        finally:
            self._account.leaving -= leaving
        work.booked = 0
        self._failures = 0
        made = chain.created(row, reply, self._context.wall())
        await work.write(Step((made,)))
        text = "created once more" if again else "created"
        work.tell("page_created", f"{text} as job {made.job_id}", made)

    async def _after(self, row: PageRow, error: BulkfetchError) -> None:
        """Take in that a create call has failed. Raises what ends the run."""
        work = self._work
        match error:
            case CreateUnknown():
                await take(work, row, chain.create_lost(row, error))
            case CreateRefused():
                await take(work, row, chain.create_refused(row, error))
            case ControlPaused():
                await self._not_accepted(row)
                self._pause(error)
            case ScopeMismatch():
                await self._not_accepted(row)
                self._work.refuse(error)
            case AccountError():
                await self._not_accepted(row)
                self._account.end(error)
            case JobError() if error.retryable and self._failures < MOST_FAILURES:
                self._failures += 1
                await self._not_accepted(row)
                self._account.pause_until = anyio.current_time() + TRY_AGAIN_S
            case ConnectFailed() | TlsFailed():
                await self._not_accepted(row)
                self._account.end(Unreachable(error.message))
            case JobError():
                await work.write(Step((chain.failed(row, Failure.of(error)),)))
            case _:
                raise error

    async def _not_accepted(self, row: PageRow) -> None:
        # The page as it is now: the call may have failed before it was noted that it leaves.
        page = self._work.pages.get((row.chain, row.number))
        if page is not None and page.state == "CREATING":
            await self._work.write(Step((chain.not_accepted(row),)))

    def _pause(self, error: ControlPaused) -> None:
        account, work = self._account, self._work
        goes_on_at = anyio.current_time() + error.retry_after_s
        if isinstance(error, CreditsSpent):
            first = account.uncreating is None
            account.uncreating, account.pause_until = error, goes_on_at
            text = f"{error.code}: {error.message}; no more pages are created, what is ready is"
            text += " still downloaded"
        else:
            first = account.pause_until < anyio.current_time()
            account.pause_until = goes_on_at
            text = f"{error.code}: {error.message}; no pages are created for "
            text += duration(error.retry_after_s)
        if first:
            work.tell("exports_held", text)
        # Others of the account look again.
        self._context.touch()
