"""One worker of a fleet: a process that serves turns until it is told to stop."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Literal, NamedTuple

import anyio.to_thread
import asyncpg

from bulkfetch.config.fleet import FleetSettings
from bulkfetch.config.regions import results_servers
from bulkfetch.errors import ConfigError, DiskFull, NotWritable, OutputLocked, RunError
from bulkfetch.events import Emit, ignore
from bulkfetch.fleet.alone import AloneProcesses
from bulkfetch.fleet.database import tables_required
from bulkfetch.fleet.engine import Claim, TurnEngine
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.poison import DEATHS, CarefulTurn
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.staging import no_room
from bulkfetch.fleet.stopping import unless_set
from bulkfetch.fleet.store_mark import require_shared
from bulkfetch.fleet.turn import AGAIN_S, Turn, TurnEnd, salvage
from bulkfetch.journal import OutputLock
from bulkfetch.models import Failure
from bulkfetch.pipeline.layout import STATE_DIR
from bulkfetch.ratelimit import WindowEvent, WindowState
from bulkfetch.ratelimit.postgres.database import OPEN_S, WindowDatabase
from bulkfetch.readiness import require_usable
from bulkfetch.text import jobs as counted

# What is asked of the windows within this part of the shortest period is one transaction: a tenth
# of a second of Zoho's minute. Outcomes may wait for twice as long.
GATHERED = 1 / 600
# After a stop: turns have eight seconds to drain, and the rest to get back into the queue.
STOP_S = 9.5
_BUG_HINT = "This is a bug in bulkfetch: please report it. The account is tried again in a minute."
# What is to be free beside the reserve where a turn lacked room: what a result may take.
_RESULT_BYTES = 256 * 2**20
# Accounts whose staging is looked through at a time, when a worker starts.
_SALVAGE_AT_ONCE = 8


class Notice(NamedTuple):
    """What a worker tells: `of` the account, None for the worker itself; `error` that is why."""

    text: str
    of: str | None = None
    error: Failure | None = None


class Standing(NamedTuple):
    """How a worker stands: turns under way, and those that have ended, by how (`TurnEnd.how`).

    `away_s` is for how long the database could not be used, 0 while it can; `held` how many
    accounts of the fleet were held when the database was last looked at, None if it never was.
    `no_room` is why nothing fits into the staging folder, "" where something does.
    """

    phase: Literal["starting", "working", "stopping"]
    turns: int
    ended: Mapping[str, int]
    held: int | None
    away_s: float
    away_because: str
    no_room: str = ""


class Worker:
    """Serves turns of the accounts of `fleet`; `name` is what the fleet calls it.

    Bound to the running loop. `tell` gets what people should know, `on_event` what happens to jobs.
    With `look_s` the database is looked at so often, so that `standing` holds while nothing is to
    be done too.
    """

    def __init__(
        self,
        fleet: FleetSettings,
        name: str,
        tell: Callable[[Notice], None],
        on_event: Emit = ignore,
        look_s: float | None = None,
    ) -> None:
        """Start nothing yet."""
        self._fleet = fleet
        self._name = name
        self._tell = tell
        self._on_event = on_event
        self._look_s = look_s
        self._serving = False
        self._ended: Counter[str] = Counter()
        self._held: int | None = None
        self._no_room: Failure | None = None
        self._room_at = -math.inf  # when to look for room again, on the loop's clock
        self._known = fleet.settings.account_names
        self._turns: set[Turn | CarefulTurn] = set()
        self._left_alone: set[str] = set()
        self._unknown_exports: set[tuple[str, str]] = set()
        self._processes = AloneProcesses(fleet)
        self._stopping = asyncio.Event()
        self._connected = False
        self._journal: FleetJournal
        self._recorder: OutcomeRecorder
        self._windows: WindowDatabase

    async def run(self, serving: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`; then end within ten seconds, with the turns back in the queue.

        `serving` is called when it begins to take turns.
        Raises ConfigError, as where the database refuses what it is asked; NotWritable where the
        store is a folder that cannot be used, and OutputLocked where another worker uses the
        staging folder. If cancelled: others take the turns over when this one is missed.
        """
        require_usable(self._fleet.settings)
        async with AsyncExitStack() as stack:
            stack.enter_context(tables_required(self._fleet.fleet.database))
            engine = await unless_set(self._stopping, self._start(stack))
            if engine is not None:
                serving()
                await self._serve_all(engine)

    async def _start(self, stack: AsyncExitStack) -> TurnEngine:
        """Do all that comes before the first turn, with what is to be closed on a stack."""
        fleet, password = self._fleet.fleet, self._fleet.password
        lock = await self._lock()
        stack.callback(lock.release)
        servers = results_servers(self._fleet.settings.accounts)
        self._journal = await FleetJournal.open(
            fleet.database, password, servers, patience_s=OPEN_S
        )
        stack.push_async_callback(self._journal.aclose)
        self._connected = True
        await self._journal.require_rights()
        if (folder := self._fleet.shared_folder) is not None:
            await require_shared(folder, self._journal)
        periods_s = [each.window.period_s for each in self._fleet.settings.accounts]
        gather_s = min(periods_s) * GATHERED
        self._windows = await WindowDatabase.open(fleet.database, password, gather_s=gather_s)
        stack.push_async_callback(self._windows.aclose)
        stack.callback(self._windows.listen(self._heard))
        self._recorder = OutcomeRecorder(self._journal, 2 * gather_s)
        stack.push_async_callback(self._recorder.aclose)
        await self._salvage_all()
        engine = TurnEngine(
            fleet.database,
            password,
            self._serve,
            self._sweep,
            at_once=fleet.accounts_at_once,
            heartbeat_s=fleet.heartbeat_s,
            may_pick=self._has_room,
        )
        stack.push_async_callback(engine.aclose)
        return engine

    async def _lock(self) -> OutputLock:
        try:
            return await OutputLock.take_in_loop(self._fleet.fleet.staging / STATE_DIR)
        except OutputLocked as error:
            hint = "Stop the other worker, or give this one another --staging."
            raise OutputLocked(error.message, hint=hint) from None

    def stop(self) -> None:
        """Take no more turns, and end those under way; more calls do no harm."""
        self._stopping.set()

    @property
    def standing(self) -> Standing:
        """Return how it stands."""
        return Standing(
            "stopping" if self._stopping.is_set() else "working" if self._serving else "starting",
            len(self._turns),
            dict(self._ended),
            self._held,
            self._journal.away_s if self._connected else 0.0,
            self._journal.away_because if self._connected else "",
            self._no_room.message if self._no_room is not None else "",
        )

    @property
    def windows(self) -> dict[str, WindowState]:
        """Return how the windows stand of the accounts that have a turn here."""
        found = {turn.account: turn.window for turn in self._turns}
        return {account: window for account, window in found.items() if window is not None}

    async def _serve_all(self, engine: TurnEngine) -> None:
        serving = asyncio.create_task(engine.run())
        stopping = asyncio.create_task(self._stopping.wait())
        broken = asyncio.create_task(engine.broken())
        tasks: set[asyncio.Task[Any]] = {serving, stopping, broken}
        if self._look_s is not None:
            tasks.add(asyncio.create_task(self._look(self._look_s)))
        self._serving = True
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            engine.stop()
            for turn in list(self._turns):
                turn.stop()
            await asyncio.wait((serving,), timeout=STOP_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _look(self, every_s: float) -> None:
        """Keep looking at the database; that waits, and counts, while it is away."""
        while True:
            self._held = await self._journal.held()
            await asyncio.sleep(every_s)

    async def _serve(self, claim: Claim) -> None:
        """Take a turn to its end, and out of the queue; one that breaks off goes on later.

        Raises asyncpg.PostgresError: then none can be served.
        """
        try:
            await self._serve_to_its_end(claim)
        except asyncpg.PostgresError:
            raise
        except Exception as error:
            # The others are served; of jobs at which it breaks off again each is done by itself.
            failure = Failure("BUG", f"unexpected {type(error).__name__}: {error}", hint=_BUG_HINT)
            self._tell(Notice("its turn has broken off", claim.account, failure))
            if await claim.leave():
                await claim.ask_again(AGAIN_S)

    async def _serve_to_its_end(self, claim: Claim) -> None:
        account = claim.account
        generation = await self._begin(account)
        if generation is None:
            await claim.leave()  # the sweep gives it to whoever it is for
            return
        turn = await self._turn(account, generation)
        self._turns.add(turn)
        try:
            if self._stopping.is_set():
                turn.stop()
            end = await turn.run()
        finally:
            self._turns.discard(turn)
        self._ended[end.how] += 1
        await self._end(claim, generation, end)

    async def _begin(self, account: str) -> int | None:
        """Begin an account's turn; None where it is to be left alone, which is told once."""
        told = Notice("the settings here do not know it; it is left alone", account)
        if account in self._known:
            try:
                return await self._journal.begin_turn(account, self._name)
            except ConfigError as error:
                told = Notice("it is left alone", account, Failure.of(error))
        if account not in self._left_alone:
            self._left_alone.add(account)
            self._tell(told)
        return None

    async def _turn(self, account: str, generation: int) -> Turn | CarefulTurn:
        if (deaths := await self._journal.deaths(account)) >= DEATHS:
            text = f"{deaths} workers in a row have died at it; its first jobs are done one by one"
            self._tell(Notice(text, account))
            return CarefulTurn(
                self._fleet,
                account,
                self._journal,
                self._recorder,
                self._windows,
                generation,
                self._processes,
                self._on_event,
            )
        return Turn(
            self._fleet.of_account(account, self._fleet.fleet.staging),
            self._journal,
            self._recorder,
            self._windows,
            generation,
            self._fleet.fleet.turn_s,
            self._on_event,
            folder=self._fleet.folder_of(account),
        )

    async def _end(self, claim: Claim, generation: int, end: TurnEnd) -> None:
        if end.error is not None:
            self._tell(Notice("its turn goes on later", claim.account, end.error))
        for name in end.unknown:
            if (claim.account, name) not in self._unknown_exports:
                self._unknown_exports.add((claim.account, name))
                text = f"the settings here do not know its export {name}; it is left alone"
                self._tell(Notice(text, claim.account))
        if end.held is not None:
            await self._journal.hold(claim.account, generation, end.held)
            self._tell(Notice("held until it is submitted again", claim.account, end.held))
        if end.superseded:
            await self._journal.outlived(claim.account, generation)
            self._tell(Notice("another worker has taken it over", claim.account))
        if not await claim.leave():
            return
        left = await self._journal.end_turn(claim.account, generation, end.unknown)
        if left != "nothing":
            # Where there is no room only here, another worker has some at once.
            lacks = await self._lacks_room(end.error)
            await claim.ask_again(0.0 if lacks else end.next_in_s(is_new=left == "new"))

    async def _lacks_room(self, error: Failure | None) -> bool:
        """Return whether a turn ended so for want of room in the staging folder."""
        if error is None or error.code not in (DiskFull.code, NotWritable.code):
            return False
        return not await self._has_room(_RESULT_BYTES)

    async def _has_room(self, wanted: int = 0) -> bool:
        """Return whether so much fits into the staging folder; tell it where it no longer does.

        A worker without room would take one turn after the other from those that have some. It is
        not looked at again for a while, since a turn that ends frees a little.
        """
        now = asyncio.get_running_loop().time()
        if now < self._room_at:
            return False
        staging, reserve = self._fleet.fleet.staging, self._fleet.settings.limits.free_bytes
        # A disk that hangs holds up no stop.
        lacking = await anyio.to_thread.run_sync(
            no_room, staging, reserve, wanted, abandon_on_cancel=True
        )
        failure = None if lacking is None else Failure.of(lacking)
        if failure is not None:
            self._room_at = now + AGAIN_S
            if self._no_room is None:
                self._tell(Notice("takes no turns until there is room", error=failure))
        self._no_room = failure
        return failure is None

    async def _sweep(self) -> Iterable[str]:
        """Return the accounts that should have a turn; and have the journal forget what is old."""
        await self._journal.forget(self._fleet.fleet.submissions_keep_days)
        return await self._journal.accounts_with_pending()

    async def _salvage_all(self) -> None:
        """Bring to its end what a worker that has died on this host had whole."""
        accounts = [name for name in os.listdir(self._fleet.fleet.staging) if name in self._known]
        free = asyncio.Semaphore(_SALVAGE_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                tasks.create_task(self._salvage(account, free))

    async def _salvage(self, account: str, free: asyncio.Semaphore) -> None:
        async with free:
            try:
                salvaged = await salvage(
                    self._fleet.of_account(account, self._fleet.fleet.staging),
                    self._journal,
                    self._recorder,
                    self._windows,
                    self._on_event,
                    folder=self._fleet.folder_of(account),
                )
            except (RunError, ConfigError) as error:
                text = "what is here of it cannot be published"
                self._tell(Notice(text, account, Failure.of(error)))
                return
        if salvaged:
            self._tell(Notice(f"{counted(salvaged)} of a worker before are done", account))

    def _heard(self, event: WindowEvent) -> None:
        self._tell(Notice(event.message))
