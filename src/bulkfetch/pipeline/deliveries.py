"""Complete bodies on their way to the finishers: small ones in company, others one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.work import Work

# ZIPs of at most this size are finished in company: for these the steps around the bytes (hops to
# a thread, journal entries, syncs) are most of the cost. Larger ones would wait in vain.
SMALL_BYTES = 256 << 10
BATCH_JOBS = 64
# Of each kind so many wait at most; then the lanes do.
WAITING = 64


class Delivery(NamedTuple):
    """A job whose ZIP is complete in staging, and the lane that it came from.

    `salvaged`: the ZIP is from an earlier run, and nobody has counted its bytes yet.
    """

    lane: Lane
    work: Work
    salvaged: bool

    @property
    def is_small(self) -> bool:
        """Whether it is worth finishing in company."""
        return not self.salvaged and (self.work.zip_bytes or 0) <= SMALL_BYTES


class Deliveries:
    """Two bounded streams with one mouth; several may take from each. To be closed after all."""

    def __init__(self) -> None:
        self._small_in, self._small = anyio.create_memory_object_stream[Delivery](WAITING)
        self._large_in, self._large = anyio.create_memory_object_stream[Delivery](WAITING)

    def close(self) -> None:
        """Let go of the streams; what still waits in them is in staging, for a later run."""
        self.no_more()
        self._small.close()
        self._large.close()

    def no_more(self) -> None:
        """Say that no more will come: who takes comes to an end."""
        self._small_in.close()
        self._large_in.close()

    async def send(self, delivery: Delivery) -> None:
        """Pass one on; waits while too many of its kind do. If cancelled: it is not passed on."""
        stream = self._small_in if delivery.is_small else self._large_in
        try:
            stream.send_nowait(delivery)  # a turn of the loop for each would be dear
        except anyio.WouldBlock:
            await stream.send(delivery)

    async def small(self) -> AsyncIterator[list[Delivery]]:
        """Give small ones together, as many as wait; what comes meanwhile makes the next batch."""
        async for first in self._small:
            batch = [first]
            while len(batch) < BATCH_JOBS and (more := _at_hand(self._small)):
                batch.append(more)
            yield batch

    async def large(self) -> AsyncIterator[list[Delivery]]:
        """Give others one by one."""
        async for delivery in self._large:
            yield [delivery]

    @property
    def waiting(self) -> int:
        """How many wait to be taken."""
        streams = (self._small, self._large)
        return sum(stream.statistics().current_buffer_used for stream in streams)


def _at_hand(stream: MemoryObjectReceiveStream[Delivery]) -> Delivery | None:
    try:
        return stream.receive_nowait()
    except (anyio.WouldBlock, anyio.EndOfStream):
        return None
