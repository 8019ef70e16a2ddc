"""Outcomes on their way into the fleet's journal: those of all turns of a process, together."""

from __future__ import annotations

import asyncio

from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.models import Outcome

# Outcomes that may be unsaid before whoever has more must wait, as while the database is away.
MOST = 5_000


class OutcomeRecorder:
    """Writes outcomes soon after they are put; bound to the running loop, to be closed.

    What comes within `gather_s` seconds is one transaction.
    """

    def __init__(self, journal: FleetJournal, gather_s: float) -> None:
        self._journal = journal
        self._gather_s = gather_s
        self._unsaid: list[tuple[int, Outcome]] = []
        self._put = self._written = 0
        self._due = asyncio.Event()
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None
        self._writer = asyncio.get_running_loop().create_task(self._write())

    async def put(self, generation: int, outcome: Outcome) -> None:
        """Have an outcome written that came in a turn; wait where too much is unsaid.

        Raises what keeps the journal from being written and no waiting mends.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._failure is not None or len(self._unsaid) < MOST
            )
            self._raise()
            self._unsaid.append((generation, outcome))
            self._put += 1
            self._due.set()

    async def flush(self) -> None:
        """Return when all that was put before is in the journal. Raises as `put`."""
        async with self._changed:
            put = self._put
            await self._changed.wait_for(lambda: self._failure is not None or self._written >= put)
            self._raise()

    async def aclose(self) -> None:
        """End; what is unsaid is in the journals of this host, and said by its next worker."""
        self._writer.cancel()
        await asyncio.wait([self._writer])

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _write(self) -> None:
        try:
            while True:
                await self._due.wait()
                await asyncio.sleep(self._gather_s)
                said = list(self._unsaid)
                self._due.clear()
                await self._journal.record_all(said)
                async with self._changed:
                    del self._unsaid[: len(said)]
                    self._written += len(said)
                    self._changed.notify_all()
        except Exception as error:
            self._failure = error
            async with self._changed:
                self._changed.notify_all()
