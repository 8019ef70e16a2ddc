"""Serving until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.server import Sandbox


async def serve(
    options: SandboxOptions,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[Sandbox], None] | None = None,
) -> None:
    """Serve until cancelled; `on_ready` is called once, when requests can come.

    Raises OSError where the port cannot be had, ValueError for faults that do not exist.
    If cancelled: the server is stopped and open connections are broken.
    """
    async with Sandbox(options, host=host, port=port) as sandbox:
        if on_ready is not None:
            on_ready(sandbox)
        await asyncio.Event().wait()
