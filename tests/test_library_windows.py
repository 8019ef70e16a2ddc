"""Clients of one account share its window, however many there are, however settings were made."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.memory_windows import MemoryWindows

from bulkfetch import Client, Event, Job, Report, Settings, fetch, load_settings
from bulkfetch.clock import boottime
from bulkfetch.config import AccountSettings, Credentials, WindowSettings
from bulkfetch.config.account_key import account_key
from bulkfetch.config.regions import servers
from bulkfetch.ratelimit import patience
from bulkfetch.sandbox import SandboxOptions, SandboxThread, worst_in
from bulkfetch.secret import Secret
from bulkfetch.services import CommonWindows
from bulkfetch.zoho.token_cache import cache_key

# Five in a second. Where the window is the process's, it is closed at first for that and the grace
# of five seconds.
PACE = WindowSettings(requests=5, period_s=1.0, margin_s=0.2)


@pytest.fixture
def server() -> Iterator[SandboxThread]:
    with SandboxThread(SandboxOptions(records=3, columns=3, requests=5, period_s=1.0)) as serving:
        yield serving


def ids(first: int, count: int = 5) -> list[str]:
    return [f"55402300000{number:07}" for number in range(first, first + count)]


def made(url: str, out: Path, **more: object) -> Settings:
    """Settings as a program makes them."""
    account = AccountSettings(
        api_domain=url, credentials=Credentials(access_token=Secret("1000.t")), window=PACE
    )
    return Settings(out=out, accounts=(account,), **more)  # type: ignore[arg-type]


def statuses(server: SandboxThread) -> set[int | None]:
    return {arrival.status for arrival in server.log}


@pytest.mark.slow
def test_settings_made_in_code_share_the_machine_s_window(
    server: SandboxThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lists at once begin at once, and the server refuses none of their requests."""
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(tmp_path / "state"))
    events: list[Event] = []

    async def main() -> list[Report]:
        both = [made(server.url, tmp_path / str(n)) for n in range(2)]
        return await asyncio.gather(
            *(fetch(ids(5 * n), each, on_event=events.append) for n, each in enumerate(both))
        )

    assert [report.done for report in asyncio.run(main())] == [5, 5]
    assert statuses(server) == {200}
    assert "window_fallback" not in {event.kind for event in events}
    assert (tmp_path / "state" / "window.db").is_file()


@pytest.mark.slow
def test_without_a_machine_s_window_the_clients_of_a_process_share_one(
    server: SandboxThread, tmp_path: Path
) -> None:
    """In one loop, in a thread with another, one after the other, whatever settings say."""
    (tmp_path / "file").touch()
    places = [None, tmp_path / "file" / "state", tmp_path / "state"]
    done: list[int] = []

    def run(number: int) -> None:
        async def main() -> None:
            both = [
                made(server.url, tmp_path / f"{number}-{n}", state_dir=places[(number + n) % 3])
                for n in range(2)
            ]
            reports = await asyncio.gather(
                *(fetch(ids(10 * number + 5 * n), each) for n, each in enumerate(both))
            )
            done.extend(report.done for report in reports)

        asyncio.run(main())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(2)
    assert done == [5] * 6
    assert statuses(server) == {200}
    assert worst_in(server.log, 1.0) <= 5


@pytest.mark.slow
def test_one_token_under_several_names_has_one_window(
    server: SandboxThread, tmp_path: Path
) -> None:
    """Clients side by side may call their account otherwise; the server refuses nothing."""

    async def one(name: str, first: int) -> int:
        account = AccountSettings(
            name=name,
            api_domain=server.url,
            credentials=Credentials(access_token=Secret("1000.several")),
            window=PACE,
        )
        out = tmp_path / f"{name}-{first}"
        told = Settings(out=out, accounts=(account,), state_dir=tmp_path / "state")
        return (await fetch([Job(each, name) for each in ids(first)], told)).done

    async def main() -> list[int]:
        names = ("sales", "crm", "export")
        return await asyncio.gather(*(one(name, 5 * n) for n, name in enumerate(names)))

    assert asyncio.run(main()) == [5, 5, 5]
    assert statuses(server) == {200}
    assert worst_in(server.log, 1.0) <= 5


def test_two_accounts_of_the_stand_in_are_two(tmp_path: Path) -> None:
    """They need no credentials, and each has its own ten slots there too."""
    toml = tmp_path / "jobs.toml"
    toml.write_text(
        "".join(f'[accounts.{name}]\ndata_center = "sandbox"\n' for name in ("one", "two"))
        + "[sandbox]\nrecords = 3\n"
    )
    events: list[Event] = []
    jobs = [Job(job_id, name) for name, n in (("one", 0), ("two", 10)) for job_id in ids(n, 10)]
    told = load_settings(toml, {"ZOHO_ACCESS_TOKEN": "1000.t"})
    report = asyncio.run(fetch(jobs, told, on_event=events.append))
    assert report.done == 20
    assert "window_closed" not in {event.kind for event in events}
    assert report.elapsed_s < 55


SPELLINGS = [
    {"data_center": "us"},
    {"api_domain": "https://www.zohoapis.com"},
    {
        "api_domain": "HTTPS://WWW.zohoapis.com.:443/",
        "accounts_url": "https://accounts.zoho.com:443",
    },
    {"api_domain": "https://www.zohoapis.com", "data_center": "us"},
    {},
]


def test_a_server_s_spelling_changes_neither_window_nor_token() -> None:
    """Scheme, host and port as they are used name the account's window and its shared token."""
    trio = {
        name: Secret(f"1000.{name}") for name in ("client_id", "client_secret", "refresh_token")
    }
    refreshing = Credentials(**trio)
    for credentials in (refreshing, Credentials(access_token=Secret("1000.t"))):
        windows, tokens = set(), set()
        for table in SPELLINGS:
            account = AccountSettings(**table, credentials=credentials)  # type: ignore[arg-type]
            where = servers(account)
            windows.add(account_key(account, where.api_domain))
            assert where.accounts_url is not None
            tokens.add(cache_key(where.accounts_url, trio["client_id"], trio["refresh_token"]))
        assert (len(windows), len(tokens)) == (1, 1)
    other = AccountSettings(data_center="eu", credentials=refreshing)
    assert account_key(other, servers(other).api_domain) not in windows


@pytest.mark.slow
def test_a_held_window_is_told_and_the_run_goes_on_when_it_is_let_go(
    server: SandboxThread, tmp_path: Path
) -> None:
    """In mid-run another process keeps the file: progress never speaks of free slots then."""
    events: list[Event] = []

    async def main() -> tuple[set[int], Report]:
        told = made(server.url, tmp_path / "out", state_dir=tmp_path / "state")
        async with Client(told, on_event=events.append) as client:
            run = client.fetch(ids(0, 12))
            await anext(run)
            hog = sqlite3.connect(tmp_path / "state" / "window.db", isolation_level=None)
            while True:
                try:
                    hog.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError:
                    await asyncio.sleep(0.001)
            free = set()
            while "window_held" not in {event.kind for event in events}:
                await asyncio.sleep(0.02)
                (state,) = run.progress().windows.values()
                if state.held_s:
                    free.add(state.free)
            hog.execute("COMMIT")
            hog.close()
            async for _ in run:
                pass
            return free, run.report

    with patch.object(patience, "TOLD_AFTER_S", 0.5):
        free, report = asyncio.run(main())
    assert free == {0}
    assert report.done == 12
    assert statuses(server) == {200}
    (told,) = [event for event in events if event.kind == "window_held"]
    assert f"process {os.getpid()}" in told.message
    assert str(tmp_path / "state" / "window.db") in told.message


@pytest.mark.slow
def test_a_damaged_window_costs_one_run_one_period(server: SandboxThread, tmp_path: Path) -> None:
    """It is set aside; the next run begins at once."""
    told = made(server.url, tmp_path / "out", state_dir=tmp_path / "state")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "window.db").write_bytes(b"no database" * 500)
    events: list[Event] = []
    first = asyncio.run(fetch(ids(0, 1), told, on_event=events.append))
    assert first.elapsed_s > 6
    assert [event.kind for event in events if event.kind.startswith("window")] == [
        "window_fallback"
    ]
    second = asyncio.run(fetch(ids(0, 2), replace(told), on_event=events.append))
    assert (second.done, second.skipped) == (1, 1)
    assert second.elapsed_s < first.elapsed_s / 2


@pytest.mark.slow
def test_windows_handed_in_are_shared_and_left_open(server: SandboxThread, tmp_path: Path) -> None:
    """Clients of one name there have one row together; the store serves the next one too."""
    rows = MemoryWindows(boottime)
    windows = CommonWindows(rows, name_of=lambda account: f"acme-{account.name[:3]}")

    async def one(name: str, first: int, count: int) -> int:
        account = AccountSettings(
            name=name,
            api_domain=server.url,
            credentials=Credentials(access_token=Secret(f"1000.{name}")),
            window=PACE,
        )
        told = Settings(out=tmp_path / name, accounts=(account,), state_dir=tmp_path / "state")
        async with Client(told, windows=windows) as client:
            return len([job async for job in client.fetch([*ids(first, count)])])

    async def main() -> None:
        assert await one("eu-1", 0, 3) == 3
        assert await one("eu-2", 3, 2) == 2
        row = rows.row("acme-eu-")
        assert len(row.columns()[0]) == 5
        assert not (tmp_path / "state" / "window.db").exists()

    asyncio.run(main())


@pytest.mark.slow
def test_a_turn_that_another_has_followed_asks_for_nothing_more(
    server: SandboxThread, tmp_path: Path
) -> None:
    """What it had begun is brought home, the rest stays pending, and why is said."""
    rows = MemoryWindows(boottime)
    rows.generation = 7
    settings = made(server.url, tmp_path / "out", state_dir=tmp_path / "state")

    async def main() -> Report:
        async with Client(settings, windows=CommonWindows(rows, generation=7)) as client:
            run = client.fetch(ids(0, 20))
            async for _ in run:
                rows.generation = 8
            return run.report

    report = asyncio.run(main())
    assert report.aborted is not None
    assert report.aborted.code == "SUPERSEDED"
    assert report.done == len(server.log) <= 5
    assert report.done + report.pending == 20
    assert rows.row("default").waiting == {}
