"""A fleet on hosts whose lines, workers and database fail one after the other.

What each disturbance has cost is told by the sandbox's ledger: a request beyond one a job belongs
to the disturbance that the job's request before it fell into.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.fleet_scene import REQUESTS, FleetFigures, FleetScene, fleet_scene, ids_of
from tests.support.net_hosts import NetHost, network
from tests.support.postgres import PORT, PostgresServer

_GRACE_S = 5.0
# Of what the accounts may ask for, so that there is always work and never a heap of it.
_LOAD = 0.8
# By chance lost packets, and a line on which a burst of requests takes seconds.
_LOSSES = (0.05, 0.3)
_NARROW_BITS_PER_S = 40_000


@dataclass(frozen=True)
class NetChaos:
    """How long there are disturbances, in seconds, and of what fleet."""

    duration_s: float
    accounts: int = 20
    hosts: int = 3
    seed: int = 0

    @property
    def period_s(self) -> float:
        """Return Zoho's minute, or less where the whole is short."""
        return min(60.0, self.duration_s / 20)

    @property
    def headers_s(self) -> float:
        """Return how long a worker waits for an answer."""
        return self.period_s / 4 + 1.5

    @property
    def longest_s(self) -> float:
        """Return how long a disturbance lasts at most: others ask for the accounts by then."""
        return 1.5 * (self.heartbeat_s + self.headers_s + 2 * _GRACE_S + self.period_s)

    @property
    def heartbeat_s(self) -> float:
        """Return after what silence a worker's turns go to others."""
        return max(3.0, self.period_s / 4)


class Disturbance(NamedTuple):
    """What was done, and from when to when, by the monotonic clock."""

    kind: str
    began: float
    ended: float


@dataclass
class NetFigures:
    """What it came to. `repeats` is how many each kind of disturbance has cost."""

    fleet: FleetFigures
    disturbances: list[Disturbance]
    repeats: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kinds = Counter(each.kind for each in self.disturbances)
        lines = [
            f"  {kind}: {count} times, {self.repeats[kind]} repeats"
            for kind, count in kinds.items()
        ]
        return "\n".join([str(self.fleet), *lines, f"  nothing: {self.repeats['']} repeats"])


def disturb(chaos: NetChaos, folder: Path) -> NetFigures:
    """Have a fleet do its work in spite of it all; check that it has, and return the figures."""
    with ExitStack() as stack:
        hosts = stack.enter_context(network(chaos.hosts))
        postgres = stack.enter_context(_postgres())
        scene = stack.enter_context(
            fleet_scene(
                folder,
                postgres,
                "postgres",
                accounts=chaos.accounts,
                period_s=chaos.period_s,
                latency_s=(0.0, 1.0),
                headers_s=chaos.headers_s,
                heartbeat_s=chaos.heartbeat_s,
                turn_s=3 * chaos.period_s,
                accounts_at_once=chaos.accounts,
            )
        )
        for number, host in enumerate(hosts):
            scene.inside[number] = host.inside
            scene.ways[number] = f"postgresql://postgres@127.0.0.1:{PORT}/postgres"
            scene.start(number)
        trouble = _Trouble(chaos, scene, hosts)
        trouble.make()
        scene.wait(4 * chaos.longest_s + 0.5 * chaos.duration_s)
        figures = NetFigures(scene.check(), trouble.past, trouble.repeats())
        for number in range(chaos.hosts):
            scene.term(number)
        return figures


class _Trouble:
    """Disturbances, one after the other, each of a kind and a host by chance."""

    def __init__(self, chaos: NetChaos, scene: FleetScene, hosts: list[NetHost]) -> None:
        self.past: list[Disturbance] = []
        self._chaos = chaos
        self._scene = scene
        self._hosts = hosts
        self._dice = random.Random(chaos.seed)
        self._submitted = 0
        service = urlsplit(scene.service.url).port
        self._kinds: dict[str, Callable[[int], object]] = {
            "line unplugged": lambda at: hosts[at].unplug(),
            "line swallows": lambda at: hosts[at].swallow(self._chain()),
            "line loses": lambda at: hosts[at].swallow(
                self._chain(), share=self._dice.uniform(*_LOSSES)
            ),
            "line narrow": lambda at: hosts[at].narrow(_NARROW_BITS_PER_S),
            "way to the service swallows": lambda at: hosts[at].swallow(self._chain(), service),
            "way to the database swallows": lambda at: hosts[at].swallow(self._chain(), PORT),
            "worker killed": scene.kill,
            "worker frozen": lambda at: scene.hosts[at].send_signal(signal.SIGSTOP),
            "worker restarted": scene.term,
            "database crashed": lambda at: scene.postgres.stop("immediate"),
        }

    def make(self) -> None:
        """Make them for as long as is wanted, and have work submitted all the while."""
        chaos, began = self._chaos, time.monotonic()
        while (elapsed := time.monotonic() - began) < chaos.duration_s:
            self._submit(elapsed)
            time.sleep(self._dice.uniform(1.0, 0.5 * chaos.period_s))
            self._one()

    def repeats(self) -> Counter[str]:
        """Count requests beyond one a job by what had happened to the job's request before."""
        # Before it was noticed, and for as long as its consequences last.
        slack_s = self._chaos.headers_s + _GRACE_S
        last: dict[str | None, float] = {}
        found: Counter[str] = Counter()
        for arrival in self._scene.service.arrivals():
            if (before := last.get(arrival.job_id)) is not None:
                near = [
                    each.kind
                    for each in self.past
                    if each.began - slack_s <= before <= each.ended + slack_s
                ]
                found[near[-1] if near else ""] += 1
            last[arrival.job_id] = arrival.at_s
        return found

    def _one(self) -> None:
        kind = self._dice.choice(list(self._kinds))
        at = self._dice.randrange(len(self._hosts))
        began = time.monotonic()
        self._kinds[kind](at)
        time.sleep(self._dice.uniform(0.5, self._chaos.longest_s))
        self._mend(at)
        self.past.append(Disturbance(kind, began, time.monotonic()))
        lasted_s, now = self.past[-1].ended - began, self._scene.figures()
        told = f"{now.done} done, worst {now.worst}, {now.refused} refused"
        print(f"{kind}, host {at}, {lasted_s:.1f} s: {told}", flush=True)

    def _mend(self, at: int) -> None:
        self._hosts[at].mend()
        self._scene.postgres.start()
        worker = self._scene.hosts[at]
        worker.send_signal(signal.SIGCONT)
        if worker.poll() is not None:
            self._scene.start(at)

    def _submit(self, elapsed: float) -> None:
        """Submit what the accounts may have asked for by now, and a period ahead."""
        due = int(_LOAD * REQUESTS * (1 + elapsed / self._chaos.period_s))
        self._scene.submit(
            {
                name: ids_of(at, due - self._submitted, self._submitted)
                for at, name in enumerate(self._scene.accounts)
            }
        )
        self._submitted = due

    def _chain(self) -> str:
        return self._dice.choice(("INPUT", "OUTPUT"))


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """Give a server that hosts can reach."""
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="pg-") as folder,
        PostgresServer(Path(folder), listens=True) as server,
    ):
        yield server
