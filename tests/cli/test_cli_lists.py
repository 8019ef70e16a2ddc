import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli.async_reader import AsyncReader
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job

Call = Callable[..., Ended]


@contextmanager
def listed(jobs: Iterator[Job]) -> Iterator[Iterator[Job]]:
    yield jobs


def reader_of(jobs: Iterator[Job]) -> AsyncReader:
    return AsyncReader(lambda: listed(jobs))


def test_feed_gives_everything_in_order() -> None:
    """A reader loses, doubles and reorders nothing, and holds only so many jobs ahead."""
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
        async for job in reader:
            most = max(most, ahead)
            ahead -= 1
            got.append(job.id)
        return got

    reader = reader_of(produce())
    assert reader.wait_for_first()
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
        first = await anext(reader)
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        more.set()
        second = await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(reader)
        return [first.id, second.id]

    reader = reader_of(produce())
    assert reader.wait_for_first()
    assert asyncio.run(consume()) == ["1", "2"]


def test_feed_passes_errors_on() -> None:
    """What is wrong with the list is raised where it is iterated, after what came before."""

    def produce() -> Iterator[Job]:
        yield Job("1")
        raise OSError("gone")

    async def consume() -> None:
        assert (await anext(reader)).id == "1"
        with pytest.raises(OSError, match="gone"):
            await anext(reader)

    reader = reader_of(produce())
    assert reader.wait_for_first()
    asyncio.run(consume())


def test_feed_raises_at_once_what_opening_raises() -> None:
    """A list that cannot be opened is told before anything is begun."""

    @contextmanager
    def broken() -> Iterator[Iterator[Job]]:
        raise ConfigError("no such column")
        yield iter(())

    with pytest.raises(ConfigError):
        AsyncReader(broken).wait_for_first()


def test_empty_feed() -> None:
    """An empty list is known to be empty."""
    reader = reader_of(iter(()))
    assert not reader.wait_for_first()
    assert list(reader.drain()) == []


def test_feed_without_a_loop() -> None:
    """The same list for who need not be asynchronous."""
    reader = reader_of(Job(str(number)) for number in range(9_000))
    assert reader.wait_for_first()
    assert len(list(reader.drain())) == 9_000


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_csv_on_stdin(program: Program) -> None:
    """A column of a CSV file is taken by its name."""
    (program.folder / "ids.csv").write_text(f"Job ID,name\n{IDS[0]},Leads\n")
    with (program.folder / "ids.csv").open("rb") as listed_ids:
        process = program.start(
            "run", program.settings(), "--ids", "-", "--ids-column", "Job ID", stdin=listed_ids
        )
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"exports/Leads.csv\n")


@pytest.mark.slow
def test_closed_stdin(program: Program) -> None:
    """A list from a stdin that is not open is refused in words."""
    process = program.start("run", program.settings(), "--ids", "-", preexec_fn=lambda: os.close(0))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith(b"error: stdin: ")


@pytest.mark.slow
def test_every_list_counts(program: Program, call: Call) -> None:
    """--ids may be given several times, beside arguments and stdin; plan sees the same jobs."""
    for name, job in (("a", IDS[0]), ("b", IDS[1])):
        (program.folder / name).write_text(f"{job}\n")
    lists = ["--ids", "a", "--ids", "b", "--ids", "-"]
    ended = program.run("run", program.settings(), IDS[3], *lists, stdin=f"{IDS[2]}\n")
    assert ended.status == 0
    assert sorted(ended.out.splitlines()) == [f"exports/{job}.csv" for job in IDS[:4]]
    ended = call("plan", "jobs.toml", IDS[5], *lists[:4], "--json")
    assert ended.status == 0
    assert (ended.records[-1]["to_fetch"], ended.records[-1]["done"]) == (1, 2)


def test_one_column_for_all_lists(program: Program, call: Call) -> None:
    """--ids-column holds for each list, whose columns may stand in another order."""
    (program.folder / "a.csv").write_text(f"id,name\n{IDS[0]},Leads\n")
    (program.folder / "b.csv").write_text(f"name;id\nDeals;{IDS[1]}\n")
    lists = ["--ids", "a.csv", "--ids", "b.csv", "--ids-column", "id"]
    ended = call("run", program.settings(), *lists)
    assert ended.status == 0
    assert sorted(ended.out.splitlines()) == ["exports/Deals.csv", "exports/Leads.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ids", "-", "--ids", "-"], "stdin ('-') can be read only once"),
        (["--ids", ""], "the name of the list is empty"),
        (["--ids", "a", "--ids", " "], "the name of the list is empty"),
        (["--ids", "a", "--ids", "none"], "ids file none: No such file"),
        (["--ids", "a", "--ids-column", "00"], "columns are numbered from 1"),
        (["--ids", "a", "--ids-column", "²"], "no column '\\xb2' among its 1 column"),
        (["--ids", "a", "--ids-column", "9" * 5000], "no column '999"),
        (["--ids", "a", "--ids", "b.csv"], "b.csv is a CSV (line 1)"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_lists_that_cannot_be_meant(
    program: Program, call: Call, command: str, arguments: list[str], message: str
) -> None:
    """A slip in one of several lists starts nothing."""
    (program.folder / "a").write_text(f"{IDS[0]}\n")
    (program.folder / "b.csv").write_text(f"Job ID;Name\n{IDS[0]};Leads\n")
    ended = call(command, program.settings(), *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("error: ")
    assert not (program.folder / "exports").exists()


@pytest.mark.slow
def test_a_later_pipe_that_is_no_list(program: Program) -> None:
    """What is wrong with a pipe that is opened in its turn ends the run as aborted, in words."""
    (program.folder / "a").write_text(f"{IDS[0]}\n")
    os.mkfifo(program.folder / "b")
    process = program.start("run", program.settings(), "--ids", "a", "--ids", "b")
    (program.folder / "b").write_bytes("1\n".encode("utf-16"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"error: LIST_UNREADABLE: b is UTF-16\nhint: Save the list as UTF-8.\n" in err


def test_an_open_quote_is_told(program: Program, call: Call) -> None:
    """Lines that a quote has swallowed are told with the first of them, and the status says it."""
    (program.folder / "c.csv").write_text(f'id,name\n{IDS[0]},a\n{IDS[1]},"b\n{IDS[2]},c\n')
    ended = call("run", program.settings(), "--ids", "c.csv", "--ids-column", "1")
    assert (ended.status, ended.out) == (1, "exports/a.csv\n")
    assert "c.csv:3: 'lines 3 to 4 not read: a quote is never closed'" in ended.err


def test_ids_that_a_spreadsheet_has_rounded_are_named(program: Program, call: Call) -> None:
    """5.54E+17 was an id whose digits are lost: the hint says whose slip it is, and what to do."""
    (program.folder / "ids.txt").write_text("5.54023E+17\n5.5e17\n")
    ended = call("run", program.settings(), "--ids", "ids.txt")
    assert (ended.status, ended.out) == (1, "")
    assert "ids.txt:1: '5.54023E+17' is not a job id" in ended.err
    assert ended.err.count("hint: A spreadsheet has rounded it: ") == 1


def test_several_accounts_and_an_id_of_none(program: Program, call: Call) -> None:
    """The hint names the option that says whose an id is."""
    accounts = "".join(f'[accounts.{name}]\ndata_center = "sandbox"\n' for name in "ab")
    (program.folder / "jobs.toml").write_text(accounts)
    ended = call("run", "jobs.toml", IDS[0])
    assert ended.status == 2
    assert "which account?" in ended.err
    assert "--account NAME" in ended.err
