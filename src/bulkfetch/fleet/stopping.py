"""What is waited for until somebody says stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_set(stopping: asyncio.Event, wanted: Coroutine[Any, Any, T]) -> T | None:
    """Return what is wanted, None once `stopping` is set: then it is cancelled.

    Raises what it raises. If cancelled: it is cancelled, too.
    """
    asking = asyncio.ensure_future(wanted)
    waiting = asyncio.ensure_future(stopping.wait())
    tasks: set[asyncio.Future[Any]] = {asking, waiting}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return None if waiting.done() else asking.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if not asking.cancelled():
            asking.exception()  # of one that was to stop nobody asks
