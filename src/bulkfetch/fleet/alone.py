"""Jobs and exports one at a time in a process of its own, which may die of one.

The parent writes what is to be done to its stdin, pickled, since it holds secrets; what came of
each, and the events of it, come pickled from its stdout, behind their length.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from typing import NamedTuple, Self

from bulkfetch.config.fleet import FleetSettings
from bulkfetch.config.regions import results_servers
from bulkfetch.errors import ConfigError
from bulkfetch.events import Emit, Event
from bulkfetch.fleet.exports import PendingExport
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.turn import Turn, TurnEnd
from bulkfetch.models import Failure, Job
from bulkfetch.ratelimit.postgres.database import OPEN_S, WindowDatabase

_LENGTH_BYTES = 8


class Order(NamedTuple):
    """A job or an export to be done in a turn of that generation."""

    generation: int
    item: Job | PendingExport


class AloneProcesses:
    """Processes that each do one job at a time, as many at once as there are processors.

    A context manager of each that has jobs done; when the last one leaves, the processes end.
    `places` has a place for each process: who has one may have a job done.
    """

    def __init__(self, fleet: FleetSettings) -> None:
        """Start none yet."""
        self._fleet = fleet
        self.places = asyncio.Semaphore(os.cpu_count() or 1)
        self._idle: list[_AloneProcess] = []
        self._users = 0

    async def __aenter__(self) -> Self:
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        while self._idle and not self._users:
            await self._idle.pop().aclose()

    async def do(self, order: Order, on_event: Emit) -> TurnEnd | int:
        """Do a job; return what came of it, or the signal that its process has died of.

        The caller has one of the `places`. `on_event` gets the job's events at the end, if the
        process lived. Raises RuntimeError where that ended in another way. If cancelled: the
        process is killed.
        """
        process = self._idle.pop() if self._idle else await _AloneProcess.start(self._fleet)
        end = await process.do(order, on_event)
        if isinstance(end, TurnEnd):
            self._idle.append(process)
        return end


class _AloneProcess:
    """One process; of one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._orders, self._answers = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, fleet: FleetSettings) -> Self:
        """Start one. If cancelled: it ends at once."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bulkfetch.fleet.alone"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent
        )
        started = cls(process)
        started._orders.write(pickle.dumps(fleet))
        return started

    async def do(self, order: Order, on_event: Emit) -> TurnEnd | int:
        """Do a job, as `AloneProcesses.do`."""
        try:
            self._orders.write(pickle.dumps(order))
            length = int.from_bytes(await self._answers.readexactly(_LENGTH_BYTES))
            answer = await self._answers.readexactly(length)
        except asyncio.IncompleteReadError:
            status = await self._process.wait()
            if status >= 0:
                raise RuntimeError(f"the process of {order.item} has ended") from None
            return -status
        except BaseException:
            self._process.kill()
            await self._process.wait()
            raise
        end: TurnEnd
        events: list[Event]
        end, events = pickle.loads(answer)
        for event in events:
            on_event(event)
        return end

    async def aclose(self) -> None:
        """Have it end, and wait for that. If cancelled: it is killed."""
        try:
            self._orders.close()
            await self._process.wait()
        except BaseException:
            self._process.kill()
            raise


async def _serve(fleet: FleetSettings) -> None:
    """Do one job after the other, until the parent closes stdin or is gone."""
    url, password = fleet.fleet.database, fleet.password
    try:
        servers = results_servers(fleet.settings.accounts)
        journal = await FleetJournal.open(url, password, servers, patience_s=OPEN_S)
    except ConfigError as error:
        await _next_order()
        _answer(TurnEnd(0, 0, error=Failure.of(error)), [])
        return
    windows = await WindowDatabase.open(url, password)
    recorder = OutcomeRecorder(journal, 0.0)
    try:
        while (order := await _next_order()) is not None:
            events: list[Event] = []
            account = order.item.account
            turn = Turn(
                fleet.of_account(account, fleet.fleet.staging),
                journal,
                recorder,
                windows,
                order.generation,
                fleet.fleet.turn_s,
                events.append,
                folder=fleet.folder_of(account),
            )
            _answer(await turn.run(order.item), events)
    finally:
        await recorder.aclose()
        await windows.aclose()
        await journal.aclose()


async def _next_order() -> Order | None:
    """Wait for the next job; None: there is none any more."""
    # In a thread, since slots come back meanwhile.
    try:
        order: Order = await asyncio.to_thread(pickle.load, sys.stdin.buffer)
    except EOFError:
        return None
    return order


def _answer(end: TurnEnd, events: list[Event]) -> None:
    answer = pickle.dumps((end, events))
    sys.stdout.buffer.write(len(answer).to_bytes(_LENGTH_BYTES) + answer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_serve(pickle.load(sys.stdin.buffer)))
