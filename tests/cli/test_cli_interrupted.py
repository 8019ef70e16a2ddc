"""Commands that wait in an event loop: a signal ends them there, not in the midst of a C call."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from bulkfetch.cli.signals import raise_on_signals, run_in_loop


def test_a_signal_is_heard_by_the_loop_and_cancels_what_waits() -> None:
    """Nothing is raised where the signal comes; what waits is cleared away, then it is told."""
    seen: list[str] = []

    async def wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):  # Python looks for signals between these
            seen.append("goes on")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleared away")

    with raise_on_signals(), pytest.raises(KeyboardInterrupt):
        run_in_loop(wait())
    assert seen == ["goes on"] * 100 + ["cleared away"]


def test_what_ends_by_itself_is_given_and_its_errors_are_its_own() -> None:
    """Also a cancellation that no signal has asked for."""

    async def answer() -> int:
        return 7

    async def give_up() -> None:
        raise asyncio.CancelledError

    assert run_in_loop(answer()) == 7
    with pytest.raises(asyncio.CancelledError):
        run_in_loop(give_up())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_afterwards_what_they_were(number: signal.Signals) -> None:
    """A signal after the loop raises KeyboardInterrupt again."""

    async def nothing() -> None:
        return None

    with raise_on_signals():
        before = signal.getsignal(number)
        run_in_loop(nothing())
        assert signal.getsignal(number) is before
