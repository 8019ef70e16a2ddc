"""Broken transfers go on where they stopped, where that is safe; else they begin again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.whole_runs import Ran, account, fetch, refresh_token_of, run_whole, settings

from bulkfetch import Client, Event
from bulkfetch.download import body
from bulkfetch.pipeline.health import GROWTH_BYTES
from bulkfetch.sandbox import Arrival, JobSpec, Sandbox, SandboxOptions

ID = "554023000000568002"
SIZE = 8 << 20


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a body written in one go, so that figures are exact.

    What aiohttp has read is lost where a connection breaks while a batch is being written.
    """
    monkeypatch.setattr(body, "BATCH_BYTES", 1 << 30)


def resumed(folder: Path, *faults: str, **options: Any) -> tuple[Ran, list[Arrival], int]:
    """Fetch one large job under a script of faults; give the run, its requests, the ZIP's size."""

    async def main() -> tuple[Ran, list[Arrival], int]:
        told = SandboxOptions(
            **{"ranges": True, "etag": True, "faults": {ID: faults}, **options},
            jobs={ID: JobSpec(payload_bytes=SIZE)},
        )
        async with Sandbox(told) as sandbox:
            one = account(sandbox.url, credentials=refresh_token_of("it"))
            ran = await fetch(settings(folder, one), [ID])
            if ran.report.done:
                assert (folder / "out" / f"{ID}.csv").read_bytes() == sandbox.file_of(ID)
            return ran, sandbox.results(), sandbox.zip_of(ID).length

    return run_whole(main())


def test_a_broken_body_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The second request asks for the rest alone, and the event says what that saved."""
    ran, (first, second), size = resumed(tmp_path, "close_in_body")
    assert ran.report.done == 1
    assert second.range == f"bytes={size // 2}-"
    assert first.sent_bytes + second.sent_bytes == size
    (event,) = ran.told("resumed")
    assert event.data["gained_bytes"] == size // 2
    assert ran.told("restarted") == []


@pytest.mark.parametrize("offer", [{"ranges": False}, {"etag": False}])
def test_nothing_is_resumed_that_was_not_offered(tmp_path: Path, offer: dict[str, bool]) -> None:
    """Without Accept-Ranges, or without an ETag to hold on to, the whole is asked for again."""
    ran, (_, second), size = resumed(tmp_path, "close_in_body", **offer)
    assert ran.report.done == 1
    assert (second.range, second.sent_bytes) == (None, size)
    (event,) = ran.told("restarted")
    assert event.data["lost_bytes"] == size // 2
    assert ran.told("resumed") == []


def test_a_result_that_was_made_anew_is_fetched_anew(tmp_path: Path) -> None:
    """Another ETag behind the same id: If-Range gets the whole, and the old half is overwritten."""
    events: list[Event] = []

    async def main() -> list[Arrival]:
        options = SandboxOptions(
            ranges=True,
            etag=True,
            jobs={ID: JobSpec(payload_bytes=SIZE, faults=("close_in_body",))},
        )
        async with Sandbox(options) as sandbox:

            def watch(event: Event) -> None:
                events.append(event)
                if event.kind == "attempt_failed":
                    sandbox.put_job(ID, JobSpec(payload_bytes=SIZE // 2))

            told = settings(tmp_path, account(sandbox.url))
            async with Client(told, on_event=watch) as client:
                assert [outcome.status async for outcome in client.fetch([ID])] == ["done"]
            assert (tmp_path / "out" / f"{ID}.csv").read_bytes() == sandbox.file_of(ID)
            return sandbox.results()

    _, second = run_whole(main())
    assert second.range is not None
    assert second.status == 200
    followed = {"attempt_started", "attempt_failed", "restarted", "resumed", "done"}
    assert [event.kind for event in events if event.kind in followed] == [
        "attempt_started",
        "attempt_failed",
        "attempt_started",
        "done",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        "range_wrong_start",
        "range_wrong_total",
        "range_garbage",
        "range_missing",
        "range_not_satisfiable",
        "etag_changed",
    ],
)
def test_a_wrong_answer_to_a_range_costs_a_restart(tmp_path: Path, fault: str) -> None:
    """What does not continue exactly there, in the same file, is not written; then all of it."""
    ran, (_, second, third), size = resumed(tmp_path, "close_in_body", fault)
    assert ran.report.done == 1
    assert second.range is not None
    assert third.range is None
    assert third.sent_bytes == size
    assert ran.seen_codes(ID) == ["TRUNCATED", "BAD_RESPONSE"]


def test_a_token_that_ends_loses_nothing_of_a_broken_body(tmp_path: Path) -> None:
    """A 401 between two parts costs a refresh, not the part that is here."""
    ran, arrivals, size = resumed(tmp_path, "close_in_body", "INVALID_TOKEN")
    assert ran.report.done == 1
    assert [arrival.range for arrival in arrivals] == [None, *[f"bytes={size // 2}-"] * 2]


def test_tries_come_back_only_where_much_was_gained(tmp_path: Path) -> None:
    """Each attempt brings half of the rest; those that bring a mebibyte cost no try."""
    ran, arrivals, size = resumed(tmp_path, *["close_in_body"] * 20)
    gains = [arrival.sent_bytes for arrival in arrivals]
    large = sum(gain >= GROWTH_BYTES for gain in gains)
    assert ran.report.failed == 1
    assert size >> 1 == gains[0]
    assert large == 3
    assert len(arrivals) == large + 4


def test_the_same_half_again_is_no_gain(tmp_path: Path) -> None:
    """A server that sends half, and nothing right to a Range, is asked five times and no more."""
    ran, arrivals, _ = resumed(tmp_path, *["close_in_body", "range_garbage"] * 20)
    assert ran.report.failed == 1
    assert len(arrivals) == 5
