"""The gate: a client middleware that every single request passes.

aiohttp repeats an idempotent request by itself when its connection dies before an answer, on fresh
connections too (aio-libs/aiohttp#10790). The server counts both. A middleware is the one place
that sees every attempt, so the slot is taken here, and low-level errors are turned into our own
here, which aiohttp does not repeat.

Our errors are raised outside the `except` blocks on purpose: an aiohttp error can hold the request
with its Authorization header, and must not travel along as a context.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from bulkfetch.clock import boottime
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ConnectFailed,
    ConnectionLost,
    Stalled,
    TlsFailed,
)
from bulkfetch.transfer.attempt import Attempt
from bulkfetch.zoho.replies import printable, retry_after

if TYPE_CHECKING:
    from bulkfetch.window import Permit, Window
    from bulkfetch.zoho.tokens import TokenSource


def gate(
    window: Window, tokens: TokenSource, attempt: Attempt, headers_s: float
) -> aiohttp.ClientMiddlewareType:
    """Make the middleware of one attempt: slot, token, request, and the slot settled by its end.

    The first request spends the slot that the attempt brought; any other one, such as a repeat by
    aiohttp, has to wait for its own.

    `headers_s` bounds the time from the slot to the response head; the window's lease is longer.
    Raises ConnectFailed and TlsFailed (nothing was sent, the slot is free again), ConnectionLost,
    Stalled and BadResponse (the server may have counted the request), AccountError from `tokens`.
    If cancelled: a slot that was taken is settled as an unknown outcome, as unused where there is
    no connection yet.
    """

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        permit, taken_at = await _permit(window, attempt)
        try:
            attempt.token = await tokens.token()
            while boottime() - taken_at > headers_s / 2:
                # The token, or a suspended machine, took its time: the lease may run out before
                # the request is there. Nothing was sent; another slot.
                permit.unused()
                permit, taken_at = await window.acquire(), boottime()
        except BaseException:
            permit.unused()
            raise
        # Never in a variable: tools that report errors show those of every frame.
        request.headers[hdrs.AUTHORIZATION] = f"Zoho-oauthtoken {attempt.token.reveal()}"
        attempt.requests += 1
        attempt.connected = False
        try:
            async with asyncio.timeout(headers_s - (boottime() - taken_at)):
                response = await handler(request)
        except (aiohttp.ClientError, OSError, ValueError) as foreign:
            error, sent = _own(foreign, headers_s)
            if sent and not attempt.connected:
                error, sent = _unconnected(error, headers_s), False
        except BaseException:
            if attempt.connected:
                permit.lost()
            else:
                attempt.requests -= 1
                permit.unused()
            raise
        else:
            settle(permit, response)
            return response
        if sent:
            permit.lost()
        else:
            attempt.requests -= 1
            permit.unused()
        raise error

    return middleware


async def _permit(window: Window, attempt: Attempt) -> tuple[Permit, float]:
    """Give the slot that the attempt brought, else wait for one; and when it was taken."""
    permit, attempt.permit = attempt.permit, None
    if permit is not None:
        return permit, attempt.permit_at
    return await window.acquire(), boottime()


def settle(permit: Permit, response: aiohttp.ClientResponse) -> None:
    """Tell the window how a request was answered: its slot's minute starts at the answer."""
    if response.status == 429:
        headers = response.headers
        wait_s = retry_after(headers.get("Retry-After"), headers.get("Date"), time.time())
        permit.rejected(wait_s)
    else:
        permit.answered()


def _own(foreign: Exception, headers_s: float) -> tuple[BulkfetchError, bool]:
    """Turn a foreign error into ours, and say whether the request may have been sent."""
    match foreign:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return TlsFailed(_reason(foreign)), False
        case aiohttp.ClientHttpProxyError():
            return ConnectFailed(f"the proxy answered HTTP {foreign.status}"), False
        case aiohttp.ClientConnectorError():
            return ConnectFailed(_reason(foreign)), False
        case aiohttp.ConnectionTimeoutError():
            return ConnectFailed("no connection within the time allowed"), False
        case TimeoutError():
            return Stalled(f"no answer within {headers_s:g} s"), True
        case aiohttp.ClientResponseError():
            return BadResponse(f"not HTTP: {printable(foreign.message, 200)}"), True
        case aiohttp.ServerDisconnectedError():
            return ConnectionLost("the server closed the connection without an answer"), True
        case _:
            return ConnectionLost(_reason(foreign)), True


def _unconnected(error: BulkfetchError, headers_s: float) -> ConnectFailed:
    """Make the error for a request that got no connection; a proxy that is none gives none."""
    if isinstance(error, Stalled):
        return ConnectFailed(f"no connection within {headers_s:g} s")
    return ConnectFailed(error.message)


def _reason(foreign: Exception) -> str:
    # The text of connector errors names host, port and the system's reason: no header, no token.
    # That of a bad URL names the proxy with its password.
    if isinstance(foreign, aiohttp.InvalidURL):
        return type(foreign).__name__
    return printable(str(foreign) or type(foreign).__name__, 200)
