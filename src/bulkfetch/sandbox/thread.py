"""A sandbox in a thread with an event loop of its own, for clients that must not share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from ssl import SSLContext
from typing import Self, TypeVar

from anyio.from_thread import start_blocking_portal

from bulkfetch.sandbox.ledger import Arrival
from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.server import Sandbox

T = TypeVar("T")


class SandboxThread:
    """A `Sandbox` that serves from its own thread; a plain and an async context manager.

    `sandbox` is the server itself: read its log freely, but change it through `call`.
    """

    def __init__(
        self,
        options: SandboxOptions | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: SSLContext | None = None,
    ) -> None:
        self.sandbox = Sandbox(options, host=host, port=port, ssl_context=ssl_context)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self.sandbox))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stack.close)

    @property
    def url(self) -> str:
        """Where the service is: no slash at the end."""
        return self.sandbox.url

    @property
    def log(self) -> list[Arrival]:
        """Every request that arrived, in order; grows while the server runs."""
        return self.sandbox.log

    def worst_in(self, period_s: float | None = None, account: str | None = None) -> int:
        """Return the most result requests of one account in any interval of `period_s` seconds."""
        return self.sandbox.worst_in(period_s, account)

    def call(self, act: Callable[[Sandbox], T]) -> T:
        """Run `act` on the sandbox in its own thread and return what it returns."""
        return self._portal.call(act, self.sandbox)
