"""A client is nobody's child: it may be entered in one task and left in another."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, loop_windows, settings_for, small
from tests.support.programs import Program

from bulkfetch import Client, RunError, Settings
from bulkfetch.config import AccountSettings
from bulkfetch.journal import OutputLock
from bulkfetch.pipeline.layout import STATE_DIR
from bulkfetch.pipeline.publish import Publisher
from bulkfetch.sandbox import Sandbox, SandboxThread

JOBS = ids(12)


@asynccontextmanager
async def sandbox_and_client(out: Path) -> AsyncIterator[tuple[Sandbox, Client]]:
    """Give a sandbox, and a client for it that is not open."""
    with loop_windows():
        async with Sandbox(small(requests=1000)) as sandbox:
            window = {"requests": 1000, "period_s": 1.0, "margin_s": 0.0}
            yield sandbox, Client(settings_for(sandbox.url, out, window=window))


async def fetched(client: Client, jobs: list[str]) -> list[str]:
    """Fetch a list, and give what became of it."""
    return [outcome.status async for outcome in client.fetch(jobs)]


def is_free(out: Path) -> bool:
    """Say whether nobody holds the folder."""
    return OutputLock.holder(out / STATE_DIR) is None


def test_entered_and_left_in_tasks_of_their_own(tmp_path: Path) -> None:
    """As test fixtures and frameworks do: one task enters, others fetch, another one leaves."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):
            await asyncio.create_task(client.__aenter__())
            assert await asyncio.create_task(fetched(client, JOBS[:3])) == ["done"] * 3
            run = client.fetch(JOBS)
            await anext(run)
            await asyncio.create_task(client.__aexit__(None, None, None))
            assert {outcome.status async for outcome in run} <= {"done"}
            assert is_free(tmp_path)

    run_flow(main())


def test_a_client_belongs_to_its_event_loop(tmp_path: Path) -> None:
    """Another thread, with a loop of its own or none, is told so, and spoils nothing."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client), client:
            for elsewhere in (
                lambda: client.fetch(JOBS),
                lambda: asyncio.run(fetched(client, JOBS)),
            ):
                with pytest.raises(RuntimeError, match="belongs to the event loop"):
                    await anyio.to_thread.run_sync(elsewhere)
            assert await fetched(client, JOBS[:3]) == ["done"] * 3

    run_flow(main())


def test_left_by_a_stack_in_another_task(tmp_path: Path) -> None:
    """An exit stack may be handed on."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):
            stack = AsyncExitStack()
            await asyncio.create_task(stack.enter_async_context(client))
            assert await fetched(client, JOBS[:3]) == ["done"] * 3
            await asyncio.create_task(stack.aclose())
            assert is_free(tmp_path)

    run_flow(main())


def test_a_generator_fixture(tmp_path: Path) -> None:
    """A client within an asynchronous generator is begun in one task and ended in another."""

    async def main() -> None:
        async def fixture() -> AsyncIterator[Client]:
            async with sandbox_and_client(tmp_path) as (_, client), client:
                yield client

        source = fixture()
        client: Client = await asyncio.create_task(anext(source))  # type: ignore[arg-type]
        assert await asyncio.create_task(fetched(client, JOBS)) == ["done"] * 12
        with suppress(StopAsyncIteration):
            await asyncio.create_task(anext(source))  # type: ignore[arg-type]
        assert is_free(tmp_path)

    run_flow(main())


def test_who_entered_is_cancelled(tmp_path: Path) -> None:
    """Cancelling the task that entered ends nothing of what others have the client do."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):
            entered = asyncio.Event()

            async def enter() -> None:
                await client.__aenter__()
                entered.set()
                await asyncio.sleep(1e6)

            entering = asyncio.create_task(enter())
            await entered.wait()
            run = client.fetch(JOBS)
            await anext(run)
            entering.cancel()
            assert len([outcome async for outcome in run]) == len(JOBS) - 1
            assert run.report.ok
            await client.__aexit__(None, None, None)
            assert is_free(tmp_path)

    run_flow(main())


def test_who_asked_is_cancelled(tmp_path: Path) -> None:
    """A run goes on when the task that called `fetch` ends, as long as somebody holds it."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client), client:

            async def ask() -> object:
                return client.fetch(JOBS)

            run = await asyncio.create_task(ask())
            assert len([each async for each in run]) == len(JOBS)  # type: ignore[attr-defined]

    run_flow(main())


def test_left_twice_and_entered_again(tmp_path: Path) -> None:
    """Leaving again does no harm; entering again opens it anew, but not while it is open."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):
            await client.__aexit__(None, None, None)  # never entered
            for first in (0, 4, 8):
                async with client:
                    with pytest.raises(RuntimeError, match="open already"):
                        await client.__aenter__()
                    assert await fetched(client, JOBS[first : first + 4]) == ["done"] * 4
                assert is_free(tmp_path)
                await client.__aexit__(None, None, None)
                with pytest.raises(RuntimeError, match="async with"):
                    client.fetch(JOBS)

    run_flow(main())


def test_left_after_what_went_wrong(tmp_path: Path) -> None:
    """An exception of the block, and an aborted run, come out once, as they are."""

    async def main() -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        async with sandbox_and_client(tmp_path) as (_, client):

            async def raising() -> None:
                async with client:
                    await anext(client.fetch(JOBS))
                    raise LookupError("mine")

            with pytest.raises(LookupError, match="mine"):
                await raising()
            with pytest.raises(RunError) as aborted, patch.object(Publisher, "_publish", full):
                async with client:
                    await fetched(client, ids(12, 100))
            assert aborted.value.code == "DISK_FULL"
            async with client:
                assert await fetched(client, JOBS) == ["done"] * 12

    run_flow(main())


def test_cancelled_while_it_is_left(tmp_path: Path) -> None:
    """Leaving comes to its end however often it is cancelled, and then says so."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):

            async def enter_and_leave() -> None:
                async with client:
                    run = client.fetch(JOBS)
                    await anext(run)
                    entered.set()

            entered = asyncio.Event()
            task = asyncio.create_task(enter_and_leave())
            await entered.wait()
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            assert is_free(tmp_path)
            assert not [each for each in asyncio.all_tasks() if each.get_name() == "bulkfetch run"]

    run_flow(main())


def test_a_scope_around_a_client(tmp_path: Path) -> None:
    """A time limit around it leaves the client whole, and is the only one to end by it."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (sandbox, client):
            with anyio.move_on_after(5) as scope:
                async with client:
                    assert await fetched(client, JOBS[:3]) == ["done"] * 3
                    await asyncio.sleep(10)
            assert scope.cancelled_caught
            assert is_free(tmp_path)
            # Entered within a scope that is left before the client is.
            with anyio.CancelScope() as scope:
                await client.__aenter__()
                scope.cancel()
            assert await fetched(client, JOBS) == ["done"] * 12
            await client.__aexit__(None, None, None)
            assert len(sandbox.results()) == 12

    run_flow(main())


@pytest.mark.slow
def test_a_client_that_is_dropped(tmp_path: Path) -> None:
    """One that was never left warns of it and lets its folder go."""

    async def main() -> None:
        async with sandbox_and_client(tmp_path) as (_, client):
            await client.__aenter__()
            assert await fetched(client, JOBS[:3]) == ["done"] * 3
        assert not is_free(tmp_path)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_flow(main())
        gc.collect()
    assert is_free(tmp_path)
    assert "was never left" in {str(each.message)[-14:] for each in caught}
    assert {each.category for each in caught} == {ResourceWarning}


ENDINGS = {
    "idle": "    await client.__aenter__()\n",
    "after a run": "    await client.__aenter__()\n"
    "    [each async for each in client.fetch(['1', '2'])]\n",
    "in a run": "    await client.__aenter__()\n    run = client.fetch(['1', '2'])\n"
    "    await anext(run)\n",
}


ASYNCIO_RUN, BARE_LOOP = "asyncio.run(main())", "loop.run_until_complete(main())"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "loop"),
    [
        ("idle", ASYNCIO_RUN),
        ("after a run", ASYNCIO_RUN),
        ("in a run", ASYNCIO_RUN),
        ("idle", BARE_LOOP),
        # Not in a run: a loop closed over running tasks may leave anyio's worker threads waiting.
        ("after a run", BARE_LOOP),
    ],
)
def test_a_loop_that_is_closed_without_leaving(tmp_path: Path, ending: str, loop: str) -> None:
    """The program ends at once, and says nothing."""
    program = (
        "import asyncio, bulkfetch\n"
        "from bulkfetch.sandbox import SandboxOptions, SandboxThread\n"
        "async def main():\n"
        "    global client\n"
        f"    client = bulkfetch.Client(settings)\n{ENDINGS[ending]}"
        "with SandboxThread(SandboxOptions(records=5)) as sandbox:\n"
        "    env = {'ZOHO_API_DOMAIN': sandbox.url, 'ZOHO_ACCESS_TOKEN': '1000.x'}\n"
        "    settings = bulkfetch.load_settings(env=env, out='out')\n"
        "    loop = asyncio.new_event_loop()\n"
        f"    {loop}\n"
        "    loop.close()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=Program(tmp_path).environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_left_while_the_stand_in_starts(tmp_path: Path) -> None:
    """The built-in sandbox is ended with its client, also where that was left meanwhile."""
    others = set(threading.enumerate())
    settings = Settings(
        out=tmp_path,
        accounts=(AccountSettings(name="default", data_center="sandbox"),),
        sandbox=(("records", 5),),
    )
    starting, entered = threading.Event(), SandboxThread.__enter__

    def enter(server: SandboxThread) -> SandboxThread:
        starting.set()
        return entered(server)

    async def main() -> None:
        async with Client(settings) as client:
            run = client.fetch(JOBS)
            while not starting.is_set():
                await asyncio.sleep(0.001)
            del run

    with patch.object(SandboxThread, "__enter__", enter):
        asyncio.run(main())
    for left in set(threading.enumerate()) - others:
        left.join(5)  # anyio's idle workers end a moment after their loop
    assert set(threading.enumerate()) <= others
