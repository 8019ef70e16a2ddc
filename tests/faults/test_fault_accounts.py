"""What happens to one account or one job stays there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.support.whole_runs import (
    Ran,
    account,
    fetch,
    refresh_token_of,
    run_whole,
    settings,
)

from bulkfetch import Job
from bulkfetch.config import Credentials, WindowSettings
from bulkfetch.sandbox import AccountSpec, Sandbox, SandboxOptions
from bulkfetch.secret import Secret


def jobs_of(name: str, count: int, first: int = 0) -> list[Job]:
    return [Job(f"55402300{first + number:010}", name) for number in range(count)]


def mixed(count: int, *names: str) -> list[Job]:
    """Jobs of several accounts, in turn."""
    each = [jobs_of(name, count, 1000 * place) for place, name in enumerate(names)]
    return [job for row in zip(*each, strict=True) for job in row]


def statuses(ran: Ran, name: str) -> set[tuple[str, str | None]]:
    return {
        (outcome.status, outcome.error.code if outcome.error else None)
        for outcome in ran.outcomes.values()
        if outcome.account == name
    }


def spec(name: str, **more: object) -> AccountSpec:
    return AccountSpec(refresh_tokens=(f"1000.refresh-of-{name}",), **more)  # type: ignore[arg-type]


@pytest.mark.slow
def test_accounts_whose_tokens_fail_stop_nobody_else(tmp_path: Path) -> None:
    """A revoked refresh token, a wrong scope and a throttled endpoint end three of four accounts.

    The report names a cause with a hint, and the jobs of the dead accounts stay to be done.
    """
    options = SandboxOptions(
        records=5,
        columns=3,
        auth=True,
        accounts={
            "good": spec("good"),
            "revoked": spec("revoked", revoked=True),
            "scope": spec("scope", error="OAUTH_SCOPE_MISMATCH"),
        },
    )
    names = ("revoked", "scope", "throttled", "good")

    async def main() -> tuple[Ran, float]:
        throttling = SandboxOptions(
            auth=True, token_requests=0, accounts={"throttled": spec("throttled")}
        )
        async with Sandbox(options) as sandbox, Sandbox(throttling) as other:
            accounts = [
                account(
                    other.url if name == "throttled" else sandbox.url, name, refresh_token_of(name)
                )
                for name in names
            ]
            return await fetch(settings(tmp_path, *accounts), mixed(25, *names)), sandbox.worst_in()

    ran, worst = run_whole(main())
    assert statuses(ran, "good") == {("done", None)}
    assert statuses(ran, "revoked") == {("pending", "TOKEN_REFUSED")}
    assert statuses(ran, "scope") == {("pending", "OAUTH_SCOPE_MISMATCH")}
    assert statuses(ran, "throttled") == {("pending", "TOKEN_THROTTLED")}
    assert ran.error is None
    assert (ran.report.done, ran.report.pending) == (25, 75)
    assert ran.report.aborted is not None
    assert ran.report.aborted.hint
    assert all(outcome.error.hint for outcome in ran.outcomes.values() if outcome.error)
    assert {event.account for event in ran.told("account_ended")} == {*names} - {"good"}
    # 25 jobs are two windows after the first, whatever befalls the others.
    assert ran.report.elapsed_s == pytest.approx(122, abs=1)
    assert worst <= 10


@pytest.mark.slow
def test_a_refresh_token_revoked_in_the_middle_ends_the_account_there(tmp_path: Path) -> None:
    """What came before stays done, the rest is pending, and a new refresh token brings it home."""
    options = SandboxOptions(
        records=5, columns=3, auth=True, accounts={"default": spec("it")}, token_life_requests=10
    )

    async def main() -> tuple[Ran, Ran]:
        async with Sandbox(options) as sandbox:
            told = settings(tmp_path, account(sandbox.url, credentials=refresh_token_of("it")))
            asyncio.get_running_loop().call_later(30, sandbox.revoke, "default")
            first = await fetch(told, jobs_of("default", 25))
            token = sandbox.issue_token("default")
            plain = Credentials(access_token=Secret(token))
            again = settings(tmp_path, account(sandbox.url, credentials=plain))
            return first, await fetch(again, jobs_of("default", 15))

    first, second = run_whole(main())
    assert (first.report.done, first.report.pending) == (10, 15)
    assert first.report.aborted is not None
    assert first.report.aborted.code == "TOKEN_REFUSED"
    assert (second.report.skipped, second.report.done) == (10, 5)


COMMANDS = {
    "good": (("-c", "print('1000.token-of-good')"), ("done", None)),
    "fails": (("-c", "raise SystemExit(3)"), ("pending", "TOKEN_COMMAND_FAILED")),
    "garbage": (("-c", "print('two words', 'more', sep='\\n')"),
                ("pending", "TOKEN_COMMAND_FAILED")),
    "binary": (("-c", "import sys; sys.stdout.buffer.write(bytes(range(256)))"),
               ("pending", "TOKEN_COMMAND_FAILED")),
    "endless": (("-c", "while True: print('x' * 1000)"), ("pending", "TOKEN_COMMAND_FAILED")),
    "stale": (("-c", "print('1000.no-longer-good')"), ("pending", "INVALID_TOKEN")),
}  # fmt: skip


def test_a_token_command_that_fails_ends_its_account_only(tmp_path: Path) -> None:
    """Commands that fail, print garbage or a dead token stop their own account, no other."""
    options = SandboxOptions(
        records=5,
        columns=3,
        auth=True,
        accounts={"good": AccountSpec(access_tokens=("1000.token-of-good",))},
        requests=1000,
    )
    fast = WindowSettings(requests=1000, period_s=1, margin_s=0)

    async def main() -> Ran:
        async with Sandbox(options) as sandbox:
            accounts = [
                account(sandbox.url, name, token_command=(sys.executable, *command), window=fast)
                for name, (command, _) in COMMANDS.items()
            ]
            accounts.append(
                account(sandbox.url, "missing", token_command=("/no/such/program",), window=fast)
            )
            return await fetch(settings(tmp_path, *accounts), mixed(3, *COMMANDS, "missing"))

    ran = asyncio.run(main())  # real processes on the real clock
    found = {name: statuses(ran, name) for name in COMMANDS}
    assert found == {name: {expected} for name, (_, expected) in COMMANDS.items()}
    assert statuses(ran, "missing") == {("pending", "TOKEN_COMMAND_FAILED")}


def test_a_token_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """After a minute the command is killed and its account ended."""

    async def main() -> Ran:
        async with Sandbox(SandboxOptions(records=5, columns=3)) as sandbox:
            hangs = ("sleep", "1000")
            accounts = [account(sandbox.url, "hangs", token_command=hangs), account(sandbox.url)]
            return await fetch(settings(tmp_path, *accounts), mixed(2, "hangs", "default"))

    ran = run_whole(main())
    assert statuses(ran, "hangs") == {("pending", "TOKEN_COMMAND_FAILED")}
    assert statuses(ran, "default") == {("done", None)}
    assert ran.report.elapsed_s == pytest.approx(60, abs=1)


@pytest.mark.slow
def test_a_job_that_drips_takes_its_seat_and_no_more(tmp_path: Path) -> None:
    """Three jobs that drip hold three of ten seats: the others leave when they would have anyway.

    What the drip costs the rest is the slots of its own retries.
    """
    hostile = [job.id for job in jobs_of("default", 3)]

    async def last_good(faults: dict[str, tuple[str, ...]], folder: Path) -> tuple[float, Ran]:
        options = SandboxOptions(records=50, columns=4, faults=faults)
        async with Sandbox(options) as sandbox:
            ran = await fetch(settings(folder, account(sandbox.url)), jobs_of("default", 63))
            begun = sandbox.results()[0].at_s
            good = [each.at_s - begun for each in sandbox.results() if each.job_id not in hostile]
            return max(good), ran

    def timed(faults: dict[str, tuple[str, ...]], folder: str) -> tuple[float, Ran]:
        return run_whole(last_good(faults, tmp_path / folder))

    alone_s, _ = timed({}, "alone")
    beside_s, ran = timed(dict.fromkeys(hostile, ("drip:5",) * 5), "beside")
    assert (ran.report.done, ran.report.failed) == (60, 3)
    assert statuses(ran, "default") == {("done", None), ("failed", "STALLED")}
    retries = sum(ran.outcomes[job_id].attempts - 1 for job_id in hostile)
    print(
        f"63 jobs: last good one after {alone_s:.0f} s, beside {retries} retries {beside_s:.0f} s"
    )
    assert beside_s <= alone_s + 61 * (-(-retries // 10)) + 1
