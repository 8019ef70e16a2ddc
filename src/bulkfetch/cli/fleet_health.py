"""What a worker tells over HTTP: /metrics for Prometheus, /healthz for whoever starts and stops it.

Imported only where it is asked for. It only reads what the worker knows anyway, so that it answers
while the database is away, and whoever asks often costs little.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.worker import Standing
from bulkfetch.observe.event_counts import EventCounts
from bulkfetch.observe.window_gauges import window_gauges
from bulkfetch.ratelimit import WindowState

# How often a worker that is listened to looks at the database, in seconds.
LOOK_S = 5.0
_LOOPBACK = "127.0.0.1"
_HINT = "Give a port, as 9464, or a host and a port, as 10.0.0.7:9464 or [::1]:9464."
_ENDS = ("served", "held", "superseded", "postponed")
_STOP_S = 0.1  # an answer takes no time; connections that are only kept open are closed


class Address(NamedTuple):
    """Where to listen; port 0 is a free one."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Address:
        """Return the address of `[HOST:]PORT`, without a host that of loopback.

        Raises ConfigError.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        elif ":" in host:
            host = ""  # which of the colons is the port's nobody can say
        number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else -1
        if bool(host) != bool(colon) or not 0 <= number < 65_536:
            raise ConfigError(f"--listen {text}: no [HOST:]PORT", hint=_HINT)
        return cls(host or _LOOPBACK, number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class WorkerMetrics(Collector):
    """A worker's metrics: how it stands when it is asked, and what has been counted so far.

    Counters have no label for the account: a fleet may have thousands, on each of its workers in
    turn. Windows have one, of the accounts that the worker has a turn of.
    """

    def __init__(
        self,
        name: str,
        standing: Callable[[], Standing],
        windows: Callable[[], Mapping[str, WindowState]],
        counts: EventCounts,
    ) -> None:
        self._name = name
        self._standing = standing
        self._windows = windows
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        standing = self._standing()
        info = GaugeMetricFamily("bulkfetch_worker_info", "The worker's name.", labels=["worker"])
        info.add_metric([self._name], 1)
        yield info
        about = "Whether the worker serves turns, and the database can be used."
        yield GaugeMetricFamily("bulkfetch_worker_healthy", about, trouble(standing) is None)
        about = "Accounts that the worker has a turn of now."
        yield GaugeMetricFamily("bulkfetch_worker_turns_active", about, standing.turns)
        about = "Turns that have ended in the worker, by how."
        turns = CounterMetricFamily("bulkfetch_worker_turns", about, labels=["end"])
        for end in _ENDS:
            turns.add_metric([end], standing.ended.get(end, 0))
        yield turns
        if standing.held is not None:
            about = "Accounts of the whole fleet that are held, as each of its workers sees it."
            yield GaugeMetricFamily("bulkfetch_fleet_accounts_held", about, standing.held)
        about = "Seconds for which the database could not be used, 0 while it can."
        yield GaugeMetricFamily("bulkfetch_worker_database_away_seconds", about, standing.away_s)
        yield from window_gauges(self._windows())
        yield from self._counts.families()


def trouble(standing: Standing) -> tuple[str, str] | None:
    """Return why a worker does not serve, as a word and a sentence; None if it does."""
    if standing.phase == "starting":
        return "starting", "the worker is starting"
    if standing.phase == "stopping":
        return "stopping", "the worker was told to stop"
    if standing.away_s:
        because = standing.away_because or "it does not answer"
        return "away", f"the database has been away for {standing.away_s:.0f} s: {because}"
    if standing.no_room:
        return "full", standing.no_room
    return None


@asynccontextmanager
async def served(
    address: Address,
    name: str,
    standing: Callable[[], Standing],
    windows: Callable[[], Mapping[str, WindowState]],
    counts: EventCounts,
) -> AsyncIterator[str]:
    """Serve a worker's metrics and health until the block ends; give the address as a URL.

    Raises ConfigError where the address cannot be had. If cancelled: nothing is left open.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WorkerMetrics(name, standing, windows, counts))
    ProcessCollector(registry=registry)

    async def metrics(_: web.Request) -> web.Response:
        kind = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=generate_latest(registry), headers=kind)

    async def health(_: web.Request) -> web.Response:
        now = standing()
        why = trouble(now)
        told: dict[str, object] = {"status": "working" if why is None else why[0], "worker": name}
        told |= {"turns": now.turns} if why is None else {"cause": why[1]}
        return web.json_response(told, status=200 if why is None else 503)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", health)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"cannot listen at {address}: {_reason(error)}", hint="Give --listen another one."
            ) from None
        yield f"http://{address._replace(port=runner.addresses[0][1])}"
    finally:
        await runner.cleanup()


def _reason(error: OSError | UnicodeError) -> str:
    """Return why there is no listening, in the system's words; asyncio's repeat the address."""
    if isinstance(error, UnicodeError):
        return "no name of a host"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if error.errno is None:  # from Python 3.13 on, where no address could be had
        return os.strerror(errno.EADDRNOTAVAIL)
    return os.strerror(error.errno)
