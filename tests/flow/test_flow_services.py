"""What a program hands in: where tokens come from, the connector, the clock, the destination."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from traceback import walk_tb
from typing import Any

import aiohttp
import anyio
import pytest
from tests.support.destinations import documented_memory
from tests.support.flow_clock import flow_loop, run_flow
from tests.support.flows import (
    FAST,
    account_specs,
    ids,
    loop_windows,
    service,
    settings_for,
    small,
    token_of,
)

from bulkfetch import (
    Client,
    ConfigError,
    Credentials,
    Event,
    Job,
    Outcome,
    TokenUnavailable,
)
from bulkfetch.cli import main as cli_main
from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.destination.shared import DRAFTS, open_shared
from bulkfetch.destinations import PublishedObjects
from bulkfetch.errors import DestinationFailed, TokenProviderFailed
from bulkfetch.sandbox import Sandbox
from bulkfetch.secret import Secret
from bulkfetch.zoho.token_provider import ask_provider

JOBS = ids(25)
ONE, TWO, THREE, *_ = JOBS
SECRET = "1000.not-to-be-told"


class Tokens:
    """A provider: gives what `answer` does, and knows what it was asked."""

    def __init__(self, answer: Callable[[str, str | None], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str | None]] = []

    async def token(self, account: str, refused: str | None) -> str:
        self.asked.append((account, refused))
        given = self.answer(account, refused)
        if isinstance(given, BaseException):
            raise given
        if given is asyncio.Future:
            await anyio.sleep_forever()
        return given  # type: ignore[no-any-return]


class LoopClock:
    """The event loop's own time, as a test with a virtual one would hand in."""

    def boottime(self) -> float:
        return flow_loop().time()

    def time(self) -> float:
        return 1_700_000_000.0 + flow_loop().time()


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_from_outside(tmp_path: Path) -> None:
    """One is asked for an account, kept, and asked for again where the server refuses it."""
    tokens = Tokens(
        lambda account, refused: token_of(account) if refused else f"{SECRET}-{account}"
    )
    events: list[Event] = []

    async def main() -> None:
        options = small(requests=1000, auth=True, accounts=account_specs("a", "b"))
        with loop_windows():
            async with Sandbox(options) as sandbox:
                told = settings_for(sandbox.url, tmp_path, accounts={"a": FAST, "b": FAST})
                async with Client(told, on_event=events.append, tokens=tokens) as client:
                    calls = [
                        client.get(job, account="ab"[number % 2]) for number, job in enumerate(JOBS)
                    ]
                    assert {each.status for each in await asyncio.gather(*calls)} == {"done"}

    run_flow(main())
    assert sorted(tokens.asked, key=str) == [
        ("a", f"{SECRET}-a"),
        ("a", None),
        ("b", f"{SECRET}-b"),
        ("b", None),
    ]
    assert "an access token was issued by the token provider" in {each.message for each in events}
    assert SECRET not in str(events)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (ValueError(SECRET), "TOKEN_PROVIDER_FAILED", "failed with ValueError"),
        (TimeoutError(SECRET), "TOKEN_PROVIDER_FAILED", "failed with TimeoutError"),
        (None, "TOKEN_PROVIDER_FAILED", "gave NoneType in place of a text"),
        (SECRET.encode(), "TOKEN_PROVIDER_FAILED", "gave bytes in place of a text"),
        (f"{SECRET}\n", "TOKEN_PROVIDER_FAILED", "gave something that is not a token"),
        (asyncio.Future, "TOKEN_PROVIDER_FAILED", "did not finish within 60 s"),
        (TokenUnavailable("the vault is sealed"), "TOKEN_UNAVAILABLE", "the vault is sealed"),
        (SECRET, "INVALID_TOKEN", "gives a token that the server refuses"),
    ],
)
def test_a_provider_without_a_token_ends_its_account(
    tmp_path: Path, answer: Any, code: str, words: str
) -> None:
    """Its jobs stay pending with the reason, no secret is told, the other account goes on."""
    tokens = Tokens(lambda account, _: answer if account == "a" else token_of(account))

    async def main() -> list[Outcome]:
        options = small(requests=1000, auth=True, accounts=account_specs("a", "b"))
        with loop_windows():
            async with Sandbox(options) as sandbox:
                told = settings_for(sandbox.url, tmp_path, accounts={"a": FAST, "b": FAST})
                async with Client(told, tokens=tokens) as client:
                    jobs = [Job(ONE, "a"), Job(TWO, "b")]
                    return [outcome async for outcome in client.fetch(jobs)]

    found = {outcome.account: outcome for outcome in run_flow(main())}
    assert found["b"].status == "done"
    error = found["a"].error
    assert error is not None
    assert (found["a"].status, error.code) == ("pending", code)
    assert words in error.message
    assert SECRET not in str(error)


@pytest.mark.parametrize("answer", [ValueError(SECRET), f"{SECRET}\n", SECRET.encode()])
def test_no_frame_of_its_failure_holds_a_token(answer: Any) -> None:
    """Tools that report errors show the variables of every frame, and the errors before."""

    async def main() -> None:
        await ask_provider(Tokens(lambda *_: answer), "a", Secret(SECRET))

    with pytest.raises(TokenProviderFailed) as caught:
        run_flow(main())
    error: BaseException | None = caught.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "bulkfetch/" in frame.f_code.co_filename]
    shown = [repr(frame.f_locals) for frame in ours if "tests" not in frame.f_code.co_filename]
    assert shown
    assert SECRET not in str(shown)


def test_a_provider_needs_no_credentials(tmp_path: Path) -> None:
    """Settings that could refresh nothing are taken where tokens come from outside."""

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                told = settings_for(sandbox.url, tmp_path)
                bare = told.accounts[0].at(sandbox.url, Credentials())
                tokens = Tokens(lambda *_: "any")
                async with Client(replace(told, accounts=(bare,)), tokens=tokens) as client:
                    assert (await client.get(ONE)).status == "done"

    run_flow(main())


# --- the connector --------------------------------------------------------------------------------


class Counting(aiohttp.TCPConnector):
    """Counts who wants a connection."""

    wanted = 0

    async def connect(self, *args: Any, **more: Any) -> Any:
        self.wanted += 1
        return await super().connect(*args, **more)


def test_a_connector_from_outside(tmp_path: Path) -> None:
    """All requests go through it; it serves the next client too, and is refused once closed."""

    async def main() -> None:
        connector = Counting()
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                for number, job in enumerate((ONE, TWO)):
                    told = settings_for(sandbox.url, tmp_path / str(number))
                    async with Client(told, connector=connector) as client:
                        assert (await client.get(job)).status == "done"
                assert connector.wanted == 2
                assert not connector.closed
                await connector.close()
                with pytest.raises(ConfigError, match="closed"):
                    await Client(told, connector=connector).__aenter__()

    run_flow(main())


# --- the clock ------------------------------------------------------------------------------------


def test_a_clock_from_outside(tmp_path: Path) -> None:
    """The whole client lives on it: ten in any minute of it, and nothing is left for others."""

    async def main() -> None:
        state = tmp_path / "state"
        async with Sandbox(small()) as sandbox:
            told = settings_for(sandbox.url, tmp_path / "out", state_dir=state)
            began = flow_loop().time()
            async with Client(told, clock=LoopClock()) as client:
                outcomes = [outcome async for outcome in client.fetch(JOBS)]
            assert {outcome.status for outcome in outcomes} == {"done"}
            assert sandbox.worst_in() == 10
            assert 120 < flow_loop().time() - began < 140
            # The window is that of all clients with this clock.
            async with Client(told, clock=LoopClock()) as client:
                assert (await client.get(ids(1, 90)[0])).status == "done"
            assert sandbox.worst_in() == 10
        assert not state.exists()

    run_flow(main())


# --- the destination ------------------------------------------------------------------------------


def test_a_destination_from_outside(tmp_path: Path) -> None:
    """Results are published there and nowhere else; the journal knows them, a rival is refused."""
    memory = documented_memory()

    async def main() -> None:
        more: dict[str, Any] = {"keep_zip": True, "formats": ("csv", "csv.gz")}
        async with service(tmp_path, destination=memory, **more) as (sandbox, client):
            one = await client.get(ONE, name="Leads")
            assert [file.path for file in one.files] == [
                "memory://Leads.csv",
                "memory://Leads.csv.gz",
            ]
            assert memory.files["Leads.csv"] == sandbox.file_of(ONE)
            assert set(memory.files) == {"Leads.csv", "Leads.csv.gz", f"{ONE}.zip"}
            assert (await client.get(ONE)).skipped
            memory.files["Deals.csv"] = b"somebody else's"
            rival = await client.get(TWO, name="Deals")
            assert rival.error is not None
            assert rival.error.code == "PUBLISH_CONFLICT"
            # What an earlier result left there may be replaced by a newer one.
            newer = await client.get(THREE, name="Leads")
            assert newer.status == "done"
            assert memory.files["Leads.csv"] == sandbox.file_of(THREE)
            assert (await client.get(ONE)).superseded_by == THREE
        assert not [path for path in tmp_path.iterdir() if path.name != ".bulkfetch"]
        assert memory.files["Deals.csv"] == b"somebody else's"
        with pytest.raises(ConfigError, match="only the program knows"):
            PublishedObjects(DestinationSettings()).size(one.files[0].path)

    run_flow(main())


def test_what_is_in_a_shared_folder_is_verified(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`verify` reads it like what is in `out`, and knows what is missing or has changed."""
    shared = open_shared(tmp_path / "acme", f"{DRAFTS}here", 0)

    async def main() -> None:
        async with service(tmp_path / "run", destination=shared) as (_, client):
            for job_id in (ONE, TWO):
                assert (await client.get(job_id)).status == "done"

    (tmp_path / "run").mkdir()
    run_flow(main())
    verify = ("verify", str(tmp_path / "run"))
    assert cli_main(verify) == 0
    one, two = (tmp_path / "acme" / f"{job_id}.csv" for job_id in (ONE, TWO))
    size, objects = two.stat().st_size, PublishedObjects(DestinationSettings())
    assert objects.size(f"file://{two}") == size
    one.write_bytes(b"x" * one.stat().st_size)
    two.unlink()
    assert cli_main(verify) == 1
    told = capfd.readouterr().out
    assert f"file://{one}: has other content than was published" in told
    assert f"file://{two}: is gone" in told
    assert objects.size(f"file://{two}") is None


def test_a_destination_that_fails(tmp_path: Path) -> None:
    """The run ends with its cause, no half file is there, and the archive waits for the next."""
    memory = documented_memory()
    broken = True

    class Broken(type(memory)):  # type: ignore[misc]
        def group(self, key: str, place: str) -> Any:
            if broken:
                raise ConnectionError(SECRET)
            return super().group(key, place)

    async def main() -> None:
        nonlocal broken
        destination = Broken()
        async with service(tmp_path, destination=destination) as (sandbox, client):
            with pytest.raises(DestinationFailed, match="failed with ConnectionError") as caught:
                await client.get(ONE)
            assert SECRET not in str(caught.value)
            assert isinstance(caught.value.__cause__, ConnectionError)
            assert not destination.files
            broken = False
            assert (await client.get(ONE)).status == "done"
            assert destination.files
            assert len(sandbox.results()) == 1

    run_flow(main())


class Pathlike:
    """A destination that reports paths."""

    def reported(self, place: str) -> str:
        return f"/srv/{place}"

    is_free = stands = group = reported


@pytest.mark.parametrize(
    ("destination", "settings", "words"),
    [
        (object(), {}, "has no reported"),
        (Pathlike(), {}, "as a URL"),
        (documented_memory(), {"publish_to": "s3://bucket/prefix"}, "beside a destination"),
    ],
)
def test_a_destination_is_looked_at_first(
    tmp_path: Path, destination: Any, settings: dict[str, Any], words: str
) -> None:
    """What cannot be one, or is one of two, is refused when the client is entered."""

    async def main() -> None:
        told = settings_for("http://127.0.0.1:1", tmp_path / "out", **settings)
        with pytest.raises(ConfigError, match=words):
            await Client(told, destination=destination).__aenter__()
        assert not (tmp_path / "out").exists()

    run_flow(main())
