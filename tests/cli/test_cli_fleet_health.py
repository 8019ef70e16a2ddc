"""What `fleet work --listen` serves: as Prometheus's own parser and a probe read it."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bulkfetch.cli.fleet_health import Address, served
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.fleet.worker import Standing
from bulkfetch.observe.event_counts import EventCounts
from bulkfetch.ratelimit import WindowState

WORKING = Standing("working", 2, {"served": 7, "held": 1}, 4, 0.0, "")


@pytest.mark.anyio
async def test_how_a_worker_stands_is_served() -> None:
    """As metrics, with the windows of its turns; a probe is told whether it works, and why not."""
    standing = WORKING
    counts = EventCounts(by_account=False)
    for account in ("acme", "beta"):
        counts.count(Event("done", "", account, "1", {"path": "", "bytes": 1, "took_s": 0.0}))
    counts.count(Event("failed", "", "beta", "2", {"code": "POISONED", "hint": "", "attempts": 0}))
    windows = {"acme": WindowState(3, 2, 5, None, 1.5, 9, 10)}
    own = served(Address.of("0"), 'odd "name"', lambda: standing, lambda: windows, counts)
    async with own as url, aiohttp.ClientSession(url) as session:

        async def metrics() -> dict[tuple[str, ...], float]:
            async with session.get("/metrics") as response:
                assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                text = await response.text()
            families = list(text_string_to_metric_families(text))
            assert all(family.documentation and family.type != "unknown" for family in families)
            return {
                (sample.name, *sample.labels.values()): sample.value
                for family in families
                for sample in family.samples
            }

        async def health() -> tuple[int, dict[str, object]]:
            async with session.get("/healthz") as response:
                return response.status, await response.json()

        assert url.startswith("http://127.0.0.1:")
        read = await metrics()
        assert read["bulkfetch_worker_info", 'odd "name"'] == 1
        assert read["bulkfetch_worker_healthy",] == 1
        assert read["bulkfetch_worker_turns_active",] == 2
        assert read["bulkfetch_worker_turns_total", "served"] == 7
        assert read["bulkfetch_worker_turns_total", "superseded"] == 0
        assert read["bulkfetch_fleet_accounts_held",] == 4
        assert read["bulkfetch_worker_database_away_seconds",] == 0
        assert read["bulkfetch_jobs_done_total",] == 2
        assert read["bulkfetch_window_free_slots", "acme"] == 3
        assert read["bulkfetch_window_slots", "acme"] == 9
        assert read["bulkfetch_window_closed_seconds", "acme"] == 1.5
        assert ("bulkfetch_window_slots", "beta") not in read
        assert read["bulkfetch_jobs_failed_total", "POISONED"] == 1
        assert read["process_resident_memory_bytes",] > 0
        assert await health() == (200, {"status": "working", "worker": 'odd "name"', "turns": 2})

        standing = WORKING._replace(away_s=12.3, away_because="connection refused", held=None)
        read = await metrics()
        assert read["bulkfetch_worker_healthy",] == 0
        assert read["bulkfetch_worker_database_away_seconds",] == 12.3
        assert ("bulkfetch_fleet_accounts_held",) not in read
        status, told = await health()
        assert (status, told["status"]) == (503, "away")
        assert told["cause"] == "the database has been away for 12 s: connection refused"
        for phase in ("starting", "stopping"):
            standing = WORKING._replace(phase=phase)
            status, told = await health()
            assert (status, told["status"]) == (503, phase)
            assert "worker" in str(told["cause"])
        async with session.get("/") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("worker.internal:1", ("worker.internal", 1)),
        ("[::1]:65535", ("::1", 65535)),
        *(
            (bad, None)
            for bad in ("", "x", ":9464", "65536", "-1", "::1:9464", "[]:1", "host:", "²")
        ),
    ],
)
def test_an_address_is_read_or_refused(text: str, address: tuple[str, int] | None) -> None:
    """A port alone is loopback's; what may mean two things is refused, with examples."""
    if address is None:
        with pytest.raises(ConfigError, match=r"no \[HOST:\]PORT") as refused:
            Address.of(text)
        assert "[::1]:9464" in refused.value.hint
    else:
        assert Address.of(text) == address
        assert Address.of(str(Address.of(text))) == address


@pytest.mark.anyio
async def test_an_address_that_cannot_be_had_is_told() -> None:
    """In one sentence, before anything else is started."""
    counts = EventCounts(by_account=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host, why in (
            ("127.0.0.1", "Address already in use"),
            ("192.0.2.1", "Cannot assign requested address"),
            ("a..b", "no name of a host"),
        ):
            with pytest.raises(ConfigError) as refused:
                await served(Address(host, port), "w", lambda: WORKING, dict, counts).__aenter__()
            assert refused.value.message == f"cannot listen at {host}:{port}: {why}"
