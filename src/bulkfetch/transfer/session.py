"""The HTTP session: what aiohttp must and must not do by itself."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from bulkfetch.transfer.tls import client_context

# Servers commonly drop idle connections after 15 to 60 s. Ours go first: a request sent into a
# connection that is just being closed is a lost request, and costs a slot.
KEEP_ALIVE_S = 10.0


def open_session(ca_file: Path | None = None) -> aiohttp.ClientSession:
    """Make a session for result requests and token refreshes; to be closed by its user.

    The sockets' receive buffers are left to the kernel: set by hand, they would no longer grow with
    the distance of the server. `ca_file` adds authorities to the system's. Nothing is taken from
    the environment (`trust_env` would also send `.netrc` credentials), no cookie is kept, no time
    limit holds for whole requests: bodies may be large.

    Raises OSError, ssl.SSLError for an unusable `ca_file`.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=client_context(ca_file),
            limit=0,  # the lanes count the requests in flight
            keepalive_timeout=KEEP_ALIVE_S,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Nothing packed is asked for, and nothing is unpacked unasked: 51 KB can become 52 MB.
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        auto_decompress=False,
    )
