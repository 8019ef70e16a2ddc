"""What moves in a run: a lane for each account that has something to fetch, finishers behind them.

Made when the list first shows a job that is not done. A run without one needs none of this, nor
the modules that come with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import anyio.abc

from bulkfetch.errors import AccountError, BulkfetchError, DiskFull
from bulkfetch.events import Emit, Event
from bulkfetch.journal import Entry, Journal
from bulkfetch.pipeline.deliveries import Deliveries, Delivery
from bulkfetch.pipeline.finish import Finisher, Finishing
from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.outcomes import Conclude
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.work import Ends, Line, Work


class Traffic:
    """The lanes and finishers of one run, in task groups of the run.

    `leftovers` are the keys of jobs with a body in staging from a dead run. `threads` unpack,
    `staging_bytes` may complete ZIPs hold in staging, and `lacking_room` says why the disk has no
    room for more.
    """

    def __init__(
        self,
        journal: Journal,
        places: Places,
        leftovers: frozenset[str],
        finishing: Finishing,
        *,
        threads: int,
        staging_bytes: int,
        lacking_room: Callable[[], DiskFull | None],
        open_line: Callable[[str], Awaitable[Line]],
        conclude: Conclude,
        emit: Emit,
    ) -> None:
        self._journal = journal
        self._places = places
        self._leftovers = leftovers
        self._open_line = open_line
        self._emit = emit
        self._lanes: dict[str, Lane] = {}
        self._refused: dict[str, AccountError] = {}
        self._room = StagingRoom(staging_bytes, lacking_room)
        self._deliveries = Deliveries()
        self._finisher = Finisher(journal, places, finishing, self._room, threads, conclude, emit)

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """The lanes by account."""
        return self._lanes

    @property
    def staged_bytes(self) -> int:
        """What complete ZIPs hold in staging."""
        return self._room.bytes

    def ended(self, account: str) -> AccountError | None:
        """Say why nothing more can be fetched for an account; None as long as something can."""
        lane = self._lanes.get(account)
        return lane.ended if lane else self._refused.get(account)

    def start(self, finishing: anyio.abc.TaskGroup) -> None:
        """Start the finishers. They end after `no_more`."""
        finishing.start_soon(self._finisher.run, self._deliveries)

    async def more(self, account: str, lanes: anyio.abc.TaskGroup) -> None:
        """Tell that the journal has got jobs for an account; the first starts its lane."""
        if account in self._refused:
            return
        if account not in self._lanes:
            try:
                line = await self._open_line(account)
            except AccountError as error:
                self._refused[account] = error
                data = {"code": error.code, "hint": error.hint}
                self._emit(Event("account_ended", error.message, account, data=data))
                return
            self._lanes[account] = self._lane(line)
            lanes.start_soon(self._lanes[account].run)
        self._lanes[account].more()

    def list_ended(self) -> None:
        """Tell that no more jobs will come: each lane ends with those it has."""
        for lane in self._lanes.values():
            lane.list_ended()

    def stop(self) -> None:
        """Start no more requests; what is in flight goes on."""
        for lane in self._lanes.values():
            lane.stop()

    def no_more(self) -> None:
        """Tell that all lanes have ended: the finishers end with what was delivered."""
        self._deliveries.no_more()

    def halt(self) -> None:
        """Have threads under way end soon: what they were unpacking is dropped."""
        self._finisher.halt()

    def close(self) -> None:
        """Let go of the streams, after all tasks have ended."""
        self._deliveries.close()

    def _lane(self, line: Line) -> Lane:
        async def take(limit: int) -> list[Work]:
            entries = await self._journal.take(line.account, limit)
            return [self._work(entry) for entry in entries]

        async def note(work: Work) -> None:
            await self._journal.attempted(work.entry, work.attempts)

        async def hand_over(work: Work) -> None:
            await self._deliveries.send(Delivery(lane, work, salvaged=work.zip_bytes is None))

        async def fail(work: Work, error: BulkfetchError) -> None:
            await self._finisher.fail(lane, work, error)

        ends = Ends(take, note, hand_over, fail)
        lane = Lane(line, ends, self._places, self._room, self._emit)
        return lane

    def _work(self, entry: Entry) -> Work:
        recorded = entry.state == "downloaded"
        staged = recorded or self._places.key(entry.job) in self._leftovers
        return Work(entry, staged=staged, recorded=recorded, attempts=entry.attempts)
