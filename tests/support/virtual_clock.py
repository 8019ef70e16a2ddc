"""An asyncio event loop whose time passes only when there is nothing left to do.

Sleeping costs nothing and every run is the same. Time creeps by a nanosecond a step, so that code
which waits for "a tiny bit more" (a bucket that lacks 1e-16 of a token) gets there.

Only for code that waits on timers: while a worker thread or a socket is busy, time jumps ahead;
`flow_clock` is for those.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

CREEP_S = 1e-9


class Idle(selectors.BaseSelector):
    """A selector that looks at no file for longer than an instant, and moves time on instead."""

    def __init__(self, clock: VirtualClockLoop) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits and no timer is set: this would hang for ever")
        self._clock.now += CREEP_S + (0.0 if ready else max(0.0, timeout or 0.0))
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """The loop; `now` is its time in seconds."""

    def __init__(
        self, start: float = 0.0, selector: Callable[[VirtualClockLoop], Idle] = Idle
    ) -> None:
        self.now = start
        super().__init__(selector(self))
        self._clock_resolution = CREEP_S

    def time(self) -> float:
        return self.now

    def live_timers(self) -> int:
        """Count the timers that are set and not cancelled."""
        return sum(not handle.cancelled() for handle in self._scheduled)  # type: ignore[attr-defined]


def run_virtual(main: Coroutine[Any, Any, T], *, start: float = 0.0) -> T:
    """Run `main` on a virtual clock that shows `start`; like asyncio.run otherwise."""
    with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(start)) as runner:
        return runner.run(main)
