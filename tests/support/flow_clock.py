"""A virtual clock for whole runs: time stands still for threads, dying children, and socket news.

The window, the retries and the in-loop sandbox live on this clock; the journal's thread, the
unpacking threads and aiofiles are real, and so are the loopback sockets. Before time moves on,
everything that was handed to a thread has come back, and the sockets have had a real moment to
speak: a run of hours is over in a second, and its schedule is the same each time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple, Unpack
from unittest.mock import patch

import anyio.to_thread
from anyio._backends._asyncio import Process
from tests.support.virtual_clock import CREEP_S, Idle, VirtualClockLoop

from bulkfetch.journal.writer import Writer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Real seconds. What was written into a loopback socket can be read at once, save on a kernel that
# is busy with something else.
SOCKETS_S = 0.001
THREADS_S = 1.0
# The clock does not begin at nought, as no machine's does.
START_S = 10_000.0


class _Patient(Idle):
    """A selector that waits for threads and sockets in real time before it moves time on."""

    _clock: FlowLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._clock.step()
        ready = self._real.select(0)
        if not ready and timeout != 0:
            ready = self._real.select(THREADS_S if self._clock.busy else SOCKETS_S)
        if ready or self._clock.busy:
            self._clock.now += CREEP_S
            return ready
        return super().select(timeout)


class FlowLoop(VirtualClockLoop):
    """The loop. `busy` counts what threads owe it, `steps` its own rounds."""

    def __init__(self) -> None:
        self.busy = 0
        self.steps = 0
        self.at_step: dict[int, Callable[[], object]] = {}
        super().__init__(START_S, _Patient)

    def step(self) -> None:
        """Count a round of the loop, and do what is to be done in it."""
        self.steps += 1
        if (act := self.at_step.pop(self.steps, None)) is not None:
            act()

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.busy += 1
        future.add_done_callback(self._one_less)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        with self.waiting():
            await super().shutdown_default_executor(*args)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that a thread works for the body."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    def _one_less(self, _: object) -> None:
        self.busy -= 1


def run_flow(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a `FlowLoop`; like asyncio.run otherwise."""
    with (
        patch.object(anyio.to_thread, "run_sync", _counted(anyio.to_thread.run_sync)),
        patch.object(Writer, "_submit", _counted(Writer._submit)),
        patch.object(Writer, "aclose", _counted(Writer.aclose)),
        # A killed child dies in real time. Waiting for one that lives is left to the clock.
        patch.object(Process, "aclose", _counted(Process.aclose)),
        asyncio.Runner(loop_factory=FlowLoop) as runner,
    ):
        return runner.run(main)


def flow_loop() -> FlowLoop:
    """Give the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FlowLoop), "within run_flow"
    return loop


def _counted(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def counted(*args: Any, **kwargs: Any) -> Any:
        with flow_loop().waiting():
            return await call(*args, **kwargs)

    return counted
