import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.programs import IDS, Program

from bulkfetch.cli.feed import Feed
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job


@contextmanager
def listed(jobs: Iterator[Job]) -> Iterator[Iterator[Job]]:
    yield jobs


def feed_of(jobs: Iterator[Job]) -> Feed:
    return Feed(lambda: listed(jobs))


def test_feed_gives_everything_in_order() -> None:
    """A feed loses, doubles and reorders nothing, and holds only so many jobs ahead."""
    ahead = 0
    most = 0

    def produce() -> Iterator[Job]:
        nonlocal ahead
        for number in range(20_000):
            ahead += 1
            yield Job(str(number))

    async def consume() -> list[str]:
        nonlocal ahead, most
        got = []
        async for job in feed:
            most = max(most, ahead)
            ahead -= 1
            got.append(job.id)
        return got

    feed = feed_of(produce())
    assert feed.wait_for_first()
    assert asyncio.run(consume()) == [str(number) for number in range(20_000)]
    assert most <= 4100


def test_feed_gives_at_once_what_is_there() -> None:
    """One id is handed over although the next is not there yet."""
    more = threading.Event()

    def produce() -> Iterator[Job]:
        yield Job("1")
        more.wait()
        yield Job("2")

    async def consume() -> list[str]:
        first = await anext(feed)
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        assert not waiting.done()
        more.set()
        second = await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(feed)
        return [first.id, second.id]

    feed = feed_of(produce())
    assert feed.wait_for_first()
    assert asyncio.run(consume()) == ["1", "2"]


def test_feed_passes_errors_on() -> None:
    """What is wrong with the list is raised where it is iterated, after what came before."""

    def produce() -> Iterator[Job]:
        yield Job("1")
        raise OSError("gone")

    async def consume() -> None:
        assert (await anext(feed)).id == "1"
        with pytest.raises(OSError, match="gone"):
            await anext(feed)

    feed = feed_of(produce())
    assert feed.wait_for_first()
    asyncio.run(consume())


def test_feed_raises_at_once_what_opening_raises() -> None:
    """A list that cannot be opened is told before anything is begun."""

    @contextmanager
    def broken() -> Iterator[Iterator[Job]]:
        raise ConfigError("no such column")
        yield iter(())

    with pytest.raises(ConfigError):
        Feed(broken).wait_for_first()


def test_empty_feed() -> None:
    """An empty list is known to be empty."""
    feed = feed_of(iter(()))
    assert not feed.wait_for_first()
    assert list(feed.drain()) == []


def test_feed_without_a_loop() -> None:
    """The same list for who need not be asynchronous."""
    feed = feed_of(Job(str(number)) for number in range(9_000))
    assert feed.wait_for_first()
    assert len(list(feed.drain())) == 9_000


def test_slow_producer(program: Program) -> None:
    """Each id from a pipe is fetched when it comes, not when the list ends."""
    process = program.start("run", program.settings(), "--ids", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    for job in IDS[:2]:
        process.stdin.write(f"{job}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().decode() == f"exports/{job}.csv\n"
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_named_pipe(program: Program) -> None:
    """A named pipe, as from `<(…)`, is read like stdin and named in messages."""
    fifo = program.folder / "list"
    os.mkfifo(fifo)
    process = program.start("run", program.settings(), "--ids", "list", "--json")
    fifo.write_text(f"{IDS[0]}\nnonsense\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"exports/{IDS[0]}.csv" in out.decode()
    assert b"list:2" in err


def test_csv_on_stdin(program: Program) -> None:
    """A column of a CSV file is taken by its name."""
    (program.folder / "ids.csv").write_text(f"Job ID,name\n{IDS[0]},Leads\n")
    with (program.folder / "ids.csv").open("rb") as listed_ids:
        process = program.start(
            "run", program.settings(), "--ids", "-", "--ids-column", "Job ID", stdin=listed_ids
        )
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"exports/Leads.csv\n")


def test_closed_stdin(program: Program) -> None:
    """A list from a stdin that is not open is refused in words."""
    process = program.start("run", program.settings(), "--ids", "-", preexec_fn=lambda: os.close(0))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith(b"error: stdin: ")
