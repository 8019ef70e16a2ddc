"""The side of a run that its reader sees: outcomes, their end, and what broke the run off."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import anyio

from bulkfetch.errors import RunError
from bulkfetch.events import Event
from bulkfetch.models import Outcome
from bulkfetch.pipeline.outcomes import OutcomeStream


class Readable:
    """What is read by iterating a handle, and may be ended by it or by the client.

    Nothing in here refers to the handle: when the caller drops it, nobody can read any more, and
    what is under way is told to end (`abandon`). Whoever derives from it calls `leave` at its end.
    """

    def __init__(self) -> None:
        self.held = True  # by a caller who may read; may be set in any thread
        self._stopping = anyio.Event()
        self._aborted: RunError | None = None
        self._crash: BaseException | None = None
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
                raise self._crash from None
            if self._aborted is not None and not self.abandoned:
                raise self._aborted from None
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

    def heard(self, event: Event) -> None:
        """Take in an event of an account, or of what is under way."""

    def break_off(self, error: BaseException) -> None:
        """Drop everything under way, and raise `error` where the run is iterated."""
        self._crash = self._crash or error
        self.cancel()

    def leave(self) -> None:
        """Have the iteration end, also of a run whose work was cancelled before it began."""
        self._outcomes.end()
        self._over.set()

    async def wait_ended(self) -> None:
        """Return when nothing is under way any more. If cancelled: it ends all the same."""
        await self._over.wait()

    async def _report_outcome(self, outcome: Outcome) -> None:
        try:
            await self._outcomes.put(outcome)
        except anyio.BrokenResourceError:
            # Nobody reads any more; the journal has it.
            self.stop()
