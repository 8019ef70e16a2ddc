"""The HTTP session: what aiohttp must and must not do by itself."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp

# A receive buffer set by hand: the kernel grows its own too late for bursts of this size. More
# than half a MiB gained nothing (benchmarks/README.md).
RECEIVE_BUFFER_BYTES = 512 << 10
# Servers commonly drop idle connections after 15 to 60 s. Ours go first: a request sent into a
# connection that is just being closed is a lost request, and costs a slot.
KEEP_ALIVE_S = 10.0


def open_session(ca_file: Path | None = None) -> aiohttp.ClientSession:
    """Make a session for result requests and token refreshes; to be closed by its user.

    `ca_file` adds authorities to the system's. Nothing is taken from the environment (`trust_env`
    would also send `.netrc` credentials), no cookie is kept, no time limit holds for whole
    requests: bodies may be large. Raises OSError, ssl.SSLError for an unusable `ca_file`.
    """
    trusted: ssl.SSLContext | bool = True
    if ca_file is not None:
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(cafile=ca_file)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=trusted,
            limit=0,  # the lanes count the requests in flight
            keepalive_timeout=KEEP_ALIVE_S,
            socket_factory=_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Nothing packed is asked for, and nothing is unpacked unasked: 51 KB can become 52 MB.
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        auto_decompress=False,
    )


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return sock
