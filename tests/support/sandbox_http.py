"""Two clients for a sandbox: one that asks properly, one that shows every byte of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bulkfetch.sandbox import Sandbox

RESULT = "/crm/bulk/v8/read/{}/result"


@dataclass(frozen=True)
class Answer:
    """Status, headers in small letters, and the body as bytes and, where it is JSON, as a value."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


async def ask(
    url: str,
    path: str,
    *,
    method: str = "GET",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Any = None,
    ssl: Any = True,
) -> Answer:
    """Ask once, on a connection of its own."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Zoho-oauthtoken {token}"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(
            method, url + path, headers=sent, json=json, data=data, allow_redirects=False, ssl=ssl
        ) as reply,
    ):
        body = await reply.read()
        is_json = reply.content_type == "application/json"
        return Answer(
            reply.status,
            {name.lower(): value for name, value in reply.headers.items()},
            body,
            await reply.json() if is_json and body else None,
        )


async def raw(url: str, path: str, *more: str, patience_s: float = 30.0) -> bytes:
    """Ask once and return every byte that came until the end, a silence of `patience_s` or twice
    that time."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *more]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    got = bytearray()
    loop = asyncio.get_running_loop()
    end = loop.time() + 2 * patience_s
    try:
        while len(got) < 8 << 20 and loop.time() < end:
            piece = await asyncio.wait_for(reader.read(1 << 16), patience_s)
            if not piece:
                break
            got += piece
    except (TimeoutError, ConnectionError):
        got += b""  # a reset or a stall: what came until then is the answer
    finally:
        writer.transport.abort()
    return bytes(got)


async def ended(sandbox: Sandbox) -> None:
    """Wait until the server is through with every request that has arrived.

    A client has the last byte a moment before the server has written down that it sent it.
    """
    while not all(arrival.ended for arrival in sandbox.log):
        await asyncio.sleep(0.005)
