"""Why a request failed, as an error of ours, and whether the server may have counted it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from bulkfetch.errors import BadResponse, BulkfetchError, ConnectFailed, ConnectionLost, Stalled
from bulkfetch.text import escape
from bulkfetch.zoho.connect_errors import connect_error

# How a TLS server's answer to a plain request begins, as aiohttp quotes it.
_TLS_ALERT = "\\x15\\x03"
_SAY_HTTPS = "Where the server speaks TLS, api_domain must begin with https://."


@dataclass(slots=True, eq=False)
class Sending:
    """A request under way. `connected`: it has got its connection, so it may have been sent."""

    connected: bool = False


def request_error(
    foreign: Exception, headers_s: float, scheme: str, *, connected: bool
) -> tuple[BulkfetchError, bool]:
    """Turn a foreign error into ours, and say whether the request may have been sent.

    `headers_s` is how long was waited for an answer, `scheme` that of the address.
    """
    error, sent = _own(foreign, headers_s, scheme)
    if not sent or connected:
        return error, sent
    if isinstance(error, Stalled):  # of a proxy that is none, say
        return ConnectFailed(f"no connection within {headers_s:g} s"), False
    return ConnectFailed(error.message), False


def _own(foreign: Exception, headers_s: float, scheme: str) -> tuple[BulkfetchError, bool]:
    failed = connect_error(foreign)
    if failed is not None:
        return failed, False
    match foreign:
        case TimeoutError():
            return Stalled(f"no answer within {headers_s:g} s"), True
        case aiohttp.ClientResponseError():
            if _TLS_ALERT in foreign.message:
                return BadResponse("the server speaks TLS at this port", hint=_SAY_HTTPS), True
            return BadResponse(f"not HTTP: {escape(foreign.message, 200)}"), True
        case aiohttp.ServerDisconnectedError():
            hint = f"{ConnectionLost.default_hint} {_SAY_HTTPS}" if scheme == "http" else None
            text = "the server closed the connection without an answer"
            return ConnectionLost(text, hint=hint), True
        case _:
            return ConnectionLost(_reason(foreign)), True


def _reason(foreign: Exception) -> str:
    # The text of these errors names the system's reason: no header, no token. That of a bad URL
    # names the proxy with its password.
    if isinstance(foreign, aiohttp.InvalidURL):
        return type(foreign).__name__
    return escape(str(foreign) or type(foreign).__name__, 200)
