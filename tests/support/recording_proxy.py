"""An HTTP proxy on a loopback port that keeps every byte it was sent, and answers as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PAGE = b"<html><h1>The proxy says no</h1></html>"
# What a proxy may say to CONNECT in place of a tunnel; None is nothing, b"" the end.
ANSWERS: dict[str, bytes | None] = {
    "407": b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n",
    "502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "closes": b"",
    "silent": None,
}


@dataclass
class RecordingProxy:
    """`asked` are the first lines of what came, `sent` every byte in the clear.

    With `target` (a port of this machine) every CONNECT leads there, whatever host it names;
    else `answer` is one of ANSWERS.
    """

    target: int | None = None
    answer: str = "502"
    port: int = 0
    asked: list[str] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.closing(writer),
            contextlib.suppress(ConnectionError, asyncio.IncompleteReadError),
        ):
            head = await reader.readuntil(b"\r\n\r\n")
            self.sent += head
            self.asked.append(head.split(b"\r\n")[0].decode())
            if self.target is not None:
                await self._tunnel(reader, writer)
            elif (said := ANSWERS[self.answer]) is None:
                await reader.read()
            elif said:
                length = b"Content-Length: %d\r\n\r\n" % len(PAGE)
                writer.write(said + (length + PAGE if said.startswith(b"HTTP") else b""))
                await writer.drain()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while piece := await source.read(65536):
                    to.write(piece)
                    await to.drain()
            to.close()

        with contextlib.closing(back):
            await asyncio.gather(pump(reader, back), pump(there, writer))


@asynccontextmanager
async def recording_proxy(
    target: int | None = None, answer: str = "502"
) -> AsyncIterator[RecordingProxy]:
    """Serve until the block ends."""
    proxy = RecordingProxy(target, answer)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.001)  # closed transports say goodbye in the next rounds of the loop
