"""Every body goes to disk through aiofiles: all of its bytes, once, and nothing after a cancel."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import patch

import aiohttp
import pytest
import trustme
from aiofiles.threadpool.binary import AsyncBufferedIOBase
from tests.support.whole_runs import account, fetch, run_whole, settings

from bulkfetch.download.attempt import Attempt
from bulkfetch.download.body import BATCH_BYTES, Watchdog, save_body
from bulkfetch.download.tls import client_context
from bulkfetch.errors import Stalled, TooLarge, Truncated
from bulkfetch.sandbox import JobSpec, Sandbox, SandboxOptions

BODY = random.Random(5).randbytes(5 * BATCH_BYTES + 12345)
Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def counted_writes() -> Iterator[list[tuple[str, int]]]:
    """Note the name of the file and the bytes of each write through aiofiles."""
    writes: list[tuple[str, int]] = []
    writelines = AsyncBufferedIOBase.writelines

    async def noting(file: AsyncBufferedIOBase, lines: Iterable[bytes]) -> None:
        pieces = list(lines)
        writes.append((Path(str(file.name)).name, sum(map(len, pieces))))
        await writelines(file, pieces)

    with patch.object(AsyncBufferedIOBase, "writelines", noting):
        yield writes


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    "size",
    [1 << 10, 200 << 10, 2 << 20, 16 << 20, pytest.param(100 << 20, marks=pytest.mark.slow)],
    ids=lambda size: f"{size >> 10}K",
)
def test_a_body_of_any_size_is_written_through_aiofiles(
    tmp_path: Path, size: int, framing: str
) -> None:
    """Each byte of the ZIP, in batches of half a mebibyte, and no other way."""
    job = "554023000000568002"

    async def main() -> int:
        options = SandboxOptions(jobs={job: JobSpec(payload_bytes=size)}, framing=framing)  # type: ignore[arg-type]
        async with Sandbox(options) as sandbox:
            ran = await fetch(settings(tmp_path, account(sandbox.url)), [job])
            assert ran.report.done == 1
            return sandbox.zip_of(job).length

    with counted_writes() as writes:
        length = run_whole(main())
    assert {name for name, _ in writes} == {f"default.{job}.part"}
    assert sum(count for _, count in writes) == length
    assert len(writes) <= length // BATCH_BYTES + 1


def head(length: int = len(BODY)) -> bytes:
    """Give the head of an answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()


async def whole(writer: asyncio.StreamWriter) -> None:
    """Send all of it."""
    writer.write(head() + BODY)
    await writer.drain()


@asynccontextmanager
async def answering(send: Send, tls: bool = False) -> AsyncIterator[tuple[Watchdog, Attempt]]:
    """Serve one answer; give what reads its body."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await send(writer)
            await ended.wait()
        finally:
            writer.close()

    ours: ssl.SSLContext | None = None
    theirs: ssl.SSLContext | bool = True
    if tls:
        authority = trustme.CA()
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(ours)
        theirs = client_context()
        authority.configure_trust(theirs)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ours)
    url = f"http{'s' if tls else ''}://localhost:{server.sockets[0].getsockname()[1]}/"
    connector = aiohttp.TCPConnector(ssl=theirs)
    attempt = Attempt()
    async with server, aiohttp.ClientSession(connector=connector) as session:
        response = await session.get(url)
        try:
            yield Watchdog(response.content, attempt, 0.3, 0.0), attempt
        finally:
            response.close()
            ended.set()
            await asyncio.sleep(0)


async def save(watchdog: Watchdog, part: Path, cap_bytes: int = 1 << 30) -> int:
    """Write a body to `part` from its beginning."""
    return await save_body(watchdog.read, b"", part, offset=0, cap_bytes=cap_bytes)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_byte_comes_and_is_counted(tmp_path: Path, tls: bool) -> None:
    """The file is the body."""

    async def main() -> None:
        async with answering(whole, tls) as (watchdog, attempt):
            assert await save(watchdog, tmp_path / "part") == len(BODY)
            assert attempt.received == len(BODY)
        assert (tmp_path / "part").read_bytes() == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_slow_disk_holds_up_the_sender(tmp_path: Path) -> None:
    """While a write waits no more than a batch and the read buffer come in; the loop goes on."""
    part = tmp_path / "part"
    os.mkfifo(part)  # a file that takes no more than its reader has made room for

    async def main() -> None:
        async with answering(whole) as (watchdog, _):
            saving = asyncio.create_task(save(watchdog, part))
            reader = await asyncio.to_thread(os.open, part, os.O_RDONLY)
            got = bytearray()
            while piece := await asyncio.to_thread(os.read, reader, 100_000):
                got += piece
            os.close(reader)
            assert await saving == len(BODY)
        assert got == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("sent", [777, BATCH_BYTES + 777])
def test_a_cancelled_transfer_writes_no_more(tmp_path: Path, sent: int) -> None:
    """The file is closed when the cancel comes back, though the server sends nothing more."""
    part = tmp_path / "part"

    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[:sent])
        await writer.drain()

    async def main() -> None:
        async with answering(half) as (watchdog, attempt):
            saving = asyncio.create_task(save(watchdog, part))
            while attempt.received < sent:
                await asyncio.sleep(0)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
            assert str(part) not in map(os.path.realpath, Path("/proc/self/fd").iterdir())
            assert BODY.startswith(part.read_bytes())

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("sent", [777, 3 * BATCH_BYTES + 777])
def test_what_came_before_a_break_is_written(tmp_path: Path, sent: int) -> None:
    """A body that breaks off is truncated, and each byte that came is in the file."""

    attempts: list[Attempt] = []

    async def breaking(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[:sent])
        await writer.drain()
        while not attempts or attempts[0].received < sent:
            await asyncio.sleep(0)
        writer.close()

    async def main() -> None:
        async with answering(breaking) as (watchdog, attempt):
            attempts.append(attempt)
            with pytest.raises(Truncated):
                await save(watchdog, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY[:sent]

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.slow
def test_a_body_that_stops_is_stalled_and_kept(tmp_path: Path) -> None:
    """No byte for the idle time ends it; what came is in the file, to be resumed from."""

    async def stopping(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[:777])
        await writer.drain()

    async def main() -> None:
        async with answering(stopping) as (watchdog, _):
            with pytest.raises(Stalled, match="no byte"):
                await save(watchdog, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY[:777]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_no_byte_beyond_the_cap_is_written(tmp_path: Path) -> None:
    """A body that grows beyond what is allowed is given up before it is on the disk."""

    async def main() -> None:
        async with answering(whole) as (watchdog, _):
            with pytest.raises(TooLarge):
                await save(watchdog, tmp_path / "part", cap_bytes=BATCH_BYTES + 1)
        assert (tmp_path / "part").stat().st_size <= BATCH_BYTES + 1

    asyncio.run(asyncio.wait_for(main(), 60))
