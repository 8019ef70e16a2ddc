"""Signals: the first asks a run to stop, the second stops it immediately.

SIGTERM and SIGHUP are treated like SIGINT. A signal that the parent ignores stays ignored, as nohup
and shells with background jobs intend.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

# One stop can arrive as two signals: timeout(1) and shells send it to the process and to its group.
# A signal so soon after the first counts as the first.
_ONE_STOP_S = 0.3

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _heeded() -> dict[signal.Signals, Any]:
    """Return what is done at each signal that is not ignored."""
    found = {number: signal.getsignal(number) for number in _STOPPING}
    return {number: old for number, old in found.items() if old is not signal.SIG_IGN}


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    before = _heeded()
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def raise_on_signals() -> AbstractContextManager[None]:
    """Make the signals raise KeyboardInterrupt inside a block, where nothing is to be drained."""
    return _handled(_raise)


def ignored_signals() -> AbstractContextManager[None]:
    """Ignore the signals inside a block, where what an earlier one has ended is cleared away."""
    return _handled(signal.SIG_IGN)


@contextmanager
def stop_on_signals(
    loop: asyncio.AbstractEventLoop, first: Callable[[str], None], second: Callable[[], None]
) -> Iterator[None]:
    """Call `first` with the name of the first signal and `second` at the next one, in the loop.

    A third signal ends the process: by then something hangs.
    """
    seen = 0
    first_at = float("-inf")
    before = _heeded()

    def on_signal(number: signal.Signals) -> None:
        nonlocal seen, first_at
        if seen == 1 and loop.time() < first_at + _ONE_STOP_S:
            return
        seen += 1
        if seen == 1:
            first_at = loop.time()
            first(number.name)
            return
        second()
        for other in before:
            loop.remove_signal_handler(other)
            signal.signal(other, signal.SIG_DFL)

    for number in before:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in before:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to in an event loop of its own; a signal cancels it.

    Raises KeyboardInterrupt then. It is not raised wherever Python happens to be, as outside of a
    loop: in the midst of a C extension that parses an answer it has ended the process.
    """
    import asyncio  # late: `--help` needs no loop

    interrupted = False

    async def main() -> T:
        working = asyncio.ensure_future(work)

        def stop(signal_name: str = "") -> None:
            nonlocal interrupted
            interrupted = True
            working.cancel()

        with stop_on_signals(asyncio.get_running_loop(), stop, stop):
            return await working

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
