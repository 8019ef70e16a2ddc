"""The caller's list: what is one, and how an asynchronous one is read in batches."""

from __future__ import annotations

import asyncio
from collections import UserString
from collections.abc import AsyncIterable, AsyncIterator, Iterable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulkfetch.config import JobEntry
from bulkfetch.models import Job

# What a list may hold.
Listed = str | Job | JobEntry

# Ids admitted to the journal in one transaction.
BATCH_JOBS = 2000


def check_list(jobs: object) -> None:
    """Raise TypeError for what is no list of ids, or would be taken apart into something else."""
    if isinstance(jobs, str | bytes | bytearray | memoryview | UserString):
        advice = "put one id into a list, split a text of several"
    elif isinstance(jobs, Job):
        advice = "put it into a list"
    elif isinstance(jobs, AsyncIterable | Iterable) or hasattr(jobs, "__getitem__"):
        return
    else:
        advice = "give ids or Jobs in any iterable or async iterable"
    # Not its value, which may be anything.
    raise TypeError(f"a list of job ids is wanted, not {type(jobs).__name__}: {advice}")


async def batches(ready: MemoryObjectReceiveStream[Listed]) -> AsyncIterator[list[Listed]]:
    """Cut what a stream holds ready into batches, waiting only for the first of each."""
    async for job in ready:
        batch = [job]
        try:
            while len(batch) < BATCH_JOBS:
                batch.append(ready.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            yield batch
        else:
            yield batch


async def pump(jobs: AsyncIterable[Listed], ready: MemoryObjectSendStream[Listed]) -> None:
    """Put a list into a stream, and close it. Raises what the list raises."""
    async with ready:
        try:
            async for job in jobs:
                await ready.send(job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                # Of something that the caller awaits in there: a task group would take it for ours
                # and the list for read.
                raise RuntimeError("the reading of the list was cancelled") from None
            raise
