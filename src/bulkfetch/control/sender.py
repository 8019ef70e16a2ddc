"""Sends a control call: with a place in the budget and a token, and reads its answer.

As with results, low-level errors are turned into ours within a middleware, since aiohttp would
repeat a GET by itself; and they are raised outside the `except` blocks, since an aiohttp error can
hold the request with its Authorization header.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import aiohttp
from aiohttp import hdrs

from bulkfetch.control.allowance import BELIEF_S, credits_exhausted
from bulkfetch.control.budget import ControlBudget, Place
from bulkfetch.control.calls import CREDITS, Call
from bulkfetch.control.responses import remaining_credits
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ConnectFailed,
    ConnectionLost,
    ControlPaused,
    CreateUnknown,
    CreditsSpent,
    InvalidOauthToken,
    InvalidToken,
    JobError,
    ScopeMismatch,
    Stalled,
    TokenRejected,
    Truncated,
)
from bulkfetch.secret import Secret
from bulkfetch.text import escape
from bulkfetch.zoho.redact import redacted
from bulkfetch.zoho.request_errors import Sending, request_error
from bulkfetch.zoho.responses import Head, read_head

if TYPE_CHECKING:
    from bulkfetch.zoho.tokens import TokenSource

T = TypeVar("T")

# The longest that the body of an answer may take: metadata is a few megabytes at most.
BODY_S = 120.0
BOTH_REFUSED = "calls and downloads were refused within a minute: the API credits are spent"


class CallTimes(NamedTuple):
    """How long is waited for a connection, and from there for the head of an answer; seconds."""

    connect_s: float = 30.0
    headers_s: float = 60.0

    @property
    def lease_s(self) -> float:
        """The longest that a call can take, the renewal of its token included."""
        return 2 * (self.connect_s + self.headers_s) + BODY_S


@dataclass(frozen=True, slots=True)
class ControlEndpoint:
    """Where an account's API is; `proxy` None means a direct connection."""

    api_domain: str
    version: str
    proxy: str | None = field(default=None, repr=False)  # may hold a password


@dataclass(slots=True, eq=False)
class _Asked(Sending):
    """A call under way: the token that was sent, and what its answer says besides its body.

    `refused` is the one that was sent before, if this call is a repeat. `status` is None until the
    answer is there as a whole.
    """

    token: Secret | None = None
    refused: Secret | None = None
    status: int | None = None
    remaining: int | None = None

    @property
    def is_well(self) -> bool:
        return self.status is not None and self.status < 300


class CallSender:
    """Sends calls of one account. Safe for any number of concurrent ones."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: ControlEndpoint,
        tokens: TokenSource,
        budget: ControlBudget,
        times: CallTimes,
        clock: Callable[[], float],
    ) -> None:
        if not session.trace_configs:  # else a lost answer would pass for a call that never left
            raise ValueError("a session of open_session is needed")
        self._session, self._endpoint, self._tokens = session, endpoint, tokens
        self._budget, self._times, self._clock = budget, times, clock
        userinfo, _, _ = (endpoint.proxy or "").partition("://")[2].rpartition("@")
        password = userinfo.partition(":")[2]
        self._secrets = [Secret(password)] if password else []
        #: What was spent here, by the price list; and what the service last said remains.
        self.credits = 0
        self.credits_remaining: int | None = None
        # When a 429 last came to a call, and when one came to a result; in the loop's time.
        self._refused_at: float | None = None
        self._window_refused_at: float | None = None

    async def ask(
        self,
        call: Call,
        judge: Callable[[Head, bytes], T | BulkfetchError],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Send a call, once, and return what `judge` makes of its answer; or raise it.

        Sent again is only what was refused for its token, and so not done. `before` is awaited each
        time that it may leave.

        Raises JobError and AccountError; CreditsSpent and ControlPaused (nothing was done);
        CreateUnknown where the answer to a create was lost.
        If cancelled: the call may have been done.
        """
        asked = _Asked()
        try:
            return await self._ask(call, judge, asked, before)
        except TokenRejected as error:
            # Only where it is certain that nothing was created.
            plain = isinstance(error, InvalidToken | InvalidOauthToken) and error.http == 401
            if asked.token is None or not (plain or call.kind != "create"):
                raise
            refused = asked.token
        await self._tokens.renew(refused)
        again = _Asked(refused=refused)
        try:
            return await self._ask(call, judge, again, before)
        except TokenRejected:
            if again.token is not None:
                await self._tokens.refuse(again.token)
            raise

    async def window_refused(self) -> bool:
        """As `ControlClient.window_refused`."""
        self._window_refused_at = asyncio.get_running_loop().time()
        return await self._are_credits_spent()

    async def _are_credits_spent(self) -> bool:
        spent = credits_exhausted(self._refused_at, self._window_refused_at)
        if spent:
            await self._budget.credits_spent()
        return spent

    async def _ask(
        self,
        call: Call,
        judge: Callable[[Head, bytes], T | BulkfetchError],
        asked: _Asked,
        before: Callable[[], Awaitable[None]] | None,
    ) -> T:
        await self._tokens.token()  # which may take long: so before there is a place
        result: T | BulkfetchError
        async with self._budget.call(call.kind) as place:
            try:
                if before is not None:
                    await before()
                result = judge(*await self._send(call, asked))
            except BulkfetchError as error:
                result = error
            finally:
                if not asked.connected:
                    place.unused()
            self._settle(call, asked, place, result)
        if not isinstance(result, BulkfetchError):
            return result
        if type(result) is ControlPaused and await self._are_credits_spent():
            result = CreditsSpent(BOTH_REFUSED, http=result.http, retry_after_s=BELIEF_S)
        if call.kind == "create" and asked.connected and asked.status is None:
            result = CreateUnknown(f"its answer was lost: {result.message}")
        # This frame, and those it came through, would hold the server's words as they were.
        result = self._clean(result, call, asked)
        raise result.with_traceback(None) from None

    def _settle(self, call: Call, asked: _Asked, place: Place, result: object) -> None:
        if not asked.connected:
            return
        if asked.remaining is not None or asked.is_well:
            self.credits_remaining = asked.remaining
        if type(result) is ControlPaused:
            self._refused_at = asyncio.get_running_loop().time()
            place.refused(result.retry_after_s, asked.remaining)
            return
        self.credits += CREDITS[call.kind]
        if asked.status is not None:
            place.answered(asked.remaining, well=asked.is_well)

    def _clean(self, error: BulkfetchError, call: Call, asked: _Asked) -> BulkfetchError:
        """Return the error without anything secret, and with the scopes that it is about."""
        query = (call.body or {}).get("query")
        token = query.get("page_token") if isinstance(query, dict) else None
        token = token or call.query.get("page_token")
        secrets = [*self._secrets, *([Secret(token)] if isinstance(token, str) else [])]
        for secret in [asked.token, asked.refused, *secrets]:
            if secret is not None:
                error = redacted(error, secret)
        if isinstance(error, ScopeMismatch):
            error.hint = f"Create a token with the scope {call.scopes}."
        return error

    async def _send(self, call: Call, asked: _Asked) -> tuple[Head, bytes]:
        """Send a call and read its answer. Raises JobError, AccountError."""
        headers, data = {"Accept": "application/json", **call.headers}, None
        if call.body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
            data = json.dumps(call.body, allow_nan=False).encode()
        try:
            response = await self._session.request(
                hdrs.METH_GET if data is None else hdrs.METH_POST,
                call.url(self._endpoint.api_domain),
                data=data,
                headers=headers,
                allow_redirects=False,
                proxy=self._endpoint.proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._times.connect_s),
                trace_request_ctx=asked,
                middlewares=(self._middleware(asked),),
            )
        except aiohttp.ClientError as foreign:  # of an address that cannot be asked
            unsent = ConnectFailed(type(foreign).__name__)
        else:
            try:
                head = read_head(response.status, response.headers, self._clock())
                asked.remaining = remaining_credits(response.headers)
                body = await _read(response, call.cap_bytes)
                asked.status = head.status
            except BaseException:
                response.close()
                raise
            response.release()
            return head, body
        raise unsent

    def _middleware(self, asked: _Asked) -> aiohttp.ClientMiddlewareType:
        patience_s = self._times.connect_s + self._times.headers_s

        async def middleware(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            asked.token = await self._tokens.token()
            # Never in a variable: tools that report errors show those of every frame.
            request.headers[hdrs.AUTHORIZATION] = f"Zoho-oauthtoken {asked.token.reveal()}"
            try:
                async with asyncio.timeout(patience_s):
                    return await handler(request)
            except (aiohttp.ClientError, OSError, ValueError) as foreign:
                error, asked.connected = request_error(
                    foreign, patience_s, request.url.scheme, connected=asked.connected
                )
            raise error

        return middleware


async def _read(response: aiohttp.ClientResponse, cap_bytes: int) -> bytes:
    """Return the body of an answer; of an error as much as came. Raises JobError."""
    body, content = bytearray(), response.content
    error: JobError
    try:
        if (response.content_length or 0) > cap_bytes:
            raise BadResponse(f"{response.content_length} bytes announced", http=response.status)
        async with asyncio.timeout(BODY_S):
            while data := await content.readany():
                body += data
                if len(body) > cap_bytes:
                    raise BadResponse(f"more than {cap_bytes} bytes", http=response.status)
            return bytes(body)
    except TimeoutError:
        error = Stalled(f"the answer was not whole within {BODY_S:.0f} s")
    except aiohttp.ClientPayloadError:
        error = Truncated("the answer ended before its announced length")
    except (aiohttp.ClientError, OSError, ValueError) as foreign:
        error = ConnectionLost(escape(str(foreign) or type(foreign).__name__, 200))
    if response.status >= 300:
        return bytes(body)  # the status alone has to do
    raise error
