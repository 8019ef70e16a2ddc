"""The client middleware that every single request passes: it takes the slot and adds the token.

aiohttp repeats an idempotent request by itself when its connection dies before an answer, on fresh
connections too (aio-libs/aiohttp#10790). The server counts both. A middleware is the one place
that sees every attempt, so the slot is taken here, and low-level errors are turned into our own
here, which aiohttp does not repeat.

Our errors are raised outside the `except` blocks on purpose: an aiohttp error can hold the request
with its Authorization header, and must not travel along as a context.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from bulkfetch.clock import Clock
from bulkfetch.download.attempt import Attempt
from bulkfetch.zoho.request_errors import request_error
from bulkfetch.zoho.responses import read_head

if TYPE_CHECKING:
    from bulkfetch.ratelimit import Permit, SlotLimiter
    from bulkfetch.zoho.tokens import TokenSource


def rate_limit_middleware(
    limiter: SlotLimiter, tokens: TokenSource, attempt: Attempt, headers_s: float, clock: Clock
) -> aiohttp.ClientMiddlewareType:
    """Make the middleware of one attempt: slot, token, request, and the slot settled by its end.

    The slot of an answer is settled here where its status tells of the limit; else it goes to
    `attempt.answer`, since its words may do so too: whoever reads the body settles it.

    The first request spends the slot that the attempt brought; any other one, such as a repeat by
    aiohttp, has to wait for its own.

    `headers_s` bounds the time from the slot to the response head; the window's lease is longer.
    Raises ConnectFailed, TlsFailed and CertificateRefused (nothing was sent, the slot is free
    again), ConnectionLost, Stalled and BadResponse (the server may have counted the request),
    AccountError from `tokens`.
    If cancelled: a slot that was taken is settled as an unknown outcome, as unused where there is
    no connection yet.
    """

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        permit, attempt.permit = attempt.permit, None
        taken_at = attempt.permit_at
        if permit is None:
            permit, taken_at = await _acquire(limiter, attempt, clock)
        try:
            attempt.token = await tokens.token()
            while clock.boottime() - taken_at > headers_s / 2:
                # The token, or a suspended machine, took its time: the lease may run out before
                # the request is there. Nothing was sent; another slot.
                permit.unused()
                permit, taken_at = await _acquire(limiter, attempt, clock)
        except BaseException:
            permit.unused()
            raise
        # Never in a variable: tools that report errors show those of every frame.
        request.headers[hdrs.AUTHORIZATION] = f"Zoho-oauthtoken {attempt.token.reveal()}"
        attempt.requests += 1
        attempt.connected = False
        try:
            async with asyncio.timeout(headers_s - (clock.boottime() - taken_at)):
                response = await handler(request)
        except (aiohttp.ClientError, OSError, ValueError) as foreign:
            error, sent = request_error(
                foreign, headers_s, request.url.scheme, connected=attempt.connected
            )
        except BaseException:
            _unanswered(permit, attempt, sent=attempt.connected)
            raise
        else:
            if response.status == 429:
                permit.rejected(read_head(429, response.headers, clock.time()).retry_after_s)
            else:
                attempt.answer = (permit, asyncio.get_running_loop().time())
            return response
        _unanswered(permit, attempt, sent=sent)
        raise error

    return middleware


async def _acquire(limiter: SlotLimiter, attempt: Attempt, clock: Clock) -> tuple[Permit, float]:
    """Wait for a slot beyond the one that the attempt brought; return when it was taken too."""
    asked_at = clock.boottime()
    permit = await limiter.acquire()
    taken_at = clock.boottime()
    attempt.took(permit, taken_at - asked_at)
    return permit, taken_at


def _unanswered(permit: Permit, attempt: Attempt, *, sent: bool) -> None:
    if sent:
        permit.lost()
    else:
        attempt.requests -= 1
        permit.unused()
