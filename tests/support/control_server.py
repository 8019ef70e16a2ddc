"""A loopback CRM server whose answers to control calls a test scripts, and what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, NamedTuple, TypeVar

from aiohttp import web
from tests.support.flow_clock import run_flow

from bulkfetch.control.allowance import ControlLimits
from bulkfetch.control.budget import ControlBudget
from bulkfetch.control.client import ControlClient
from bulkfetch.control.ledger import ProcessLedger
from bulkfetch.control.sender import ControlEndpoint
from bulkfetch.download.session import open_session
from bulkfetch.errors import BulkfetchError
from bulkfetch.secret import Secret
from bulkfetch.zoho.tokens import TokenSource

T = TypeVar("T")

TOKEN = "1000.aaaabbbbccccdddd.eeeeffff"
FRESH = "1000.fresh000000000000.111111"
CREATED = {
    "data": [
        {
            "status": "success",
            "code": "ADDED_SUCCESSFULLY",
            "message": "Added successfully.",
            "details": {
                "id": "5725767000000859031",
                "operation": "read",
                "state": "ADDED",
                "created_by": {"id": "5725767000000411001", "name": "Patricia Boyle"},
                "created_time": "2021-07-25T02:13:17-07:00",
            },
        }
    ],
    "info": {},
}


def error(code: str, message: str = "some words", **details: Any) -> dict[str, Any]:
    """Write Zoho's error body."""
    return {"code": code, "message": message, "details": details, "status": "error"}


def status(job_id: str = "5725767000000859031", state: str = "ADDED", **more: Any) -> Any:
    """Write the answer to a status call."""
    return {"data": [{"id": job_id, "operation": "read", "state": state, **more}]}


class Answered(NamedTuple):
    """An answer. `body` is JSON, bytes as they stand, or None: the connection is dropped."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


@dataclass
class ControlServer:
    """`answers` are given one after the other, the last one again and again.

    `asked` are the requests, `at` their times and `most` how many were answered at once.
    """

    answers: list[Answered]
    url: str = ""
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    latency_s: float = 0.0
    under_way: int = 0
    most: int = 0

    def lines(self) -> list[str]:
        """Return what was asked, as `GET /path?query`."""
        return [f"{each.method} {each.path_qs}" for each in self.asked]

    def tokens(self) -> list[str]:
        """Return the access tokens that came."""
        return [
            each.headers["Authorization"].removeprefix("Zoho-oauthtoken ") for each in self.asked
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.at.append(asyncio.get_running_loop().time())
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.under_way -= 1
        if answer.body is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        whole = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=answer.status, body=whole, headers=headers)


class Tokens:
    """A source that has one token, and the `next` ones after it was refused."""

    def __init__(self) -> None:
        self.secret = Secret(TOKEN)
        self.next = [FRESH]
        self.renewed = 0
        self.refused: list[Secret] = []

    async def token(self) -> Secret:
        return self.secret

    async def renew(self, refused: Secret) -> Secret:
        self.renewed += 1
        self.secret = Secret(self.next.pop(0) if self.next else FRESH)
        return self.secret

    async def refuse(self, refused: Secret) -> None:
        self.refused.append(refused)


@asynccontextmanager
async def control_server(
    *answers: Answered, tls: SSLContext | None = None
) -> AsyncIterator[ControlServer]:
    """Serve on loopback, in the running loop."""
    server = ControlServer(list(answers))
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, keepalive_timeout=1e6, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def control_client(
    url: str,
    limits: ControlLimits | None = None,
    *,
    tokens: TokenSource | None = None,
    budget: ControlBudget | None = None,
    proxy: str | None = None,
    version: str = "v8",
) -> AsyncIterator[ControlClient]:
    """Open a client of a server, with a budget of its own."""
    budget = budget or ControlBudget(
        limits or ControlLimits(), "key", ProcessLedger("key", own=True), 300
    )
    endpoint = ControlEndpoint(url, version, proxy)
    async with open_session(secure=False) as session:
        yield ControlClient("default", session, endpoint, tokens or Tokens(), budget)


def ask(
    call: Callable[[ControlClient], Awaitable[T]], *answers: Answered, tokens: Tokens | None = None
) -> tuple[T | BulkfetchError, ControlServer]:
    """Make a call at a server that answers so; return what came of it."""

    async def main() -> tuple[T | BulkfetchError, ControlServer]:
        async with (
            control_server(*answers) as server,
            control_client(server.url, tokens=tokens) as client,
        ):
            try:
                return await call(client), server
            except BulkfetchError as failure:
                return failure, server

    return run_flow(main())
