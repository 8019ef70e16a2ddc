"""Large bodies come straight off the transport: the same bytes, the same ends, no parser."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from io import FileIO
from pathlib import Path

import aiohttp
import pytest
import trustme

from bulkfetch.errors import Stalled, Truncated
from bulkfetch.transfer.attempt import Attempt
from bulkfetch.transfer.body import ParsedBody
from bulkfetch.transfer.direct import WORTH_BYTES, DirectBody, take_over
from bulkfetch.transfer.early_sync import EarlySync
from bulkfetch.transfer.tls import client_context
from bulkfetch.transfer.turn import BLOCK_BYTES, Turn
from bulkfetch.transfer.watchdog import Watchdog

BODY = random.Random(5).randbytes(WORTH_BYTES + 3 * BLOCK_BYTES + 12345)
Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(length: int = len(BODY), more: str = "") -> bytes:
    """Give the head of an answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{more}\r\n".encode()


async def whole(writer: asyncio.StreamWriter) -> None:
    """Send all of it."""
    writer.write(head() + BODY)
    await writer.drain()


@asynccontextmanager
async def answering(
    send: Send, authority: trustme.CA | None = None
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, list[int]]]:
    """Serve answers to any number of requests per connection; note the connections."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await send(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            connections[-1] += 1  # gone
        finally:
            writer.close()

    ours: ssl.SSLContext | None = None
    theirs: ssl.SSLContext | bool = True
    if authority is not None:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(ours)
        theirs = client_context()
        authority.configure_trust(theirs)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ours)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if authority is None else "https"
    connector = aiohttp.TCPConnector(ssl=theirs)
    async with server, aiohttp.ClientSession(connector=connector) as session:
        yield session, f"{scheme}://localhost:{port}/", connections


async def taken(
    session: aiohttp.ClientSession,
    url: str,
    part: Path,
    idle_s: float = 60.0,
    turn: Turn | None = None,
) -> tuple[DirectBody, Attempt]:
    """Fetch to a file by the direct way, which must be open; close the connection."""
    turn = turn or Turn()
    attempt = Attempt()
    response = await session.get(url)
    try:
        async with Watchdog(attempt, idle_s, 0.0) as watchdog:
            first = await watchdog.read(response.content)
            body = await take_over(response, watchdog, first, len(BODY) - len(first), turn)
            assert body is not None
            assert await body.save(part, offset=0) == len(BODY)
    finally:
        response.close()
    return body, attempt


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_byte_comes(tmp_path: Path, tls: bool) -> None:
    """The file is the body, all bytes are counted, and the session closes without waiting."""

    async def main() -> None:
        async with answering(whole, trustme.CA() if tls else None) as (session, url, _):
            body, attempt = await taken(session, url, tmp_path / "part")
            assert (body.bytes, attempt.received) == (len(BODY), len(BODY))
        assert (tmp_path / "part").read_bytes() == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_sync_that_fails_on_the_way_fails_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk lost while the body arrived is told, although every write went well."""
    synced: list[int] = []

    def lose(fd: int) -> None:
        os.fsync(fd)
        synced.append(os.fstat(fd).st_size)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr("bulkfetch.transfer.early_sync.EARLY_SYNC_BYTES", WORTH_BYTES)
    monkeypatch.setattr("bulkfetch.transfer.direct.EarlySync", partial(EarlySync, sync=lose))

    async def main() -> None:
        async with answering(whole) as (session, url, _):
            with pytest.raises(OSError, match="lost"):
                await taken(session, url, tmp_path / "part")

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(synced) == 1
    assert synced[0] >= WORTH_BYTES


def test_the_connection_is_not_used_again(tmp_path: Path) -> None:
    """Its parser has not seen the body: the next request has a connection of its own."""

    async def main() -> None:
        async with answering(whole) as (session, url, connections):
            await taken(session, url, tmp_path / "one")
            await taken(session, url, tmp_path / "two")
            assert len(connections) == 2
        assert (tmp_path / "two").read_bytes() == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_slow_disk_holds_up_the_sender(tmp_path: Path, tls: bool) -> None:
    """While a write waits nothing is read from the socket, and the event loop goes on."""
    part = tmp_path / "part"
    os.mkfifo(part)  # a file that takes no more than its reader has made room for

    async def main() -> None:
        async with answering(whole, trustme.CA() if tls else None) as (session, url, _):
            fetching = asyncio.create_task(taken(session, url, part))
            reader = await asyncio.to_thread(os.open, part, os.O_RDONLY)
            got = bytearray()
            while piece := await asyncio.to_thread(os.read, reader, 100_000):
                got += piece
            os.close(reader)
            await fetching
        assert got == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_who_waits_holds_up_nobody(tmp_path: Path, tls: bool) -> None:
    """While one body waits for its server and one for its disk, a third comes whole."""
    sent, hung = WORTH_BYTES + 777, tmp_path / "hung"
    os.mkfifo(hung)
    turn = Turn(patience_s=0.05)  # the hung one keeps it

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def first_halves_later_wholes(writer: asyncio.StreamWriter) -> None:
            if begun.is_set():
                await whole(writer)
                return
            writer.write(head() + BODY[:sent])
            begun.set()
            await go_on.wait()
            writer.write(BODY[sent:])
            await writer.drain()

        authority = trustme.CA() if tls else None
        async with answering(first_halves_later_wholes, authority) as (session, url, _):
            one = asyncio.create_task(taken(session, url, tmp_path / "one", turn=turn))
            await begun.wait()
            two = asyncio.create_task(taken(session, url, hung, turn=turn))
            reader = await asyncio.to_thread(os.open, hung, os.O_RDONLY)
            await taken(session, url, tmp_path / "three", turn=turn)
            assert not one.done()
            assert not two.done()
            go_on.set()
            while await asyncio.to_thread(os.read, reader, 1 << 20):
                pass
            os.close(reader)
            await asyncio.gather(one, two)
        assert (tmp_path / "one").read_bytes() == BODY
        assert (tmp_path / "three").read_bytes() == BODY

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_what_comes_in_drops_is_written_in_blocks(tmp_path: Path, tls: bool) -> None:
    """Small pieces with pauses between them: every byte comes, in few writes."""
    drop = 50_000

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(head())
        for start in range(0, len(BODY), drop):
            writer.write(BODY[start : start + drop])
            await writer.drain()
            await asyncio.sleep(0.001)

    writes = 0
    write = DirectBody._write

    def counted(body: DirectBody, file: FileIO, data: memoryview) -> None:
        nonlocal writes
        writes += 1
        write(body, file, data)

    async def main() -> None:
        async with answering(dripping, trustme.CA() if tls else None) as (session, url, _):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(DirectBody, "_write", counted)
                await taken(session, url, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY
        # Blocks, and what had come before the body was taken over.
        assert writes <= -(-len(BODY) // BLOCK_BYTES) + 20

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_cancelled_transfer_writes_no_more(tmp_path: Path, tls: bool) -> None:
    """Its thread has ended when the cancel comes back, though the server sends nothing more."""
    sent = WORTH_BYTES + 777
    part = tmp_path / "part"

    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[:sent])
        await writer.drain()

    async def main() -> None:
        async with answering(half, trustme.CA() if tls else None) as (session, url, _):
            fetching = asyncio.create_task(taken(session, url, part))
            while not part.exists():
                await asyncio.sleep(0)
            before = threading.active_count()
            fetching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await fetching
            assert threading.active_count() <= before
            written = part.read_bytes()
            assert BODY.startswith(written)
            assert len(written) <= sent

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_what_came_before_a_break_is_written(tmp_path: Path, tls: bool) -> None:
    """A body that breaks off is truncated, and each byte that came is in the file."""
    sent = WORTH_BYTES + 777

    async def breaking(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[:sent])
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with answering(breaking, trustme.CA() if tls else None) as (session, url, _):
            with pytest.raises(Truncated):
                await taken(session, url, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY[:sent]

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_body_that_stops_is_stalled(tmp_path: Path, tls: bool) -> None:
    """No byte for the idle time ends it, though less than a block has come since."""

    seen = asyncio.Event()

    async def stopping(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + BODY[: WORTH_BYTES + 777])
        await writer.drain()
        await seen.wait()

    async def main() -> None:
        async with answering(stopping, trustme.CA() if tls else None) as (session, url, _):
            with pytest.raises(Stalled):
                await taken(session, url, tmp_path / "part", idle_s=0.3)
            seen.set()

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(
    ("rest", "more"),
    [(WORTH_BYTES - 1, ""), (None, ""), (len(BODY), "Transfer-Encoding: chunked\r\n")],
    ids=["short", "of unknown length", "in chunks"],
)
def test_other_bodies_stay_with_the_parser(rest: int | None, more: str) -> None:
    """Short ones keep their connection; framed ones and those without a length need the parser."""

    async def some(writer: asyncio.StreamWriter) -> None:
        body = b"3\r\nPK.\r\n0\r\n\r\n" if more else b"PK."
        length = "" if more else "Content-Length: 3\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{length}{more}\r\n".encode() + body)
        await writer.drain()

    async def main() -> None:
        async with (
            answering(some) as (session, url, _),
            session.get(url) as response,
            Watchdog(Attempt(), 60.0, 0.0) as watchdog,
        ):
            assert await take_over(response, watchdog, b"", rest, Turn()) is None
            body = ParsedBody(response.content, watchdog, b"", 100)
            assert b"".join(await body.batch()) == b"PK."

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.slow
def test_a_body_that_is_over_holds_no_memory(tmp_path: Path) -> None:
    """The blocks are gone with the body's end, though connection and protocol hold each other."""

    async def main() -> None:
        async with answering(whole) as (session, url, _):
            gc.collect()
            gc.disable()
            try:
                before = held_blocks()
                await taken(session, url, tmp_path / "part")
                while held_blocks() != before:  # its thread has told of the end, and lets go of it
                    await asyncio.sleep(0.001)
            finally:
                gc.enable()

    asyncio.run(asyncio.wait_for(main(), 60))


def held_blocks() -> int:
    """Count what is alive of blocks, by what sees them."""
    return sum(
        isinstance(thing, memoryview) and thing.nbytes == BLOCK_BYTES for thing in gc.get_objects()
    )
