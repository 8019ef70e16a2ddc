"""A loopback accounts server whose answers a test scripts, and what it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = tuple[int, Any]


@dataclass
class AccountsServer:
    """`answers` are given one after the other, then a fresh token each: `1000.fresh-1`, …

    An answer's body is JSON, or bytes as they stand, or None: the connection is dropped. `forms`
    and `headers` are what came.
    """

    answers: list[Answer] = field(default_factory=list)
    expires_in: float = 3600
    api_domain: str | None = None
    url: str = ""
    given: int = 0
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.forms.append({key: str(value) for key, value in (await request.post()).items()})
        self.headers.append(dict(request.headers))
        if self.answers:
            status, body = self.answers.pop(0)
        else:
            self.given += 1
            status, body = 200, self.grant(f"1000.fresh-{self.given}")
        if body is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers={"Location": "http://e.example"})
        return web.json_response(body, status=status)

    def grant(self, token: str) -> dict[str, Any]:
        return {
            "access_token": token,
            "expires_in": self.expires_in,
            "api_domain": self.api_domain or self.url,
            "token_type": "Bearer",
        }


@asynccontextmanager
async def accounts_server(
    prepare: Callable[[AccountsServer], None] = lambda _: None,
) -> AsyncIterator[AccountsServer]:
    server = AccountsServer()
    app = web.Application()
    app.router.add_post("/oauth/v2/token", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    prepare(server)
    try:
        yield server
    finally:
        await runner.cleanup()
