"""Every request that reaches a server has passed one of the process's aiolimiter buckets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from bulkfetch import Report, Settings, fetch, load_settings
from bulkfetch.config import AccountSettings, Credentials, WindowSettings
from bulkfetch.ratelimit import slots
from bulkfetch.sandbox import SandboxOptions, SandboxThread
from bulkfetch.secret import Secret

pytestmark = pytest.mark.slow

PACE = WindowSettings(requests=5, period_s=0.5, margin_s=0.05)


class Counted(AsyncLimiter):
    """A bucket that counts the requests that took its token."""

    passed = 0
    rearming = False  # a bucket is filled at a response: that is no request
    waits = False  # whether it gives no token any more

    async def acquire(self, amount: float = 1) -> None:
        if not Counted.rearming:
            if Counted.waits:
                await asyncio.Event().wait()
            Counted.passed += 1
        await super().acquire(amount)


def ids(count: int) -> list[str]:
    return [f"55402300000{number:07}" for number in range(count)]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    """Have all buckets be counted ones."""
    rearm = slots.AccountSlots._rearm

    def flagged(*arguments: Any) -> None:
        Counted.rearming = True
        rearm(*arguments)
        Counted.rearming = False

    monkeypatch.setattr(slots, "AsyncLimiter", Counted)
    monkeypatch.setattr(slots.AccountSlots, "_rearm", flagged)
    monkeypatch.setattr(Counted, "passed", 0)
    monkeypatch.setattr(Counted, "waits", False)
    return Counted


def machine(url: str, folder: Path) -> Settings:
    account = AccountSettings(
        api_domain=url, credentials=Credentials(access_token=Secret("1000.t")), window=PACE
    )
    return Settings(out=folder / "out", accounts=(account,), state_dir=folder / "state")


def test_with_the_machine_s_window_every_request_passed_a_bucket(
    counted: type[Counted], tmp_path: Path
) -> None:
    """Failed ones and repeats by aiohttp included: as many as buckets gave tokens to."""
    options = SandboxOptions(
        records=3,
        requests=5,
        period_s=0.5,
        faults={ids(1)[0]: ("reset_before_head", "zip_bit_flip")},
    )
    with SandboxThread(options) as server:
        report = asyncio.run(fetch(ids(12), machine(server.url, tmp_path)))
        assert report.done == 12
        assert len(server.log) > 12
        assert counted.passed == len(server.log)


def test_with_the_stand_in_every_request_passed_a_bucket(
    counted: type[Counted], tmp_path: Path
) -> None:
    """There is no machine's window there, and the process's own buckets all the same."""
    toml = tmp_path / "jobs.toml"
    toml.write_text('[account]\ndata_center = "sandbox"\n[sandbox]\nrecords = 3\n')
    report: Report = asyncio.run(fetch(ids(8), load_settings(toml, {})))
    assert (report.done, report.requests) == (8, 8)
    assert counted.passed == 8


@pytest.mark.parametrize("where", ["machine", "sandbox"])
def test_a_bucket_without_a_token_lets_nothing_reach_the_server(
    counted: type[Counted], tmp_path: Path, where: str
) -> None:
    """The buckets are what holds a request back: nothing goes round them."""

    async def main(settings: Settings) -> Report | None:
        try:
            async with asyncio.timeout(1.5):
                return await fetch(ids(3), settings)
        except TimeoutError:
            return None

    toml = tmp_path / "jobs.toml"
    toml.write_text('[account]\ndata_center = "sandbox"\n[sandbox]\nrecords = 3\n')
    counted.waits = True
    with SandboxThread(SandboxOptions(records=3, requests=5, period_s=0.5)) as server:
        settings = machine(server.url, tmp_path) if where == "machine" else load_settings(toml, {})
        assert asyncio.run(main(settings)) is None
        assert list(server.log) == []
