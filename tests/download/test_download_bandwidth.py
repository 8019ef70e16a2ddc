"""All bodies of a run together take no more bytes in a second than they may; none looks stalled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.flows import ids, small, watch
from tests.support.virtual_clock import run_virtual
from tests.support.whole_runs import run_whole

from bulkfetch.config.quantities import parse_rate
from bulkfetch.download.attempt import Attempt
from bulkfetch.download.bandwidth import Bandwidth
from bulkfetch.sandbox import JobSpec


def test_bodies_share_the_rate() -> None:
    """Ten bodies get t + 1 seconds' worth in t seconds, no more and no less."""
    rate = 100_000
    sizes = [1, 700, 64 << 10, 99_999, 100_000, 250_000]

    async def main() -> list[tuple[float, int]]:
        bandwidth, passed = Bandwidth(rate), []
        clock = asyncio.get_running_loop().time

        async def body(first: int) -> None:
            for place in range(12):
                size = sizes[(first + place) % len(sizes)]
                await bandwidth.take(size)
                passed.append((clock(), size))

        await asyncio.gather(*map(body, range(10)))
        return passed

    total = 0
    passed = run_virtual(main())
    for at_s, size in passed:
        total += size
        assert total <= rate * (at_s + 1) + 1
    assert passed[-1][0] == pytest.approx(total / rate - 1, abs=0.01)


def test_the_first_that_waits_is_the_first_served() -> None:
    """A large piece is not overtaken by the small ones of other bodies."""

    async def main() -> list[str]:
        bandwidth, order = Bandwidth(1000), []

        async def piece(name: str, size: int) -> None:
            await bandwidth.take(size)
            order.append(name)

        pieces = [("spent", 1000), ("large", 5000), *((f"small {n}", 1) for n in range(9))]
        await asyncio.gather(*(piece(*each) for each in pieces))
        return order

    assert run_virtual(main())[:2] == ["spent", "large"]


def test_a_piece_that_is_given_up_holds_nobody_up() -> None:
    """Where a body is cancelled while it waits, the next one gets what is left."""

    async def main() -> float:
        bandwidth = Bandwidth(1000)
        await bandwidth.take(1000)
        gone = asyncio.create_task(bandwidth.take(100_000))
        after = asyncio.create_task(bandwidth.take(500))
        await asyncio.sleep(0.1)
        gone.cancel()
        await after
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 2


def test_a_read_waits_for_what_the_last_one_brought() -> None:
    """What has come is at hand at once, and the attempt says that it is held before the next."""

    async def main() -> None:
        loop, attempt, pieces = asyncio.get_running_loop(), Attempt(), [b"x" * 3000, b""]

        async def read() -> bytes:
            assert not attempt.held
            return pieces.pop(0)

        bounded = Bandwidth(1000).bounding(read, attempt, 500)
        assert len(await bounded()) == 3000
        assert loop.time() < 0.01
        end = asyncio.ensure_future(bounded())
        await asyncio.sleep(1)
        assert attempt.held
        assert await end == b""
        assert loop.time() == pytest.approx(2.5, abs=0.01)

    run_virtual(main())


@pytest.mark.slow
def test_a_run_takes_its_time_and_no_body_is_stalled(tmp_path: Path) -> None:
    """A whole run lasts as long as its bytes take at the rate; the watchdogs have no complaint."""
    size = 600 << 10
    options = small(jobs={job: JobSpec(payload_bytes=size) for job in ids(2)})

    async def main() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        seen = await watch(
            options,
            ids(2),
            tmp_path / "out",
            # Each body waits far longer than the watchdogs bear a server that is as slow.
            limits={"max_bytes_per_s": 10_000, "idle_s": 5.0, "min_bytes_per_s": 9_000},
        )
        assert (seen.report.done, seen.report.requests) == (2, 2)
        assert "attempt_failed" not in seen.kinds()
        return loop.time() - started

    assert run_whole(main()) == pytest.approx(2 * size / 10_000, rel=0.05)


def test_without_a_limit_nothing_stands_in_the_way(tmp_path: Path) -> None:
    """A run without a rate makes no bandwidth at all: bodies are read by the watchdog itself."""
    with patch.object(Bandwidth, "__init__", side_effect=AssertionError):
        assert run_whole(watch(small(), ids(2), tmp_path / "out")).report.done == 2


@pytest.mark.parametrize(
    ("said", "bytes_per_s"),
    [
        ("500k", 500 * 1024),
        ("1.5M", 1536 * 1024),
        ("2m", 2 * 1024**2),
        ("1G", 1024**3),
        ("2 MB", 2_000_000),
        ("2 MiB/s", 2 * 1024**2),
        ("4096", 4096),
        ("700 B", 700),
        (4096, 4096),
    ],
)
def test_a_rate_is_said_as_to_curl_or_as_a_size(said: str | int, bytes_per_s: int) -> None:
    """A letter alone is a power of 1024; units are those of sizes."""
    assert parse_rate(said) == bytes_per_s


@pytest.mark.parametrize(
    "said", ["", "k", "fast", "5x", "1,5M", "-5k", "5k/m", "5kk", 1.5, True, None]
)
def test_what_is_no_rate_is_refused(said: object) -> None:
    """Whatever else is said gets a sentence with examples."""
    with pytest.raises(ValueError, match='such as "500k"'):
        parse_rate(said)
