"""One connection to a server and nothing more, to see whether there can be one.

As a session makes it: through the same proxy, with the same authorities, to the same host. No
request is sent, so that nothing counts for any limit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from bulkfetch.download.resolver import Resolver
from bulkfetch.download.tls import shared_context
from bulkfetch.errors import BulkfetchError, ConnectFailed, TlsFailed
from bulkfetch.text import escape

_PORTS = {"http": 80, "https": 443}
_HEAD_BYTES = 64 * 1024


class Connected(NamedTuple):
    """How a connection came about: the version of TLS (None: plain), the proxy's host (None)."""

    tls: str | None
    proxy: str | None


async def knock(url: str, proxy: str | None, ca_file: Path | None, within_s: float) -> Connected:
    """Connect to the server of an address, shake hands, and leave.

    `proxy` may hold a password; no error does. Raises ConnectFailed, TlsFailed. If cancelled: the
    connection is dropped.
    """
    failure: BulkfetchError
    try:
        async with asyncio.timeout(within_s):
            through = urlsplit(proxy) if proxy else None
            return await _knock(urlsplit(url), through, ca_file, within_s)
    except BulkfetchError as error:
        failure = error
    except TimeoutError:
        failure = ConnectFailed(f"no connection to {_host(urlsplit(url))} within {within_s:g} s")
    except ssl.CertificateError as foreign:
        reason = foreign.verify_message if isinstance(foreign, ssl.SSLError) else str(foreign)
        failure = TlsFailed(f"the certificate is not trusted: {escape(reason, 200)}")
    except ssl.SSLError as foreign:
        failure = TlsFailed(escape(foreign.reason or "the handshake failed", 200))
    except OSError as foreign:
        failure = ConnectFailed(escape(foreign.strerror or type(foreign).__name__, 200))
    # Outside of the `except`: the frames below hold the proxy's password.
    raise failure


async def _knock(
    there: SplitResult, proxy: SplitResult | None, ca_file: Path | None, within_s: float
) -> Connected:
    secure = there.scheme == "https"
    context = shared_context(ca_file) if secure else None
    first = proxy or there
    wraps = context if first.scheme == "https" else None
    reader, writer = await _open(first, wraps, within_s)
    try:
        if proxy is not None and context is not None:
            await _ask_for_tunnel(reader, writer, there, proxy)
            await writer.start_tls(context, server_hostname=there.hostname)
        tls = writer.get_extra_info("ssl_object")
        return Connected(tls.version() if tls else None, _host(proxy) if proxy else None)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _open(
    there: SplitResult, context: ssl.SSLContext | None, within_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address that takes a connection."""
    host, port = there.hostname or "", _port(there)
    failure = OSError("no address")
    try:
        # Not by the loop, whose lookups can neither be bounded nor left.
        found = await Resolver(within_s).resolve(host, port, socket.AF_UNSPEC)
    except OSError as foreign:
        found, failure = [], foreign
    for address in found:
        try:
            return await asyncio.open_connection(
                address["host"],
                port,
                ssl=context,
                server_hostname=host if context else None,
                limit=_HEAD_BYTES,
            )
        except ssl.SSLError:
            raise
        except OSError as foreign:
            failure = foreign
    # Not asyncio's words, which name the call.
    reason = failure.strerror if isinstance(failure, socket.gaierror) else None
    if reason is None and failure.errno is not None:
        reason = os.strerror(failure.errno)
    raise ConnectFailed(f"{_host(there)} cannot be reached: {escape(reason or str(failure), 200)}")


async def _ask_for_tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there: SplitResult,
    proxy: SplitResult,
) -> None:
    host = f"[{there.hostname}]" if ":" in (there.hostname or "") else there.hostname
    target = f"{host}:{_port(there)}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username is not None:
        known = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        head += f"Proxy-Authorization: Basic {b64encode(known.encode('latin-1')).decode()}\r\n"
    writer.write(f"{head}\r\n".encode("latin-1"))
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise ConnectFailed(f"the proxy {_host(proxy)} gave no answer that is HTTP") from None
    words = answer.split(b"\r\n", 1)[0].split()
    status = words[1].decode("ascii", "replace") if len(words) > 1 else ""
    if not words[0].startswith(b"HTTP/") or not status.isdigit():
        raise ConnectFailed(f"the proxy {_host(proxy)} gave no answer that is HTTP")
    if not status.startswith("2"):
        raise ConnectFailed(f"the proxy {_host(proxy)} answered HTTP {status}")


def _port(address: SplitResult) -> int:
    return address.port or _PORTS[address.scheme]


def _host(address: SplitResult) -> str:
    return f"{address.hostname}:{_port(address)}"
