"""The library's contract; runs against an installed wheel as well as against the sources."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import anyio
import pytest

import bulkfetch
from bulkfetch.sandbox import SandboxOptions, SandboxThread

IDS = [f"5540230000005680{number:02}" for number in range(1, 100)]
GONE = "554023000000990404"


@pytest.fixture
def settings(tmp_path: Path) -> bulkfetch.Settings:
    """Settings with a stand-in of their own, as in the README."""
    toml = tmp_path / "jobs.toml"
    toml.write_text(
        'out = "exports"\n'
        '[account]\ndata_center = "sandbox"\n'
        "[account.window]\nrequests = 1000\nperiod_s = 1\nmargin_s = 0\n"
        "[sandbox]\nrecords = 20\nrequests = 100000\n"
    )
    return bulkfetch.load_settings(toml, {})


async def collect(
    client: bulkfetch.Client, jobs: list[str], outcomes: list[bulkfetch.Outcome]
) -> None:
    """Fetch a list to its end."""
    outcomes += [outcome async for outcome in client.fetch(jobs)]


def test_public_names() -> None:
    """Each public name is there, has a docstring, and is told to type checkers."""
    assert sorted(bulkfetch.__all__) == list(bulkfetch.__all__)
    source = Path(bulkfetch.__file__).read_text()
    told = ast.parse(
        source[source.index("if _typing.TYPE_CHECKING") : source.index("\n# Imported")]
    )
    imported = {
        each.name
        for node in ast.walk(told)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    assert imported == set(bulkfetch.__all__)
    for name in bulkfetch.__all__:
        assert getattr(bulkfetch, name).__doc__ or name == "EventKind"
    assert {name for name in dir(bulkfetch) if name[0] != "_"} == set(bulkfetch.__all__)
    assert bulkfetch.__version__ == version("bulkfetch")
    with pytest.raises(AttributeError, match="nothing"):
        _ = bulkfetch.nothing  # type: ignore[attr-defined]


def test_typed() -> None:
    """The package ships the marker that lets type checkers read it."""
    assert files("bulkfetch").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_import_is_quiet() -> None:
    """Importing starts nothing, loads no HTTP library, configures no logging, takes no signal."""
    program = (
        "import logging, signal, sys, threading\n"
        "before = [signal.getsignal(each) for each in signal.valid_signals()]\n"
        "import bulkfetch\n"
        "assert not {'aiohttp', 'rich', 'click'} & set(sys.modules)\n"
        "from bulkfetch import *\n"
        "assert before == [signal.getsignal(each) for each in signal.valid_signals()]\n"
        "assert not logging.root.handlers and threading.active_count() == 1\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_readme_example(settings: bulkfetch.Settings) -> None:
    """The README's lines work in any running loop; failures are values too."""

    async def main() -> None:
        async with bulkfetch.Client(settings) as client:
            async for outcome in client.fetch([IDS[0], GONE]):
                if outcome.status == "done":
                    (file,) = outcome.files
                    assert outcome.job_id == IDS[0]
                    assert Path(file.path).stat().st_size == file.bytes
                else:
                    assert outcome.status == "failed"
                    assert outcome.error is not None
                    assert outcome.error.code == "RESOURCE_NOT_FOUND"
                    assert outcome.error.hint
        report = await bulkfetch.fetch(IDS[:3], settings)
        assert (report.done, report.skipped, report.failed) == (2, 1, 0)
        assert report.ok

    asyncio.run(main())


def test_anyio(settings: bulkfetch.Settings) -> None:
    """It works in a loop that anyio runs, inside somebody's task group."""

    async def main() -> None:
        async with bulkfetch.Client(settings) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(collect, client, IDS[:2], outcomes)

    outcomes: list[bulkfetch.Outcome] = []
    anyio.run(main)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]


def test_nothing_global(settings: bulkfetch.Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """A run prints nothing, configures no logging and leaves the signal handlers alone."""

    def world() -> object:
        root = logging.getLogger()
        handlers = [signal.getsignal(each) for each in sorted(signal.valid_signals())]
        return (list(root.handlers), root.level, handlers, os.getcwd(), os.environ.copy())

    before = world()
    during: list[object] = []

    async def main() -> None:
        async with bulkfetch.Client(settings) as client:
            async for _ in client.fetch([*IDS[:3], GONE]):
                during.append(signal.getsignal(signal.SIGINT))

    asyncio.run(main())
    assert world() == before
    assert len(set(during)) == 1
    assert capfd.readouterr() == ("", "")


def test_another_kind_of_loop(settings: bulkfetch.Settings) -> None:
    """Outside of asyncio, as under trio, entering says what is needed, and makes nothing."""
    entering = bulkfetch.Client(settings).__aenter__()
    with pytest.raises(RuntimeError, match="needs asyncio's event loop"):
        entering.send(None)
    assert not settings.out.exists()


@pytest.mark.slow  # a backoff in real time
def test_events(settings: bulkfetch.Settings) -> None:
    """News come as values, to whoever asked for them, and hold no token."""
    events: list[bulkfetch.Event] = []
    faulty = replace(
        settings, sandbox=(*settings.sandbox, ("faults", {IDS[0]: ["reset_before_head"]}))
    )
    report = asyncio.run(bulkfetch.fetch(IDS[:1], faulty, on_event=events.append))
    assert report.done == 1
    assert [event.kind for event in events] == [
        *("account_opened", "slot_taken", "attempt_started", "slot_settled", "attempt_failed"),
        *("slot_taken", "attempt_started", "head", "slot_settled", "first_byte", "last_byte"),
        *("verified", "done"),
    ]
    assert {event.job_id for event in events} == {None, IDS[0]}
    attempts = [event.data["attempt"] for event in events if "attempt" in event.data]
    assert attempts == [1, 1, 2]
    ends = [event.data["end"] for event in events if event.kind == "slot_settled"]
    assert ends == ["lost", "answered"]
    done = events[-1].data
    assert str(done["path"]).endswith(f"{IDS[0]}.csv")
    assert done["bytes"] == Path(str(done["path"])).stat().st_size
    assert 0 < float(done["took_s"]) < 60
    assert "Zoho-oauthtoken" not in repr(events)


@pytest.mark.slow
def test_exceptions_of_the_consumer(settings: bulkfetch.Settings) -> None:
    """What the caller raises within the block comes out as it is, not in a group."""

    async def main() -> None:
        async with bulkfetch.Client(settings) as client:
            async for _ in client.fetch(IDS):
                raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(main())
    assert asyncio.run(bulkfetch.fetch(IDS, settings)).ok


@pytest.mark.slow
def test_breaking_out(settings: bulkfetch.Settings) -> None:
    """Who leaves the loop early may read on later, or leave: the next run goes on."""

    async def main() -> int:
        async with bulkfetch.Client(settings) as client:
            run = client.fetch(IDS)
            async for _ in run:
                break
            second = await anext(run)
            assert second.status == "done"
            with pytest.raises(RuntimeError, match="not ended"):
                _ = run.report
            with pytest.raises(RuntimeError, match="another list"):
                client.fetch(IDS)
            run.stop()
            rest = [outcome.status async for outcome in run]
            assert len(rest) == len(IDS) - 2
            assert run.report.interrupted
            return run.report.done

    done = asyncio.run(main())
    report = asyncio.run(bulkfetch.fetch(IDS, settings))
    assert (report.skipped, report.done) == (done, len(IDS) - done)


@pytest.mark.slow
def test_generators_around_it(settings: bulkfetch.Settings) -> None:
    """A generator of the caller's around a client can be closed early."""

    async def outcomes() -> AsyncIterator[bulkfetch.Outcome]:
        async with bulkfetch.Client(settings) as client:
            async for outcome in client.fetch(IDS):
                yield outcome

    async def main() -> None:
        source = outcomes()
        assert (await anext(source)).status == "done"
        await source.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert asyncio.run(bulkfetch.fetch(IDS, settings)).ok


def test_leaving_at_once(settings: bulkfetch.Settings) -> None:
    """A run that was never read, or not even begun, leaves nothing behind and warns of nothing."""

    async def main() -> None:
        async with bulkfetch.Client(settings):
            pass
        async with bulkfetch.Client(settings) as client:
            run = client.fetch(IDS)
        assert [outcome async for outcome in run] == []
        async with bulkfetch.Client(settings) as client:
            client.fetch(IDS)
            await asyncio.sleep(0.05)
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    asyncio.run(main())


def test_closed_clients(settings: bulkfetch.Settings) -> None:
    """A client that is not open says so."""
    client = bulkfetch.Client(settings)
    with pytest.raises(RuntimeError, match="async with"):
        client.fetch(IDS)

    async def main() -> None:
        async with client:
            await collect(client, IDS[:1], [])
        with pytest.raises(RuntimeError, match="async with"):
            client.fetch(IDS)

    asyncio.run(main())


def test_lists_one_after_the_other(settings: bulkfetch.Settings) -> None:
    """One client fetches several lists, and each is a run with a report of its own."""

    async def main() -> None:
        async with bulkfetch.Client(settings) as client:
            for start in (0, 3, 2):
                run = client.fetch(IDS[start : start + 3])
                outcomes = [outcome async for outcome in run]
                assert [outcome.status for outcome in outcomes] == ["done"] * 3
                assert run.report.done + run.report.skipped == 3
            assert run.report.skipped == 3
            empty = client.fetch([])
            assert [outcome async for outcome in empty] == []
            assert empty.report == bulkfetch.Report(elapsed_s=empty.report.elapsed_s)

    asyncio.run(main())


def test_side_by_side(settings: bulkfetch.Settings, tmp_path: Path) -> None:
    """Clients of one loop with folders of their own do not meet."""
    outs = [tmp_path / name for name in ("one", "two", "three")]

    async def main() -> None:
        reports = await asyncio.gather(
            *(bulkfetch.fetch(IDS[:4], replace(settings, out=out)) for out in outs)
        )
        assert [report.done for report in reports] == [4, 4, 4]

    asyncio.run(main())
    for out in outs:
        assert sorted(path.name for path in out.glob("*.csv")) == [f"{id}.csv" for id in IDS[:4]]


def test_one_folder_for_two(settings: bulkfetch.Settings) -> None:
    """The second client of a folder is turned away, and the first is not disturbed."""

    async def main() -> None:
        async with bulkfetch.Client(settings) as client:
            run = client.fetch(IDS[:5])
            with pytest.raises(bulkfetch.RunError) as refused:
                await bulkfetch.fetch(IDS[:5], settings)
            assert refused.value.code == "LOCKED"
            assert [outcome.status async for outcome in run] == ["done"] * 5

    asyncio.run(main())
    assert asyncio.run(bulkfetch.fetch(IDS[:5], settings)).skipped == 5


def test_sequences_and_jobs(settings: bulkfetch.Settings, tmp_path: Path) -> None:
    """Ids and jobs may be mixed, in any iterable; a job's name is its file's."""

    def jobs() -> Iterator[str | bulkfetch.Job]:
        yield IDS[0]
        yield bulkfetch.Job(IDS[1], name="Leads")

    report = asyncio.run(bulkfetch.fetch(jobs(), settings))
    assert report.done == 2
    names = {path.name for path in (tmp_path / "exports").iterdir()}
    assert names == {".bulkfetch", f"{IDS[0]}.csv", "Leads.csv"}


def test_the_list_of_the_settings(tmp_path: Path, settings: bulkfetch.Settings) -> None:
    """What [[jobs]] says can be fetched as it is, names and all."""
    entries = (bulkfetch.JobEntry(id=IDS[0], name="Leads"), bulkfetch.JobEntry(id=IDS[1]))
    listed = replace(settings, jobs=entries)
    report = asyncio.run(bulkfetch.fetch(listed.jobs, listed))
    assert report.done == 2
    names = {path.name for path in (tmp_path / "exports").iterdir()}
    assert names == {".bulkfetch", f"{IDS[1]}.csv", "Leads.csv"}


def test_the_logger(settings: bulkfetch.Settings, caplog: pytest.LogCaptureFixture) -> None:
    """`bulkfetch` logs trouble as warnings, and all that happens where DEBUG is enabled."""

    def logged() -> set[tuple[str, int, str]]:
        found = {
            (record.name, record.levelno, record.__dict__["event"].kind)
            for record in caplog.records
            if record.name.startswith("bulkfetch")
        }
        caplog.clear()
        return found

    asyncio.run(bulkfetch.fetch([IDS[0], GONE], settings))
    quiet = logged()
    assert all(level == logging.WARNING for _, level, _ in quiet)
    caplog.set_level(logging.DEBUG, "bulkfetch")
    asyncio.run(bulkfetch.fetch([IDS[1], GONE + "1"], settings))
    everything = logged()
    assert ("bulkfetch", logging.DEBUG, "done") in everything
    assert "1000." not in caplog.text


@pytest.mark.slow
def test_outcomes_as_json(settings: bulkfetch.Settings) -> None:
    """`to_dict` is what `--json` prints of the job."""
    program = [sys.executable, "-m", "bulkfetch"]
    ran = subprocess.run(
        [*program, "run", str(settings.source), IDS[0], GONE, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=settings.out.parent,
    )
    printed = [json.loads(line) for line in ran.stdout.splitlines()]

    async def main() -> list[dict[str, object]]:
        async with bulkfetch.Client(settings) as client:
            return [outcome.to_dict() async for outcome in client.fetch([IDS[0], GONE])]

    told = {str(each["id"]): each for each in asyncio.run(main())}
    jobs = [each for each in printed if each["type"] == "job"]
    assert len(jobs) == 2
    for job in jobs:
        assert told[job["id"]].pop("skipped") is True
        assert told[job["id"]] == job


def test_a_server_of_the_users_own(tmp_path: Path) -> None:
    """The public sandbox stands in for Zoho in users' own tests, by the environment alone."""
    with SandboxThread(SandboxOptions(records=5, requests=10_000)) as server:
        toml = tmp_path / "jobs.toml"
        toml.write_text(
            "[account.window]\nrequests = 1000\nperiod_s = 0.01\nmargin_s = 0\n"
            f'[account]\napi_domain = "{server.url}"\n'
        )
        env = {"ZOHO_ACCESS_TOKEN": "1000.mine", "BULKFETCH_STATE_DIR": str(tmp_path / "state")}
        settings = bulkfetch.load_settings(toml, env, out=tmp_path / "out")
        report = asyncio.run(bulkfetch.fetch(IDS[:3], settings))
        assert report.done == 3
        assert [arrival.kind for arrival in server.log] == ["result"] * 3
    assert "1000.mine" not in repr(settings)


ENTERING = """
import asyncio, sys, threading
from bulkfetch import Client, Settings

imported = []
loops = threading.current_thread()


def note(event, args):
    if event == "import" and threading.current_thread() is loops:
        imported.append(args[0])


async def main():
    client = Client(Settings(out=sys.argv[1]))
    sys.addaudithook(note)
    async with client:
        pass


asyncio.run(main())
print(sorted({name.partition(".")[0] for name in imported}))
"""


@pytest.mark.slow
def test_entering_imports_nothing_of_weight_in_the_loop_s_thread(tmp_path: Path) -> None:
    """What takes milliseconds to import is imported in a thread: a service's loop goes on."""
    ran = subprocess.run(
        [sys.executable, "-c", ENTERING, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ast.literal_eval(ran.stdout) in ([], ["concurrent"])
