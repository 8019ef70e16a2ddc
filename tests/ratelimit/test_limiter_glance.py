"""A look at the machine's window tells which slots are in use, and leaves no trace."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.ratelimit import RateLimit, SlotLimiter, open_limiter
from bulkfetch.ratelimit.glance import slots_free_in
from bulkfetch.ratelimit.slots import Process

TEN = RateLimit()  # a lease of 65 s, a refill of 61 s


def now() -> float:
    return asyncio.get_running_loop().time()


async def opened(folder: Path) -> SlotLimiter:
    """The window as a process of its own has it."""
    return await open_limiter(TEN, "key", folder, clock=now, boot=lambda: "boot", process=Process())


def seen(folder: Path, *, key: str = "key", boot: str = "boot") -> list[float]:
    """What a look tells, in whole seconds."""
    found = slots_free_in(folder, key, TEN, clock=now, boot=lambda: boot)
    return [round(each) for each in found]


def test_used_slots_are_told_with_their_time(tmp_path: Path) -> None:
    """An answered use fills its slot for a refill, one that is under way for its lease too."""

    async def main() -> None:
        window = await opened(tmp_path)
        (await window.acquire()).answered()
        await asyncio.sleep(20)
        under_way = await window.acquire()
        await asyncio.sleep(1)  # what was settled is written
        assert seen(tmp_path) == [40, 125]
        assert seen(tmp_path, key="another account") == []
        assert seen(tmp_path, boot="another boot") == []
        under_way.unused()
        await asyncio.sleep(41)
        assert seen(tmp_path) == []
        await window.aclose()

    run_virtual(main(), start=1000.0)


def test_a_closed_window_is_in_use_as_a_whole(tmp_path: Path) -> None:
    """After a 429 no slot is free before the window opens again."""

    async def main() -> None:
        window = await opened(tmp_path)
        (await window.acquire()).rejected(90)
        await asyncio.sleep(1)
        assert seen(tmp_path) == [seen(tmp_path)[0]] * 10
        assert 88 <= seen(tmp_path)[0] <= 92
        await window.aclose()

    run_virtual(main(), start=1000.0)


@pytest.mark.parametrize("content", [None, b"", b"no database" * 500])
def test_where_nothing_is_known_nothing_is_told(tmp_path: Path, content: bytes | None) -> None:
    """Without a file, or with a damaged one, no slot is told as used, and nothing is changed."""
    if content is not None:
        (tmp_path / "window.db").write_bytes(content)

    async def main() -> None:
        assert seen(tmp_path) == []

    run_virtual(main())
    assert os.listdir(tmp_path) == ([] if content is None else ["window.db"])


def test_a_window_at_rest_is_read_without_a_trace(tmp_path: Path) -> None:
    """A look at the file of a run that has ended makes no other file beside it."""

    async def main() -> None:
        window = await opened(tmp_path)
        (await window.acquire()).answered()
        await window.aclose()
        before = sorted(os.listdir(tmp_path))
        assert "window.db-wal" not in before
        assert seen(tmp_path) == [61]
        assert sorted(os.listdir(tmp_path)) == before

    run_virtual(main(), start=1000.0)
