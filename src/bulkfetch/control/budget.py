"""Who may call now: the budget of an account's control calls, kept by all processes together.

`allowance` decides, from the usage that a `ControlLedger` keeps. A call takes its place with a
lease, so that the place of a process that died comes back by itself. First come, first served,
within a kind of call and between processes; a create that waits for its minute holds up no poll.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import anyio

from bulkfetch.clock import boot_id, boottime
from bulkfetch.control.allowance import Allowance, ControlLimits
from bulkfetch.control.calls import Kind
from bulkfetch.control.ledger import Change, ControlLedger, ProcessLedger
from bulkfetch.control.machine_ledger import MachineLedger
from bulkfetch.control.usage import QUIET_S, AccountUsage, Caller, ChangeTime, Settled
from bulkfetch.errors import ControlPaused, CreditsSpent, Superseded
from bulkfetch.ratelimit.interfaces import Unusable
from bulkfetch.text import duration

T = TypeVar("T")

# The longest pause that a call waits out, in seconds; a longer one is told.
PATIENCE_S = 120.0
# A place that arrives later than this after it was asked for is asked for again, in seconds.
LATE_S = 5.0


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

    def __init__(
        self,
        limits: ControlLimits,
        account_key: str,
        ledger: ControlLedger,
        lease_s: float,
        note: Callable[[str], None] = lambda _: None,
        *,
        generation: int | None = None,
    ) -> None:
        """Use the limits as they are given. No call may take longer than `lease_s`.

        `note` gets, in one sentence, what a user should know. `generation` is that of the turn of a
        fleet in which calls are made: there are no places once there is a newer one. None: none.
        """
        self._limits, self._key, self._note = limits, account_key, note
        # The lease begins when the place is asked for, not when it is had.
        self._caller = Caller(secrets.randbits(62), limits, lease_s + LATE_S, generation)
        self._ledger = ledger
        self._turns: dict[Kind, anyio.Lock] = {}
        self._full: set[Kind] = set()
        self._told: set[Kind] = set()
        self._changed = asyncio.Event()
        self._closed = False

    @classmethod
    async def open(
        cls,
        limits: ControlLimits,
        account_key: str,
        state_dir: Path | None,
        *,
        lease_s: float,
        alone: bool = False,
        note: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
        wall: Callable[[], float] = time.time,
    ) -> ControlBudget:
        """Open the budget that all processes keep in `state_dir`; this one's, where there is none.

        `account_key` is an opaque name of the account that holds no secret. `alone` says that
        nobody else asks its server. A state directory that cannot be used is told to `note`; the
        process then waits for a minute, since others may have called just before. If cancelled:
        nothing is left open.
        """
        if alone or state_dir is None:
            return cls(limits, account_key, ProcessLedger(account_key, own=alone), lease_s, note)
        try:
            ledger = await MachineLedger.open(
                account_key, state_dir, note, clock=clock, boot=boot, wall=wall
            )
        except Unusable as why:
            note(_alone(why))
            quiet = ProcessLedger(account_key, quiet_s=QUIET_S)
            return cls(limits, account_key, quiet, lease_s, note)
        return cls(limits, account_key, ledger, lease_s, note)

    @asynccontextmanager
    async def call(self, kind: Kind) -> AsyncIterator[Place]:
        """Wait for a place, and take it back at the end.

        Raises CreditsSpent, ControlPaused where that would take long, Superseded where it is for
        ever. If cancelled: the place is taken back all the same.
        """
        place = await self._take(kind)
        try:
            yield place
        finally:
            self._settle(place)

    def waits_for(self, kind: Kind) -> str:
        """Return the setting, with its figure, that calls of a kind wait for; "" if for none."""
        return self._limits.pace(kind) if kind in self._full else ""

    async def credits_spent(self) -> None:
        """Have nothing leave for a while: the service has shown that no credits remain.

        If cancelled: it is so all the same.
        """
        await self._write(AccountUsage.credits_spent)

    async def aclose(self) -> None:
        """Let go of what is held open. If cancelled: as without."""
        self._closed = True
        await self._ledger.aclose()

    def _settle(self, place: Place) -> None:
        """Have written how a call ended: what it brought must not wait for a store."""
        if self._closed:
            return
        owner, settled = self._caller.owner, place.settled or Settled("lost")
        ended = self._ledger.clock()
        written = self._ledger.submit(
            lambda usage, time: usage.settle(owner, place.number, place.kind, settled, ended, time)
        )
        changed, self._changed = self._changed, asyncio.Event()
        written.add_done_callback(lambda _: changed.set())

    async def _take(self, kind: Kind) -> Place:
        place = Place(secrets.randbits(62), kind)
        async with self._turns.setdefault(kind, anyio.Lock()):
            since = self._ledger.clock()

            def look(usage: AccountUsage, time: ChangeTime) -> tuple[Allowance, float]:
                return usage.take(self._caller, place.number, kind, since, time), time.asked

            try:
                while True:
                    changed = self._changed
                    allowance, asked = await self._write(look)
                    if allowance.for_s:
                        self._require_patience(allowance)
                        self._tell_full(kind, full=allowance.why == "minute")
                        with anyio.move_on_after(allowance.for_s):
                            await changed.wait()
                    elif self._ledger.clock() <= asked + LATE_S:
                        return place
            except BaseException:
                if not self._closed:
                    # Behind the last look, whose end was perhaps not awaited.
                    self._ledger.submit(
                        lambda usage, time: usage.withdraw(self._caller.owner, place.number, kind)
                    )
                raise
            finally:
                self._full.discard(kind)

    def _tell_full(self, kind: Kind, *, full: bool) -> None:
        """Note that calls of a kind wait for their minute, or for something else; told once."""
        if not full:
            self._full.discard(kind)
            return
        self._full.add(kind)
        if kind not in self._told:
            self._told.add(kind)
            self._note(f"the next {kind} call waits for {self.waits_for(kind)}")

    async def _write(self, change: Change[T]) -> T:
        """Change the usage, that of this process alone where the shared one cannot be had.

        If cancelled: it is made all the same, sooner or later.
        """
        while True:
            if self._closed:
                raise RuntimeError("the budget is closed")
            ledger = self._ledger
            try:
                return await asyncio.shield(ledger.submit(change))
            except Unusable as why:
                if ledger is self._ledger and not self._closed:
                    ledger.close()
                    self._ledger = ProcessLedger(self._key, quiet_s=QUIET_S)
                    self._note(_alone(why))

    def _require_patience(self, allowance: Allowance) -> None:
        """Raise where a wait is not to be waited for."""
        if allowance.why == "superseded":
            raise Superseded("another worker of the fleet has the account now")
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


def _alone(why: Unusable) -> str:
    return f"the budget of control calls is kept by this process alone: {why}"
