import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.support.programs import IDS, Program

from bulkfetch.cli.stdout_writer import StdoutWriter


@pytest.mark.slow
def test_closed_reader_stops_the_run(program: Program) -> None:
    """When nobody reads stdout any more the run stops as at Ctrl-C, and loses nothing."""
    settings = program.settings()
    process = program.start("run", settings, "--ids", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write("".join(f"{job}\n" for job in IDS[1:3]).encode())
    process.stdin.flush()
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    err = process.stderr.read().decode()
    assert "warning: stdout was closed" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    process.stdin.close()
    process.stderr.close()
    again = program.run("run", settings, *IDS[:3], "--json")
    assert again.status == 0
    assert again.records[-1]["done"] + again.records[-1]["skipped"] == 3


@pytest.mark.slow
def test_a_closed_reader_is_noticed_without_another_result(program: Program) -> None:
    """The list is still open and nothing more comes of it: the last line's failure is enough."""
    process = program.start("run", program.settings(), "--ids", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    assert b"warning: stdout was closed" in process.stderr.read()
    process.stderr.close()
    process.stdin.close()


@pytest.mark.slow
def test_full_disk_behind_stdout(program: Program) -> None:
    """Results that cannot be written end the run with 3: nobody must take them for whole."""
    with Path("/dev/full").open("wb") as full:
        process = program.start("run", program.settings(), IDS[0], stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"error: STDOUT_FAILED: stdout: No space left on device" in err


@pytest.mark.slow
@pytest.mark.parametrize("words", [("run", IDS[0]), ("export",)])
def test_a_full_stdout_is_told_once_beside_the_sums(
    program: Program, words: tuple[str, ...]
) -> None:
    """However many lines are lost, stderr has one error, and what the run came to all the same."""
    command, *ids = words
    settings = program.settings('[[exports]]\nmodule = "Leads"\n')
    with Path("/dev/full").open("wb") as full:
        process = program.start(command, settings, *ids, "--json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.count(b"error: STDOUT_FAILED: ") == 1
    assert b"1 done; " in err


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",), ("schema",)])
def test_a_page_that_cannot_be_written_is_no_bug(program: Program, words: tuple[str, ...]) -> None:
    """Help and version end on a full disk as every other output does: one error, status 3."""
    with Path("/dev/full").open("wb") as full:
        process = program.start(*words, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.decode().splitlines() == [
        "error: STDOUT_FAILED: stdout: No space left on device",
        "hint: Free some space, or redirect stdout elsewhere; then run the same command again.",
    ]


def test_a_closed_reader_of_the_help_is_no_error(program: Program) -> None:
    """`bulkfetch --help | head -1` says nothing but the line, and ends as a closed pipe does."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        process = program.start("--help", stdout=closed)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")


@pytest.mark.slow
def test_paused_reader_does_not_stop_signals(program: Program) -> None:
    """A pager that does not read on holds up its run, but Ctrl-C still works, both times."""
    ids = program.folder / "ids.txt"
    # More text than pipe and queue hold, so that the writer is blocked.
    ids.write_text("".join(f"x{number}\n" for number in range(20_000)))
    process = program.start("run", program.settings(), "--ids", "ids.txt", "--json", "-q")
    assert process.stdout is not None
    json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # sooner it would be the same stop
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_outlet_keeps_order_and_loses_nothing() -> None:
    """A slow reader gets every line in order; who writes waits instead of filling the memory."""
    read, write = os.pipe()
    writer = StdoutWriter(write)
    lines = [b"%d\n" % number * 200 for number in range(5000)]

    async def produce() -> None:
        for line in lines:
            await writer.send(line)
        await asyncio.to_thread(writer.close)
        os.close(write)

    async def both() -> bytes:
        producing = asyncio.create_task(produce())
        with os.fdopen(read, "rb") as reader:
            got = await asyncio.to_thread(reader.read)
        await producing
        return got

    assert asyncio.run(both()) == b"".join(lines)


def test_outlet_tells_who_waits_that_the_reader_is_gone() -> None:
    """Whoever waits for room is woken by the reader's end."""
    read, write = os.pipe()
    writer = StdoutWriter(write)

    async def produce() -> None:
        while True:
            await writer.send(b"x" * 65536)

    async def leave() -> None:
        producing = asyncio.create_task(produce())
        await asyncio.sleep(0)
        os.close(read)
        await producing

    with pytest.raises(BrokenPipeError):
        asyncio.run(leave())
    writer.close()
    os.close(write)


def test_outlet_writes_to_a_nonblocking_descriptor() -> None:
    """A descriptor that somebody made non-blocking still gets every byte."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    writer = StdoutWriter(write)
    writer.put(b"y" * 500_000)
    got = b""
    while len(got) < 500_000:
        got += os.read(read, 65536)
    writer.close()
    os.close(read)
    os.close(write)
    assert got == b"y" * 500_000
