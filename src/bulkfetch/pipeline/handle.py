"""The caller's handle on a run: what is iterated. An engine does the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bulkfetch.models import Outcome, Report

if TYPE_CHECKING:
    from bulkfetch.pipeline.engine import Engine
    from bulkfetch.pipeline.progress import Progress
    from bulkfetch.pipeline.run import DownloadEngine


class Handle(AsyncIterator[Outcome]):
    """What all handles do: they are iterated, and end what they are held for."""

    def __init__(self, engine: Engine) -> None:
        """Have `engine`, whose work is a task of its own, read by who iterates this."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> Self:
        self._engine.read_by(asyncio.current_task())
        return self

    async def __anext__(self) -> Outcome:
        """Return the next outcome. If cancelled: nothing is lost, the run goes on."""
        engine = self._engine
        try:
            return await engine.next()
        finally:
            # A cancelled task has its frames for as long as somebody has the task.
            del self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Perhaps in another thread: the collector runs where it likes.
        self._engine.held = False
        if not self._engine.ended:
            with suppress(RuntimeError):  # the loop is closed, and nothing is under way
                self._loop.call_soon_threadsafe(self._engine.abandon)

    @property
    def ended(self) -> bool:
        """Whether there is a report."""
        return self._engine.ended

    def stop(self) -> None:
        """Start no more requests, finish what is under way within some seconds, then end.

        Outcomes are told as before, up to the last. May be called more than once, from the run's
        event loop.
        """
        self._engine.stop()

    def progress(self) -> Progress | None:
        """Return where the run stands now, None before it can be told; cheap, for a display."""
        return self._engine.progress()

    def so_far(self) -> Report:
        """Return what the run has come to up to now: its report, once it has ended."""
        return self._engine.so_far()

    async def aclose(self) -> None:
        """End the run, and return when nothing of it is under way any more.

        What can be finished in half a second is. May be called more than once; does nothing to a
        run that has ended. If cancelled: the run ends all the same.
        """
        self._engine.abandon()
        await self._engine.wait_ended()


class Run(Handle):
    """A run of `Client.fetch`: iterate it for the outcomes, in the order in which jobs end.

    Every id of the list is answered for: done, failed, or, at the end of a run that was stopped or
    could not go on, pending. `only_new`: those done before and those left pending are counted, but
    not told one by one. `report` is there when the iteration has ended. A run that had to be
    aborted as a whole ends the iteration with its RunError, after all that could be told.

    A run lives as long as somebody holds it. Who leaves its loop early and keeps it may read on
    later; meanwhile it goes on until 256 outcomes are unread, and the client takes no other list.
    `aclose`, the end of `async with run`, or dropping it (as a loop does that is left early by
    `break`, an exception or a cancellation, where nothing else refers to the run) ends it: nothing
    more is asked, and the client is free within a second. So does the client's next list, where
    the task whose loop this was has been cancelled or has failed. Outcomes that were not read are
    in the journal; the same list goes on later.
    """

    _engine: DownloadEngine

    @property
    def report(self) -> Report:
        """What the run came to. Raises RuntimeError before its end."""
        return self._engine.report

    def progress(self) -> Progress:
        """Return where the run stands now; cheap, for a display."""
        return self._engine.progress()
