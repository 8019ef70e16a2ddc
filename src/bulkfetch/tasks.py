"""The asyncio tasks of a client: those that do its runs, and those of single results."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

from bulkfetch.pipeline.engine import Engine

T = TypeVar("T")


class ClientTasks:
    """The engine of a client's newest run, and the tasks that do it and what is left of others.

    They are children of no task group, whose scope would tie the client to the task that entered
    it.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def previous(self) -> Engine | None:
        """Return what has to end before a run can begin, None where nothing has.

        Raises RuntimeError while somebody may still read a run.
        """
        engine = self.engine
        if engine is not None and (not engine.held or engine.deserted):
            engine.abandon()  # which its handle has asked for, but in a later turn of the loop
        if engine is not None and not (engine.ended or engine.abandoned):
            raise RuntimeError(
                "the client is fetching another list: iterate that run to its end, "
                "or `await run.aclose()`"
            )
        return engine

    def run(self, engine: Engine) -> None:
        """Start an engine's work, as that of the newest run."""
        self.engine = engine
        # Also where it was cancelled before it could begin.
        self.start(engine.work()).add_done_callback(lambda _: engine.leave())

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that `end` waits for."""
        task = asyncio.create_task(work, name="bulkfetch run")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def break_off(self, error: BaseException) -> None:
        """Break off the newest run, where `error` is raised then."""
        if self.engine is not None:
            self.engine.break_off(error)

    async def end(self) -> None:
        """Drop what is under way, and wait for its end. If cancelled: waits all the same."""
        if self.engine is not None:
            self.engine.cancel()
        cut_short = None
        with anyio.CancelScope(shield=True):
            while self._tasks:
                try:
                    await asyncio.wait(self._tasks)
                except asyncio.CancelledError as cancelled:
                    cut_short = cancelled
        self.engine = None
        if cut_short is not None:
            raise cut_short

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told where the run is iterated
