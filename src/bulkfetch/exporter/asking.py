"""An account's jobs are asked for until they are ready, each when it is due."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import anyio

from bulkfetch.errors import (
    AccountError,
    BulkfetchError,
    ControlPaused,
    CreditsSpent,
    JobError,
    ResourceNotFound,
    ScopeMismatch,
)
from bulkfetch.exporter.accounts import AccountState
from bulkfetch.exporter.again import take
from bulkfetch.exporter.work import ExportWork, Place
from bulkfetch.exports import chain
from bulkfetch.exports.chain import KEPT_S, Step
from bulkfetch.exports.polling import PollTimer, PreparationTimes, due, next_due_at
from bulkfetch.journal import PageRow
from bulkfetch.models import Failure


class _Key(NamedTuple):
    """A job that is asked for: the export's name, the page's place, and its id."""

    export: str
    place: Place
    job_id: str


class Asker:
    """Asks for the jobs of one account's exports that are being prepared.

    What is due after the deadline is not asked for. `chance` is random in 0 to 1.
    """

    def __init__(
        self,
        account: AccountState,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._account = account
        self._context = account.context
        self._chance = chance
        self._timers: dict[_Key, PollTimer] = {}

    def asks(self, work: ExportWork) -> bool:
        """Return whether any job of an export that is being prepared is still to be asked for."""
        account, context = self._account, self._context
        if context.stopping() or account.quiet_until > context.deadline:
            return False
        if account.ended is not None or account.unasking is not None:
            return False
        return any(map(self._is_worth_it, self._timers_of(work)))

    def asks_at(self, work: ExportWork) -> float | None:
        """Return when the next page of an export is due, whether it is asked for in this command
        or not, on the loop's clock; None where none is being prepared."""
        return min((timer.next_at for timer in self._timers_of(work)), default=None)

    @property
    def is_full(self) -> bool:
        """Whether no page can be created: too many are under way, and none of them will end."""
        account = self._account
        return account.is_full and not (account.leaving or any(map(self._moves, account.live)))

    def _moves(self, work: ExportWork) -> bool:
        states = {page.state for page in work.pages.values()}
        return bool(states & {"CREATING", "READY"}) or self.asks(work)

    async def run(self) -> None:
        """Ask until cancelled. Raises RunError."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._note_refusals)
            await self._ask_all()

    async def _note_refusals(self) -> None:
        """Have the control calls know of each 429 of a result: beside one of theirs it means that
        the credits are spent."""
        while True:
            if self._account.window_refused:
                self._account.window_refused = False
                for work in [work for work in self._account.live if work.can_ask]:
                    await work.control.window_refused()
            await self._context.changed()

    async def _ask_all(self) -> None:
        while True:
            self._refresh()
            now = anyio.current_time()
            ready = self._ready()
            askable = {k: t for k, t in self._timers.items() if self._is_worth_it(t)}
            if self._context.stopping() or self._account.ended or self._account.unasking:
                askable = {}
            found = due(askable, ready=ready, now=now)
            if found and now >= self._account.quiet_until:
                await self._ask(found[0])
                continue
            if (at := next_due_at(askable, ready=ready)) is None:
                await self._context.changed()
                continue
            with anyio.move_on_at(max(at, self._account.quiet_until)):
                await self._context.changed()

    def _is_worth_it(self, timer: PollTimer) -> bool:
        # Zoho keeps nothing for longer than a day, and nobody should wait for ever.
        at_most = min(self._context.deadline, timer.created_at + KEPT_S)
        return timer.next_at <= at_most

    def _ready(self) -> int:
        return sum(
            page.state == "READY" for work in self._account.live for page in work.pages.values()
        )

    def _timers_of(self, work: ExportWork) -> list[PollTimer]:
        self._refresh()
        return [timer for key, timer in self._timers.items() if key.export == work.name]

    def _refresh(self) -> None:
        """Have a timer for each job that is being prepared, and none for others."""
        wanted = {
            _Key(work.name, place, page.job_id or ""): (work, page)
            for work in self._account.live
            for place, page in work.pages.items()
            if page.state == "PREPARING" and work.refused is None
        }
        self._timers = {key: timer for key, timer in self._timers.items() if key in wanted}
        now = anyio.current_time()
        behind_s = self._context.wall() - now
        for key, (work, page) in wanted.items():
            if key not in self._timers:
                created_at = (page.created_at or self._context.wall()) - behind_s
                median_s = PreparationTimes(work.row.prepared_s).median_s
                # More pages follow a first one seldom, and a later one often.
                goes_on = page.number > 1
                self._timers[key] = PollTimer.start(
                    created_at, median_s, self._chance(), now=now, must_go_on=goes_on
                )

    async def _ask(self, key: _Key) -> None:
        work = next(each for each in self._account.works if each.name == key.export)
        page = work.pages[key.place]
        try:
            status = await work.control.status(key.job_id)
        except BulkfetchError as error:
            await self._after(work, page, key, error)
            return
        now = self._context.wall()
        if work.pages.get(key.place) != page:
            return  # it began again meanwhile
        work.tell("page_polled", f"is {status.state}", page, state=status.state)
        step = chain.answered(work.pages.values(), page, status, by_token=work.by_token, now=now)
        if not step.pages and not step.restart:
            self._later(work, key)
            return
        await self._apply(work, page, step)
        if status.state == "COMPLETED" and page.created_at is not None:
            await work.remember(now - page.created_at)

    async def _after(
        self, work: ExportWork, page: PageRow, key: _Key, error: BulkfetchError
    ) -> None:
        match error:
            case ResourceNotFound():
                await work.write(chain.expired(page, Failure.of(error)))
            case CreditsSpent():
                self._account.unasking = error
                self._account.quiet_until = anyio.current_time() + error.retry_after_s
                text = f"{error.code}: {error.message}; pages are not asked for any more"
                work.tell("exports_held", text)
                self._context.touch()
            case ControlPaused():
                self._account.quiet_until = anyio.current_time() + error.retry_after_s
                self._context.touch()
            case ScopeMismatch():
                work.refuse(error)
            case AccountError():
                self._account.end(error)
            case JobError() if error.retryable:
                self._later(work, key)
            case JobError():
                await work.write(Step((chain.failed(page, Failure.of(error)),)))
            case _:
                raise error

    async def _apply(self, work: ExportWork, page: PageRow, step: Step) -> None:
        if step.restart or step.pages[0].state != "READY":
            await take(work, page, step)
            return
        ready = step.pages[0]
        count, warnings = f", {ready.count} records", list[str]()
        if ready.count is None:
            count, warnings = "", [f"page {page.number}: the service tells no number of records"]
        await work.write(step, warnings=warnings)
        work.tell("page_ready", f"prepared{count}", ready)

    def _later(self, work: ExportWork, key: _Key) -> None:
        if (timer := self._timers.get(key)) is not None:
            self._timers[key] = timer.asked(anyio.current_time(), self._chance())
            self._context.touch()  # it may have been the last time
