"""The page of a run: what it tells, in bounded memory, and how it stands in a real browser."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import CHROMIUM, browser
from tests.support.programs import IDS, Program

from bulkfetch.cli import main
from bulkfetch.events import Event
from bulkfetch.observe.event_lines import Data, file_line, json_line
from bulkfetch.observe.report.gathering import gather
from bulkfetch.observe.report.page import page
from bulkfetch.observe.report.series import BUCKETS, peak, total
from bulkfetch.observe.report.tally import Durations

Say = Callable[..., bytes]


def say(at_s: float, kind: Any, job: str | None = None, message: str = "", **data: Any) -> bytes:
    """Give the line of an event of the account `default`."""
    event = Event(kind, message, "default", job, data)
    return json_line(event, 1.8e9 + at_s, at_s).encode()


def own(at_s: float, kind: Any, **data: Any) -> bytes:
    """Give a line about the run."""
    given: Data = data
    return file_line(kind, "", given, 1.8e9 + at_s, at_s).encode()


def opened() -> Iterator[bytes]:
    """Give the beginning of a run with Zoho's window."""
    yield own(0, "run_started", version="1", command="run", pid=1)
    yield say(0, "account_opened", requests=10, period_s=60.0, margin_s=1.0, connections=10)


def job(number: int, at_s: float) -> Iterator[bytes]:
    """Give a healthy job of three seconds."""
    name = f"{number}"
    yield say(at_s, "slot_taken", name, waited_s=1.0, connection_waited_s=0.0)
    yield say(at_s, "attempt_started", name, attempt=1)
    yield say(at_s + 1, "head", name, status=200, length=1000)
    yield say(at_s + 1, "slot_settled", name, end="answered", back_in_s=61.0)
    yield say(at_s + 1, "first_byte", name, offset=0)
    yield say(at_s + 2, "last_byte", name, bytes=1000, received_bytes=1000)
    yield say(at_s + 2, "verified", name, zip_bytes=1000)
    yield say(at_s + 3, "done", name, path="a.csv", bytes=5000, took_s=3.0)


def run_of(count: int) -> Iterator[bytes]:
    """Give a run that takes ten jobs every 62 seconds."""
    yield from opened()
    for number in range(count):
        yield from job(number, number // 10 * 62.0 + number % 10 * 0.01)
    end = {"exit_status": 0, "done": count, "pending": 0}
    yield own(count // 10 * 62.0 + 3, "run_ended", **end)


def test_a_run_in_figures() -> None:
    """Jobs, bytes, waits and the window are those of the events."""
    tally = gather(run_of(35)).tally
    assert (tally.done, tally.failed, tally.received_bytes, tally.file_bytes) == (
        35,
        0,
        35e3,
        175e3,
    )
    window = tally.windows["default"]
    assert (window.count, window.most_taken, window.most_answered, window.most_used) == (
        *(35, 10, 10, 10),
    )
    assert {request.lane for request in window.drawn} == set(range(10))
    assert [round(tally.stages[stage].sum_s) for stage in tally.stages] == [35, 35, 35, 35]
    assert sum(tally.bytes.values) == pytest.approx(35e3)
    told = "".join(page(gather(run_of(35))))
    assert "Kept: at most 10 requests in any 60 s" in told
    assert "All done (exit status 0)" in told


def test_an_eleventh_request_is_seen() -> None:
    """Where eleven left within the period, the page says so, and draws an eleventh lane."""
    lines = [*opened(), *(line for number in range(11) for line in job(number, number * 0.1))]
    gathered = gather(lines)
    assert gathered.tally.windows["default"].most_taken == 11
    told = "".join(page(gathered))
    assert "Exceeded: 11 requests" in told
    assert told.count('class="lane"') == 11


def test_a_killed_run_is_told_as_such() -> None:
    """A torn last line is left out and said, and so is that the run has no end."""
    lines = [*list(run_of(5))[:-1], b'{"v": 1, "time": "20']
    told = "".join(page(gather(lines)))
    assert "killed, or still runs" in told
    assert "The last line of the file is torn" in told
    assert gather(lines).tally.done == 5


def test_only_the_last_run_of_a_file_is_shown() -> None:
    """Earlier ones, and lines that are no events, are counted and left out."""
    lines = [*run_of(20), b"not json\n", b"[]\n", *run_of(3)]
    gathered = gather(lines)
    assert (gathered.runs, gathered.unread, gathered.tally.done) == (2, 2, 3)
    told = "".join(page(gathered))
    assert "holds 2 runs; this is the last one" in told
    assert "2 lines of the file are no events" in told


def test_failures_are_grouped() -> None:
    """Those for good and those tried again are counted by code, with an example and a hint.

    An example says whose job it is: two accounts may have the same id.
    """
    lines = [*opened()]
    for number in range(3):
        lines.append(
            say(1, "attempt_failed", f"{number}", "STALLED: no byte", code="STALLED", next="retry",
                delay_s=1.0, attempt=1, received_bytes=10)
        )  # fmt: skip
    lines.append(say(2, "failed", "7", "GONE: away", code="GONE", hint="Look.", attempts=1))
    refused = Event("failed", "no", "eu", "7", {"code": "NO", "hint": "", "attempts": 1})
    lines.append(json_line(refused, 1.8e9, 2).encode())
    tally = gather(lines).tally
    assert (tally.failures["STALLED"].attempts, tally.failures["STALLED"].jobs) == (3, 0)
    assert (tally.failures["GONE"].jobs, tally.failures["GONE"].hint) == (1, "Look.")
    told = "".join(page(gather(lines)))
    assert told.index("GONE") < told.index("STALLED")
    assert "job 7: GONE: away Look." in told
    assert "job 7 of account eu: no" in told


def test_foreign_words_are_no_markup() -> None:
    """Whatever an events file holds, the page has no script and no element of its making."""
    evil = "</title><script>alert(1)</script><img src=x onerror=alert(1)>"
    lines = [*opened(), own(0, "run_started", version=evil, command=evil, pid=1)]
    lines += [say(1, "note", evil, evil), say(1, "failed", evil, evil, code=evil, hint=evil)]
    lines += [say(1, "export_begun", None, evil, export=evil)]
    lines += [say(1, "slot_taken", evil, waited_s=0.0), say(2, "page_created", evil, export=evil)]
    told = "".join(page(gather(lines)))
    assert "<script" not in told
    assert "<img" not in told


def test_nothing_is_asked_from_elsewhere() -> None:
    """The page names no address that a browser would ask."""
    told = "".join(page(gather(run_of(12))))
    assert not re.search(r"(src|href)=(?!\"data:,\")|url\(|@import|https?:", told)


@pytest.mark.slow
def test_a_long_run_takes_bounded_memory() -> None:
    """Six times as many jobs need no more memory to be told of, and hardly more page."""
    peaks, sizes = [], []
    for count in (500, 3_000):
        tracemalloc.start()
        gathered = gather(run_of(count))
        told = "".join(page(gathered))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert gathered.tally.done == count
        sizes.append(len(told))
    assert peaks[1] < peaks[0] * 1.5 + 200_000
    assert sizes[1] < sizes[0] * 1.5 + 10_000


def test_series_keep_their_sums_and_peaks() -> None:
    """Whatever the length, sums are kept to the end, peaks are seen, and buckets are bounded."""
    sums, peaks = total(), peak()
    for second in range(10_000):
        sums.add(second, 1)
        sums.spread(second, second + 0.7, 2)
        peaks.hold(second, second + 1, second % 11)
    assert sum(sums.values) == pytest.approx(30_000)
    assert max(peaks.values) == 10
    assert len(sums.values) <= BUCKETS
    assert len(peaks.values) <= BUCKETS


def test_quantiles_are_near() -> None:
    """A quantile is within a tenth of the true one."""
    waits = Durations()
    for number in range(1, 1001):
        waits.add(number / 10)
    assert waits.quantile(0.5) == pytest.approx(50, rel=0.1)
    assert waits.quantile(0.9) == pytest.approx(90, rel=0.1)
    assert waits.quantile(1.0) == pytest.approx(100, rel=0.1)
    assert Durations().quantile(0.5) == 0


@pytest.mark.slow
def test_the_how_to_works(tmp_path: Path) -> None:
    """The two commands of the how-to make a page of a real run that keeps to its window."""
    program = Program(tmp_path)
    program.settings(f'[[jobs]]\nid = "{IDS[0]}"\n[[jobs]]\nid = "{IDS[1]}"')
    try:
        ended = program.run("run", "jobs.toml", "--events", "events.jsonl")
        assert ended.status == 0, ended.err
        ended = program.run("report", "events.jsonl")
    finally:
        program.close()
    assert ended.status == 0, ended.err
    assert "Kept: at most 2 requests in any 1 s (the limit is 1000)" in ended.out
    assert "All done (exit status 0)" in ended.out


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`report` writes the page to stdout; a file without events is a usage error."""
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"".join(run_of(3)))
    assert main(["report", str(path)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("<!doctype html>")
    assert err == ""
    for text, reason in (("", "holds no events"), ("x\n", "holds no events")):
        path.write_text(text)
        assert main(["report", str(path)]) == 2
        assert reason in capfd.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "No such file" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_a_browser(tmp_path: Path) -> None:
    """Light and dark, 400 to 1,600 px wide: no error, no request, no overflow, names for all."""
    path = tmp_path / "run.html"
    failed = say(2, "failed", "7", "GONE: away", code="A_CODE_OF_SOME_LENGTH", hint="x" * 300,
                 attempts=1)  # fmt: skip
    begun = say(2, "page_created", "8", "created", export="Leads", page=1)
    lines = [*list(run_of(35))[:-1], failed, begun, say(3, "note", None, "n" * 200)]
    path.write_text("".join(page(gather(lines))))

    async def main() -> None:
        async with browser(tmp_path / "profile") as shown:
            backgrounds = set()
            for scheme in ("light", "dark"):
                for width in (400, 800, 1600):
                    await shown.open(path.as_uri(), width=width, scheme=scheme)
                    room = await shown.value("document.documentElement.scrollWidth")
                    assert room <= width, (scheme, width)
                    beyond = await shown.value(
                        "[...document.querySelectorAll('h1,h2,p,figure,dl,svg,.x span')]"
                        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
                    )
                    assert beyond == 0, (scheme, width)
                    backgrounds.add(
                        await shown.value("getComputedStyle(document.body).backgroundColor")
                    )
                    asked = [
                        event["params"]["request"]["url"]
                        for event in shown.events
                        if event["method"] == "Network.requestWillBeSent"
                    ]
                    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
                    told = {event["method"] for event in shown.events}
                    assert not told & {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
                    assert "Log.entryAdded" not in told
            assert len(backgrounds) == 2
            tree = (await shown.ask("Accessibility.getFullAXTree"))["nodes"]
            named: dict[str, list[str]] = {}
            for node in tree:
                role = node.get("role", {}).get("value", "")
                named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
            images = named.get("image", []) + named.get("img", [])
            assert len(images) == 3
            assert "The window of account default" in images
            for role in ("image", "img", "region", "heading", "table"):
                assert all(named.get(role, ["-"])) or role == "table", role
            assert len(named["main"]) == 1

    asyncio.run(main())
