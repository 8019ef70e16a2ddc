"""What the caller hands in: callbacks that raise, texts in place of lists."""

from __future__ import annotations

import array
import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import UserString
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, loop_windows, settings_for, small, token_of

import bulkfetch
from bulkfetch import Client, Event, Job
from bulkfetch.sandbox import Sandbox, SandboxOptions

JOBS = ids(5)
# News of all sorts: a retry, a second fetch, a 429, a failure that is told of.
OPTIONS = small(
    requests=1000,
    faults={
        JOBS[0]: ("reset_before_head",),
        JOBS[1]: ("zip_bit_flip",),
        JOBS[2]: ("limit_429",),
        JOBS[3]: ("html_503",),
    },
)


class Quit(BaseException):
    """An end of the caller's own."""


def told(out: Path, on_event: Any) -> list[tuple[str, str]]:
    """Fetch with a callback, and give what each job came to."""

    async def main() -> list[tuple[str, str]]:
        async with Sandbox(OPTIONS) as sandbox:
            made = settings_for(sandbox.url, out)
            async with Client(made, on_event=on_event) as client:
                return sorted([(each.job_id, each.status) async for each in client.fetch(JOBS)])

    with loop_windows():
        return run_flow(main())


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Give what was logged of callbacks; news are logged as warnings."""
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_callback_that_raises_costs_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes no result, is told once, and is called again for all that follows."""
    events: list[Event] = []
    expected = told(tmp_path / "a", events.append)
    kinds = sorted(event.kind for event in events)
    assert {"attempt_failed", "window_closed"} <= set(kinds)
    assert errors(caplog) == []
    events.clear()

    def broken(event: Event) -> None:
        events.append(event)
        raise LookupError(f"mine: {event.message}")

    assert told(tmp_path / "b", broken) == expected
    assert sorted(event.kind for event in events) == kinds
    (record,) = errors(caplog)
    assert (record.name, record.levelno) == ("bulkfetch", logging.ERROR)
    assert "on_event raised LookupError" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
    # The callback's traceback and nothing of what was going on around it.
    assert record.exc_info[1].__context__ is None
    assert token_of("default") not in caplog.text


def test_what_a_callback_was_handling_itself_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The chain of the callback's own exceptions stays whole."""

    def broken(event: Event) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise LookupError("second") from None if event.kind == "note" else LookupError("why")

    told(tmp_path, broken)
    (record,) = errors(caplog)
    assert record.exc_info is not None
    error = record.exc_info[1]
    assert isinstance(error, LookupError)
    assert isinstance(error.__context__, KeyError)
    assert error.__context__.__context__ is None


@pytest.mark.parametrize("kind", [Quit, asyncio.CancelledError, GeneratorExit])
def test_a_base_exception_goes_through(tmp_path: Path, kind: type[BaseException]) -> None:
    """It breaks the run off and is raised where that is iterated; another run can follow."""
    calls = 0

    def broken(event: Event) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise kind

    async def main() -> None:
        async with Sandbox(OPTIONS) as sandbox:
            made = settings_for(sandbox.url, tmp_path)
            async with Client(made, on_event=broken) as client:
                with pytest.raises(kind):
                    async for _ in client.fetch(JOBS):
                        pass
                assert calls >= 1
                good = client.fetch(ids(2, 500))
                assert [outcome.status async for outcome in good] == ["done", "done"]

    with loop_windows():
        run_flow(main())


@pytest.mark.parametrize("kind", ["attempt_started", "attempt_failed", "window_closed", "done"])
def test_a_callback_that_cancels_the_task_it_is_called_in(tmp_path: Path, kind: str) -> None:
    """That is one of the run's, not the caller's: the run ends as cancelled, and never hangs."""
    calls = 0

    def broken(event: Event) -> None:
        nonlocal calls
        if event.kind == kind and not calls:
            calls += 1
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    async def main() -> None:
        async with Sandbox(OPTIONS) as sandbox:
            made = settings_for(sandbox.url, tmp_path)
            async with Client(made, on_event=broken) as client:
                with pytest.raises(asyncio.CancelledError, match="on_event"):
                    async for _ in client.fetch(JOBS):
                        pass
                assert calls == 1
                good = client.fetch(ids(2, 500))
                assert [outcome.status async for outcome in good] == ["done", "done"]

    with loop_windows():
        run_flow(main())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit(7)"])
def test_an_interrupt_in_a_callback_ends_the_program(tmp_path: Path, kind: str) -> None:
    """It leaves the event loop, as from any other callback, and nothing holds it up."""
    program = (
        "import asyncio, bulkfetch\n"
        "from bulkfetch.sandbox import SandboxOptions, SandboxThread\n"
        "def broken(event): raise " + kind + "\n"
        "faults = {'1': ('reset_before_head',)}\n"
        "with SandboxThread(SandboxOptions(records=5, faults=faults)) as sandbox:\n"
        "    env = {'ZOHO_API_DOMAIN': sandbox.url, 'ZOHO_ACCESS_TOKEN': '1000.x'}\n"
        "    settings = bulkfetch.load_settings(env=env, out='out')\n"
        "    asyncio.run(bulkfetch.fetch(['1', '2'], settings, on_event=broken))\n"
    )
    path = str(Path(__file__).parents[2] / "src")
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "BULKFETCH_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == (7 if "Exit" in kind else -signal.SIGINT), ended.stderr.decode()


def test_an_iterable_that_ends_in_a_cancellation(tmp_path: Path) -> None:
    """A list whose reading was cancelled by somebody else has not come to its end."""

    async def broken() -> AsyncIterator[str]:
        yield JOBS[4]
        raise asyncio.CancelledError

    async def main() -> None:
        async with Sandbox(OPTIONS) as sandbox:
            made = settings_for(sandbox.url, tmp_path)
            async with Client(made) as client:
                run = client.fetch(broken())
                with pytest.raises(RuntimeError, match="cancelled"):
                    async for _ in run:
                        pass
                assert not run.report.list_read

    with loop_windows():
        run_flow(main())


NO_LISTS = [
    "554023000000568002",
    "",
    "1,2",
    b"554023000000568002",
    bytearray(b"12"),
    memoryview(b"12"),
    UserString("12"),
    Job("1"),
    None,
    12,
    1.5,
    Path("ids.txt"),
    object(),
]


@pytest.mark.parametrize("jobs", NO_LISTS, ids=lambda jobs: type(jobs).__name__)
def test_a_text_is_no_list(tmp_path: Path, jobs: Any) -> None:
    """What would be taken apart, or cannot be gone through, is refused at the call."""

    async def main() -> int:
        async with Sandbox(SandboxOptions(records=5)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out")
            with pytest.raises(TypeError, match=f"not {type(jobs).__name__}: "):
                _ = bulkfetch.fetch(jobs, made)
            assert not made.out.exists()
            async with Client(made) as client:
                with pytest.raises(TypeError, match="a list of job ids is wanted"):
                    client.fetch(jobs)
                # Nothing has begun: the client takes a list.
                assert [outcome async for outcome in client.fetch([])] == []
            return len(sandbox.results())

    with loop_windows():
        assert run_flow(main()) == 0


class OldSequence:
    """A sequence by the protocol of old."""

    def __getitem__(self, index: int) -> str:
        return JOBS[index]


@pytest.mark.parametrize(
    "jobs",
    [dict.fromkeys(JOBS), dict.fromkeys(JOBS).keys(), set(JOBS), tuple(JOBS), OldSequence()],
    ids=lambda jobs: type(jobs).__name__,
)
def test_any_iterable_is_a_list(tmp_path: Path, jobs: Any) -> None:
    """Of a dict its keys count: it is the set that keeps its order."""

    async def main() -> list[str]:
        async with Sandbox(small(requests=1000)) as sandbox:
            report: list[str] = []
            async with Client(settings_for(sandbox.url, tmp_path / "out")) as client:
                async for outcome in client.fetch(jobs):
                    assert outcome.status == "done"
                    report.append(outcome.job_id)
            return sorted(report)

    with loop_windows():
        assert run_flow(main()) == JOBS


def test_a_list_of_numbers_is_not_refused_as_a_whole(tmp_path: Path) -> None:
    """Numbers are no ids; each is a failure of its own."""

    async def main() -> list[str]:
        async with Sandbox(small()) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out")
            async with Client(made) as client:
                numbers: Any = array.array("q", [1, 2])
                return [outcome.status async for outcome in client.fetch(numbers)]

    with loop_windows():
        assert run_flow(main()) == ["failed", "failed"]
