"""Who may call now: the budget of an account's control calls, kept by all processes together.

`allowance` decides, from the rows of a `ControlLedger`. A call takes its place with a lease, so
that the place of a process that died comes back by itself. First come, first served, within a kind
of call and between processes; a create that waits for its minute holds up no poll.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from bulkfetch.control.allowance import Allowance, ControlLimits, InLine, allow
from bulkfetch.control.calls import Kind
from bulkfetch.control.ledger import ControlLedger
from bulkfetch.control.rows import ControlRows, Settled
from bulkfetch.errors import ControlPaused, CreditsSpent
from bulkfetch.text import duration

# The longest pause that a call waits out, in seconds; a longer one is told.
PATIENCE_S = 120.0
# How long after the moment it announced a waiting process is believed, in seconds.
_SLACK_S = 2.0
# How often what is past is cleared away, in seconds.
_PRUNE_S = 60.0


@dataclass(slots=True, eq=False)
class Place:
    """A call's place, from before it leaves until its answer was read.

    Whoever has it says how the call ended; of one that ends with an exception and says nothing it
    is not known whether it was counted.
    """

    number: int
    kind: Kind
    settled: Settled | None = None

    def answered(self, remaining: int | None, *, well: bool) -> None:
        """Say that an answer came, a good one or not, and what it says of the credits."""
        self.settled = Settled("answered" if well else "erred", 0.0, remaining)

    def refused(self, pause_s: float, remaining: int | None) -> None:
        """Say that a 429 came: the whole account pauses."""
        self.settled = Settled("refused", pause_s, remaining)

    def unused(self) -> None:
        """Say that nothing was sent."""
        self.settled = Settled("unused")


class ControlBudget:
    """Gives places to control calls. Bound to the loop it was made in."""

    def __init__(self, limits: ControlLimits, ledger: ControlLedger, lease_s: float) -> None:
        """Take the figures as they are. No call may take longer than `lease_s`."""
        self._limits, self._ledger, self._lease_s = limits, ledger, lease_s
        self._turns: dict[Kind, anyio.Lock] = {}
        self._changed = asyncio.Event()
        self._prune_at = -float("inf")

    @asynccontextmanager
    async def call(self, kind: Kind) -> AsyncIterator[Place]:
        """Wait for a place, and take it back at the end.

        Raises CreditsSpent, ControlPaused where that would take long. If cancelled: the place is
        taken back all the same.
        """
        place = await self._take(kind)
        try:
            yield place
        finally:
            settled = place.settled or Settled("lost")
            written = self._ledger.submit(lambda rows: self._settle(rows, place, settled))
            changed, self._changed = self._changed, asyncio.Event()
            written.add_done_callback(lambda _: changed.set())
            await asyncio.shield(written)

    async def credits_spent(self) -> None:
        """Have nothing leave for a while: the service has shown that no credits remain.

        If cancelled: it is so all the same.
        """
        await asyncio.shield(self._ledger.submit(lambda rows: rows.remain(0, self._ledger.wall())))

    async def aclose(self) -> None:
        """Let go of what is held open. If cancelled: as without."""
        await self._ledger.aclose()

    async def _take(self, kind: Kind) -> Place:
        place = Place(secrets.randbits(62), kind)
        async with self._turns.setdefault(kind, anyio.Lock()):
            since = self._ledger.now()
            try:
                while True:
                    changed = self._changed
                    looked = self._ledger.submit(lambda rows: self._look(rows, place, since))
                    allowance = await asyncio.shield(looked)
                    if not allowance.for_s:
                        return place
                    self._require_patience(allowance)
                    with anyio.move_on_after(allowance.for_s):
                        await changed.wait()
            except BaseException:
                # Behind the last look, whose end was perhaps not awaited.
                self._ledger.submit(lambda rows: self._withdraw(rows, place))
                raise

    # --- inside a transaction ---------------------------------------------------------------------

    def _look(self, rows: ControlRows, place: Place, since: float) -> Allowance:
        ledger, kind = self._ledger, place.kind
        now, wall = ledger.now(), ledger.wall()
        if now >= self._prune_at:
            rows.prune(now, wall)
            self._prune_at = now + _PRUNE_S
        me = InLine(since, ledger.owner, kind)
        allowance = allow(kind, self._limits, rows.books(now), me, now, wall)
        if allowance.for_s:
            rows.stand_in_line(kind, since, now + allowance.for_s + _SLACK_S)
        else:
            rows.leave_line(kind)
            rows.begin(place.number, kind, now + self._lease_s, wall)
        return allowance

    def _withdraw(self, rows: ControlRows, place: Place) -> None:
        rows.leave_line(place.kind)
        self._settle(rows, place, Settled("unused"))

    def _settle(self, rows: ControlRows, place: Place, settled: Settled) -> None:
        now, wall = self._ledger.now(), self._ledger.wall()
        rows.settle(place.number, place.kind, settled, now, wall)

    # --- outside one ------------------------------------------------------------------------------

    def _require_patience(self, allowance: Allowance) -> None:
        """Raise where a wait is not to be waited for."""
        again = datetime.now(UTC) + timedelta(seconds=allowance.for_s)
        when = f"{again:%Y-%m-%d %H:%M} UTC"
        match allowance.why:
            case "ceiling":
                figure = self._limits.credits_per_day
                text = f"credits_per_day, {figure}, is spent; some come back at {when}"
            case "reserve":
                figure = self._limits.credits_reserve
                text = f"fewer credits remain than credits_reserve, {figure}; next look at {when}"
            case "spent":
                text = f"the API credits of the org are spent; next look at {when}"
            case "pause" if allowance.for_s > PATIENCE_S:
                text = f"the service has asked for a pause of {duration(allowance.for_s)}"
                raise ControlPaused(text, retry_after_s=allowance.for_s)
            case _:
                return
        raise CreditsSpent(text, retry_after_s=allowance.for_s)
