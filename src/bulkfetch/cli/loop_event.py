"""A bridge from a thread to an event loop that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class LoopEvent:
    """An event of the running loop that another thread sets, made anew for each wait.

    The caller holds one lock around every call, the same one in both threads.
    """

    def __init__(self) -> None:
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def expect(self) -> asyncio.Event:
        """Return the event to wait for, after the lock is released; called in the loop."""
        import asyncio  # late: only a run has a loop

        event = asyncio.Event()
        self._waiting = (asyncio.get_running_loop(), event)
        return event

    def set(self) -> None:
        """Wake whoever waits, if anybody does; called in any thread."""
        if self._waiting is not None:
            loop, event = self._waiting
            self._waiting = None
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def forget(self) -> None:
        """Wake nobody any more."""
        self._waiting = None
