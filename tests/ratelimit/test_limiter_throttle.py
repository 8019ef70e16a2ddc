"""What 429s teach, simulated against servers with a lock-out and other users."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.ratelimit import RateLimit, SlotLimiter, WindowEvent
from bulkfetch.ratelimit.messages import throttle_news
from bulkfetch.ratelimit.throttle import PROBE_DUE, PROBE_OUT, Throttle

TEN = RateLimit()
FULL = Throttle(10)


@dataclass
class Server:
    """Ten in any rolling 60 s; the one too many locks everybody out for 60 s."""

    at_once: int = 1000
    busy: int = 0
    locked_until: float = 0.0
    taken: deque[float] = field(default_factory=deque)

    def takes(self, now: float) -> bool:
        while self.taken and self.taken[0] <= now - 60:
            self.taken.popleft()
        if now < self.locked_until or self.busy > self.at_once:
            return False
        if len(self.taken) >= 10:
            self.locked_until = now + 60
            return False
        self.taken.append(now)
        return True


@dataclass
class Result:
    seconds: float
    refused: int
    others_refused: int
    events: list[WindowEvent]


def simulate(
    jobs: int = 200, *, every_s: float = 0.0, until: float = 1e9, at_once: int = 1000
) -> Result:
    """Fetch `jobs`, each retried until taken, beside another user who asks `every_s` seconds."""

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        dice = random.Random(1)
        server = Server(at_once)
        result = Result(0, 0, 0, [])
        window = SlotLimiter(TEN, on_event=result.events.append)
        todo = [None] * jobs

        async def other() -> None:
            while loop.time() < until:
                await asyncio.sleep(every_s)
                result.others_refused += not server.takes(loop.time())

        async def work() -> None:
            while todo:
                job = todo.pop()
                permit = await window.acquire()
                await asyncio.sleep(dice.uniform(0.05, 0.3))
                server.busy += 1
                taken = server.takes(loop.time())
                await asyncio.sleep(dice.uniform(0.05, 0.5) if taken else 0)
                server.busy -= 1
                await asyncio.sleep(dice.uniform(0.05, 0.3))
                if taken:
                    permit.answered()
                else:
                    result.refused += 1
                    todo.append(job)
                    permit.rejected(None)

        foreign = asyncio.create_task(other()) if every_s else None
        await asyncio.gather(*(work() for _ in range(10)))
        result.seconds = loop.time()
        if foreign:
            foreign.cancel()
        await window.aclose()
        return result

    return run_virtual(main())


def kinds(result: Result) -> list[str]:
    return [event.kind for event in result.events if event.kind != "closed"]


def test_a_healthy_account_is_never_refused() -> None:
    """Alone on the account, 200 jobs see no 429 and take nineteen refills and their round trips."""
    result = simulate()
    assert (result.refused, result.events) == (0, [])
    assert 19 * 61 < result.seconds < 19 * 62.5


def test_a_foreign_user_is_given_way_to() -> None:
    """Beside 3 a minute, 7 a minute are fetched with few 429s; the floor is 28 refills, 1708 s."""
    result = simulate(every_s=20)
    assert kinds(result) == ["shared"]
    assert result.refused <= 15
    assert result.others_refused <= 15
    assert result.seconds <= 1900


def test_without_giving_way_both_users_fare_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same simulation with the lesson left out shows what it is good for."""

    def unmoved(share: Throttle, now: float) -> Throttle:
        return share._replace(taken=0, crowd=0)

    monkeypatch.setattr(Throttle, "lesson", unmoved)
    result = simulate(every_s=20)
    assert result.refused >= 50
    assert result.others_refused >= 50
    assert result.seconds >= 1950


def test_the_window_grows_back_when_the_foreign_user_is_gone() -> None:
    """After ten shared minutes all ten slots are used again, and it is said."""
    result = simulate(every_s=20, until=600)
    assert kinds(result) == ["shared", "restored"]
    assert result.seconds <= 1550


def test_a_cap_on_concurrency_costs_no_slots_in_the_long_run() -> None:
    """Slots grow back under a lower number in flight, which a foreign user would not allow."""
    result = simulate(at_once=5)
    assert kinds(result) == ["shared", "restored"]
    assert result.refused <= 8
    assert result.seconds <= 1350


def refuse(share: Throttle, now: float, **more: float | bool | None) -> Throttle:
    facts = {"in_flight": 1, "probe": False, **more}
    return share.settled(TEN, "rejected", now, **facts)  # type: ignore[arg-type]


def answer(share: Throttle, *, probe: bool) -> Throttle:
    return share.settled(TEN, "answered", 0.0, probe=probe, in_flight=1)


def learn(share: Throttle, now: float) -> Throttle:
    return share.granted(now, 65)[0]


@pytest.mark.parametrize(
    ("capacity", "taken", "left"),
    [(10, 7, 7), (10, 9, 9), (10, 10, 9), (10, 0, 5), (5, 0, 3), (2, 0, 1), (1, 0, 1), (1, 1, 1)],
)
def test_as_many_slots_are_used_as_the_server_took(capacity: int, taken: int, left: int) -> None:
    """At least half of those before, at least one, and fewer than before."""
    refused = refuse(FULL._replace(capacity=capacity), 100, taken=taken)
    assert learn(refused, 161).capacity == left


def test_answers_that_were_under_way_count_as_taken() -> None:
    """What the server took of a burst is known only when all its answers are in."""
    share = refuse(FULL, 100, taken=2)
    for _ in range(4):
        share = answer(share, probe=False)
    assert learn(share, 161).capacity == 6


def test_a_burst_of_429s_is_one_lesson() -> None:
    """Three refused at once teach no more than one, and close no longer than the longest asks."""
    share = refuse(FULL, 100, taken=7, retry_after_s=90.0, in_flight=8)
    share = refuse(share, 100.1, in_flight=9)
    share = refuse(share, 100.2, in_flight=10)
    assert share.closed_until == 191
    learned = learn(share, 191)
    assert (learned.capacity, learned.in_flight_cap) == (7, 7)


def test_a_refused_probe_teaches_nothing_about_shares() -> None:
    """It says that the account is still closed; the share stays as the first 429 left it."""
    share = learn(refuse(FULL, 100, taken=7), 161)
    again = refuse(share, 162, probe=True)
    assert again.probe == PROBE_DUE
    assert learn(again, 223).capacity == 7


def test_a_silent_probe_is_replaced_when_its_lease_ends() -> None:
    """Its process may be dead; the others do not wait for ever."""
    share = learn(refuse(FULL, 100), 161)
    assert share.probe == PROBE_OUT
    assert share.wait_s(225.9, 1) > 0
    assert share.wait_s(226, 1) == 0
    assert share.granted(226, 65)[1]


def test_each_failed_trial_doubles_the_patience() -> None:
    """A foreign user who stays is bothered less and less often."""
    share = learn(refuse(FULL, 100, taken=7), 161)
    share = answer(share, probe=True)
    waits = []
    at = 161.0
    for _ in range(7):
        started = at
        while share.capacity == 7:
            at += 1
            share = share.aged(TEN, at)
        waits.append(round((at - started) / TEN.refill_s))
        share = learn(refuse(share, at, taken=7), at)
        share = answer(share, probe=True)
    assert waits == [2, 4, 8, 16, 32, 32, 32]


def test_a_429_as_the_cap_is_lifted_is_a_cap_on_concurrency() -> None:
    """All slots went well under the cap, so it costs none, and the hint names the number."""
    share = FULL._replace(lifted=5, changed_at=0.0)
    refused = refuse(share, 100, taken=8, in_flight=6)
    learned = learn(refused, 161)
    assert (learned.capacity, learned.in_flight_cap) == (10, 5)
    (event,) = throttle_news(refused, learned, TEN, 161)
    assert (event.kind, event.in_flight_cap) == ("crowded", 5)


def test_long_quiet_restores_everything_in_one_look() -> None:
    """A share is knowledge of the past: a window asked again after hours starts afresh."""
    share = answer(learn(refuse(FULL, 100, taken=1, in_flight=4), 161), probe=True)
    assert share.restrained(TEN)
    later = share.aged(TEN, 1e5)
    assert not later.restrained(TEN)
    assert later.capacity == 10
