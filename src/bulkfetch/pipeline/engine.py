"""What does a run of any kind: its frame from beginning to end, and what its reader sees of it."""

from __future__ import annotations

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio

from bulkfetch.disk import disk_error
from bulkfetch.errors import RunError
from bulkfetch.events import Event
from bulkfetch.journal import Journal
from bulkfetch.models import Outcome, Report
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeStream

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress

OpenJournal = Callable[[], Awaitable[Journal]]

# After a stop, what is under way has this long to end by itself. With two seconds to tidy up it
# keeps the promise of ten.
DRAIN_S = 8.0
# After the reader has left: what came whole is kept, and the client is free within a second.
ABANDONED_S = 0.5


class Engine(ABC):
    """Does a run. It is read by iterating a handle, and may be ended by that or by the client.

    Nothing in here refers to the handle: when the caller drops it, nobody can read any more, and
    what is under way is told to end (`abandon`). `previous` is the engine that has to end first,
    None where there is none. With `close_journal` false the journal is somebody else's, who closes
    it later.
    """

    def __init__(
        self,
        layout: OutputLayout,
        open_journal: OpenJournal,
        previous: Engine | None,
        *,
        close_journal: bool = True,
    ) -> None:
        self._layout = layout
        self._open_journal = open_journal
        self._closes_journal = close_journal
        self._previous = previous
        self._opened: Journal | None = None
        self.held = True  # by a caller who may read; may be set in any thread
        self._started = anyio.current_time()
        self._stopping = anyio.Event()
        self._aborted: RunError | None = None
        self._crash: BaseException | None = None
        self._report: Report | None = None
        self._outcomes = OutcomeStream()
        self._everything = anyio.CancelScope()
        self._abandoned = anyio.Event()
        self._over = anyio.Event()
        self._reader: weakref.ref[asyncio.Task[Any]] | None = None
        self._waiting = 0

    async def next(self) -> Outcome:
        """Return the next outcome. If cancelled: nothing is lost, the run goes on."""
        self._waiting += 1
        try:
            return await self._outcomes.next()
        except anyio.EndOfStream:
            if self._crash is not None and not self.abandoned:
                raise self._crash from self._crash.__cause__
            if self._aborted is not None and not self.abandoned:
                raise self._aborted from self._aborted.__cause__
            raise StopAsyncIteration from None
        finally:
            self._waiting -= 1

    def read_by(self, task: asyncio.Task[Any] | None) -> None:
        """Take note of the task that begins to read."""
        self._reader = None if task is None else weakref.ref(task)

    @property
    def deserted(self) -> bool:
        """Whether its reader was cancelled or has failed, and nobody waits in his place.

        Such a run may be held for ever: by the frames of an exception that somebody keeps.
        """
        task = None if self._reader is None else self._reader()
        if task is None or not task.done() or self._waiting:
            return False
        return task.cancelled() or task.exception() is not None

    @property
    def ended(self) -> bool:
        """Whether nothing is under way any more, and all has been reported."""
        return self._over.is_set()

    @property
    def report(self) -> Report:
        """What the run came to. Raises RuntimeError before its end."""
        if self._report is None:
            raise RuntimeError("the run has not ended")
        return self._report

    def so_far(self) -> Report:
        """Return what the run has come to up to now: its report, once it has ended."""
        return self._report or self._sum_up()

    @abstractmethod
    def progress(self) -> Progress | None:
        """Return where the run stands now, None before it can be told; cheap, for a display."""

    def stop(self) -> None:
        """Start nothing more, finish what is under way within seconds, then end.

        May be called more than once, from the run's event loop.
        """
        self._stopping.set()

    @property
    def abandoned(self) -> bool:
        """Whether nobody reads any more."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Ask for nothing more and end within a second: nobody reads any more."""
        if not self._over.is_set():
            self._abandoned.set()
            self._outcomes.leave_unread()
            self.stop()

    def cancel(self) -> None:
        """Drop everything under way; `wait_ended` says when that is done."""
        self._everything.cancel()
        if self._previous is not None:
            self._previous.cancel()

    def heard(self, event: Event) -> None:  # noqa: B027  (downloads have no use for it)
        """Take in an event of an account, or of what is under way; by default none."""

    def break_off(self, error: BaseException) -> None:
        """Drop everything under way, and raise `error` where the run is iterated."""
        self._crash = self._crash or error
        self.cancel()

    def leave(self) -> None:
        """Have the iteration end, also of a run whose work was cancelled before it began."""
        try:
            self._report = self.so_far()
        finally:
            self._outcomes.end()
            self._over.set()

    async def work(self) -> None:
        """Do all of it; started once, beside the reader.

        Never raises for what happens to jobs, exports, accounts or the disk: that is told by
        iterating. If cancelled: everything under way is dropped; the journal is right all the same.
        """
        try:
            with self._everything:
                if self._previous is not None:
                    await self._previous.wait_ended()
                    self._previous = None
                if not self.abandoned:
                    await self._all()
        except anyio.get_cancelled_exc_class():
            # Not by `cancel`: somebody ends tasks that are not his. It must not look like the end.
            self._crash = self._crash or RuntimeError("the run was cancelled from outside")
            raise
        except BaseException as error:
            first = next(each_error(error))
            self._broken_by(first)
            if isinstance(first, KeyboardInterrupt | SystemExit):
                raise
        finally:
            try:
                # Cancelled or not: what the journal has been told is written down.
                with anyio.CancelScope(shield=True):
                    await self._end_all()
            finally:
                self.leave()

    @abstractmethod
    async def _all(self) -> None:
        """Do the work between the end of what was before and `_end_all`."""

    async def _end_all(self) -> None:
        """Put everything to rest; also after a cancellation, and where nothing was begun."""
        try:
            if self._opened is not None and self._closes_journal:
                await self._opened.aclose()
        except RunError as error:
            self._broken_by(error)

    @abstractmethod
    def _sum_up(self) -> Report:
        """Return what the run has come to up to now."""

    @property
    def _journal(self) -> Journal:
        assert self._opened is not None, "opened before anything else is done"
        return self._opened

    def _broken_by(self, error: BaseException) -> None:
        """Have whoever iterates told of an error: what aborts the run, or one of the program's own,
        such as its iterable or callback has."""
        if isinstance(error, OSError):
            error = disk_error(error)
        if isinstance(error, RunError):
            self._aborted = self._aborted or self._layout.as_given(error)
        else:
            self._crash = self._crash or error

    async def _let_drain(self) -> None:
        """Wait for as long as what is under way may take after a stop: less once nobody reads."""
        with anyio.move_on_after(DRAIN_S):
            await self._abandoned.wait()
            await anyio.sleep(ABANDONED_S)

    async def wait_ended(self) -> None:
        """Return when nothing is under way any more. If cancelled: it ends all the same."""
        await self._over.wait()

    async def _report_outcome(self, outcome: Outcome) -> None:
        try:
            await self._outcomes.put(outcome)
        except anyio.BrokenResourceError:
            # Nobody reads any more; the journal has it.
            self.stop()


def each_error(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, or of a group those that are not themselves groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from each_error(inner)
    else:
        yield error
