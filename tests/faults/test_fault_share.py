"""Long lists on a server that misbehaves, is shared, or whose tokens end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.support.whole_runs import Ran, account, fetch, refresh_token_of, run_whole, settings

from bulkfetch.sandbox import (
    FAULTS,
    AccountSpec,
    Arrival,
    FaultRule,
    JobSpec,
    Sandbox,
    SandboxOptions,
    worst_in,
)

pytestmark = pytest.mark.slow

# Those that end an account by design, those that take long to play, and those that are refused
# for good at the first sight (which are given to jobs of their own below).
TRANSIENT = tuple(
    name
    for name, fault in FAULTS.items()
    if name.startswith(("reset_", "close_", "chunk", "length_", "head_", "partial_", "html_5"))
    or name in ("body_too_long", "until_close_cut", "stall_in_body", "INTERNAL_ERROR", "zip_zeros")
    or fault.delivers
)
BAD = {
    "554023000009000001": ("RESOURCE_NOT_FOUND", JobSpec(error="RESOURCE_NOT_FOUND")),
    "554023000009000002": ("NO_PERMISSION", JobSpec(error="NO_PERMISSION")),
    "554023000009000003": ("ZIP_CORRUPT", JobSpec(faults=("zip_bit_flip",) * 9)),
    "554023000009000004": ("ZIP_UNSAFE", JobSpec(faults=("zip_traversal",) * 9)),
    "554023000009000005": ("REDIRECTED", JobSpec(faults=("redirect_foreign",) * 9)),
    "554023000009000006": ("NOT_A_ZIP", JobSpec(faults=("html_200",) * 9)),
    "554023000009000007": ("TRUNCATED", JobSpec(faults=("close_in_body",) * 9)),
    "554023000009000008": ("ENCODED_BODY", JobSpec(faults=("gzip_encoding",) * 9)),
    "554023000009000009": ("INTERNAL_ERROR", JobSpec(faults=("html_502",) * 9)),
    "554023000009000010": ("STALLED", JobSpec(faults=("stall_in_body",) * 9)),
}
REQUESTS_OF_BAD = {"ZIP_CORRUPT": 2, "TRUNCATED": 5, "INTERNAL_ERROR": 5, "STALLED": 5}


def small(count: int) -> list[str]:
    return [f"554023000001{number:06}" for number in range(count)]


def test_a_fault_on_a_third_of_all_attempts_costs_only_its_own_requests(tmp_path: Path) -> None:
    """300 jobs: good ones done, bad ones with their code, requests near the least, ten a minute."""
    # At most four in a row: a job has five tries.
    rule = FaultRule(share=1 / 3, faults=TRANSIENT, seed=7, attempts=4)
    good = small(290)
    options = SandboxOptions(
        records=20,
        columns=3,
        rules=(rule,),
        jobs={job_id: spec for job_id, (_, spec) in BAD.items()},
    )

    async def main() -> tuple[Ran, list[Arrival]]:
        async with Sandbox(options) as sandbox:
            jobs = [*good[:100], *BAD, *good[100:]]
            ran = await fetch(settings(tmp_path, account(sandbox.url), idle_s=20), jobs)
            for job_id in good:
                published = (tmp_path / "out" / f"{job_id}.csv").read_bytes()
                assert published == sandbox.file_of(job_id)
            return ran, sandbox.results()

    ran, arrivals = run_whole(main())
    codes = {key: each.error.code for key, each in ran.outcomes.items() if each.error}
    assert codes == {job_id: code for job_id, (code, _) in BAD.items()}
    assert {ran.outcomes[job_id].status for job_id in good} == {"done"}
    assert (ran.report.done, ran.report.failed, ran.report.pending) == (290, 10, 0)
    assert ran.report.aborted is None
    assert worst_in(arrivals, 60.0) <= 10
    # The least possible: one request for each file, one more for each fault that does not deliver,
    # and what the bad ones are worth.
    hit = sum(
        bool(arrival.fault) and not FAULTS[str(arrival.fault)].delivers
        for arrival in arrivals
        if arrival.job_id not in BAD
    )
    least = len(good) + hit + sum(REQUESTS_OF_BAD.get(code, 1) for code, _ in BAD.values())
    print(f"{hit} faults, {len(arrivals)} requests, least possible {least}")
    assert hit > 60
    assert len(arrivals) == ran.report.requests == sum(e.attempts for e in ran.outcomes.values())
    assert len(arrivals) <= least * 1.02


def test_a_token_that_ends_every_twenty_requests_costs_one_refresh_each(tmp_path: Path) -> None:
    """200 jobs, tokens good for 20 requests: as many refreshes as tokens needed, none failed."""
    options = SandboxOptions(
        records=5,
        columns=3,
        auth=True,
        accounts={"default": AccountSpec(refresh_tokens=("1000.refresh-of-it",))},
        token_life_requests=20,
    )

    async def main() -> tuple[Ran, list[Arrival], int]:
        async with Sandbox(options) as sandbox:
            one = account(sandbox.url, credentials=refresh_token_of("it"))
            ran = await fetch(settings(tmp_path, one), small(200))
            return ran, sandbox.log, sandbox.worst_in()

    ran, log, worst = run_whole(main())
    kinds = Counter(arrival.kind for arrival in log)
    refused = [arrival for arrival in log if arrival.kind == "result" and arrival.status == 401]
    assert ran.report.done == 200
    assert not ran.report.aborted
    # 200 answers are ten tokens' worth: nine ended while jobs were still to be fetched.
    assert kinds["token"] == 10
    assert len(ran.told("token_renewed")) == 9
    assert kinds["result"] == 200 + len(refused)
    print(f"{kinds['token']} tokens, {len(refused)} requests refused with an ended token")
    assert worst <= 10


def test_a_foreign_user_is_given_way_to(tmp_path: Path) -> None:
    """Beside one who takes 3 of 10 a minute: most of the rest is used, few requests are refused."""
    jobs = 200

    async def main() -> tuple[Ran, list[Arrival], list[Arrival]]:
        options = SandboxOptions(
            records=5,
            columns=3,
            auth=True,
            accounts={"default": AccountSpec(access_tokens=("1000.token-of-default",))},
            foreigners={"default": 3},
        )
        async with Sandbox(options) as sandbox:
            ran = await fetch(settings(tmp_path, account(sandbox.url)), small(jobs))
            return ran, sandbox.results(), sandbox.log

    ran, results, log = run_whole(main())
    assert ran.report.done == jobs
    begun = results[0].at_s
    ten = [arrival for arrival in results if arrival.at_s < begun + 600]
    refused = [arrival for arrival in ten if arrival.status == 429]
    taken = len(ten) - len(refused)
    all_refused = sum(arrival.status == 429 for arrival in results)
    theirs = [a for a in log if a.kind == "foreign" and begun <= a.at_s < begun + 600]
    print(
        f"in ten minutes {taken} done (floor 70), {len(refused)} x 429; the foreigner had "
        f"{sum(a.status == 200 for a in theirs)} of {len(theirs)}; "
        f"{jobs} jobs in {ran.report.elapsed_s:.0f} s with {all_refused} x 429"
    )
    assert taken >= 0.8 * 70
    # Simulated with a closed window and one probe, but without giving way: 94, and 1997 s.
    assert all_refused <= 10
    assert ran.report.elapsed_s < 1900
    assert worst_in(results, 60.0) <= 10
    assert len(ran.told("window_shared")) >= 1
