"""The HTTP session: what aiohttp must and must not do by itself."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from types import SimpleNamespace

import aiohttp

from bulkfetch.download.attempt import Attempt
from bulkfetch.download.resolver import Resolver
from bulkfetch.download.tls import shared_context
from bulkfetch.zoho.request_errors import Sending

# Servers commonly drop idle connections after 15 to 60 s. Ours go first: a request sent into a
# connection that is just being closed is a lost request, and costs a slot.
KEEP_ALIVE_S = 10.0
# For callers without limits of their own.
CONNECT_S = 30.0
# The longest status line and the longest single header that are taken: policies and cookies that
# gateways add are longer than aiohttp's 8,190 bytes. With its bound of 128 headers a head is no
# more than 8 MiB.
HEADER_BYTES = 64 << 10
# aiohttp refuses what is as long as its bound, and counts the blanks around a value.
_BOUND = HEADER_BYTES + 256


def open_session(
    ca_file: Path | None = None,
    *,
    connect_s: float = CONNECT_S,
    secure: bool = True,
    connector: aiohttp.BaseConnector | None = None,
) -> aiohttp.ClientSession:
    """Make a session for result requests and token refreshes; to be closed by its user.

    The sockets' receive buffers are left to the kernel: set by hand, they would no longer grow with
    the distance of the server. `ca_file` adds authorities to the system's. Nothing is taken from
    the environment (`trust_env` would also send `.netrc` credentials), no cookie is kept, no time
    limit holds for whole requests: bodies may be large. A name is looked up within `connect_s`, and
    a connection that carries nothing for so long is given up. The authorities are read when they
    are first wanted, which takes tens of milliseconds: have `shared_context` called in a thread
    before. Not `secure`: for http alone, they are not read.
    A `connector` is the caller's, who closes it: it decides how names are looked up, whom TLS
    trusts, what its sockets do when they are closed and how many connections there are. All else
    is as said here.

    Raises OSError, ssl.SSLError for an unusable `ca_file`.
    """
    return aiohttp.ClientSession(
        connector=connector
        or aiohttp.TCPConnector(
            # Else one that trusts nobody.
            ssl=shared_context(ca_file) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            resolver=Resolver(connect_s),
            socket_factory=_sockets(connect_s),
            limit=0,  # the dispatchers count the requests in flight
            keepalive_timeout=KEEP_ALIVE_S,
        ),
        connector_owner=connector is None,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Nothing packed is asked for, and nothing is unpacked unasked: 51 KB can become 52 MB.
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        max_line_size=_BOUND,
        max_field_size=_BOUND,
        auto_decompress=False,
        trace_configs=[_connections()],
    )


def _sockets(deliver_s: float) -> aiohttp.SocketFactoryType:
    """Have the kernel send nothing on behalf of a request that was given up.

    It would go on for minutes where a line is down, after the request's slot was given to another
    one. So what is not acknowledged is dropped when the socket is closed, also by a kill of the
    process; and after `deliver_s` in any case, since a process may be frozen.
    """

    def opened(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * deliver_s))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return made

    return opened


def _connections() -> aiohttp.TraceConfig:
    """Have each request know when it has got its connection: from then on it may be sent."""

    async def connected(
        session: aiohttp.ClientSession, context: SimpleNamespace, parameters: object
    ) -> None:
        if isinstance(context.trace_request_ctx, Attempt | Sending):
            context.trace_request_ctx.connected = True

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(connected)
    config.on_connection_reuseconn.append(connected)
    return config
