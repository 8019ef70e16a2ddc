"""Every fault by name: the server does what it says and goes on serving."""

from __future__ import annotations

import re

import pytest
from tests.support.sandbox_http import RESULT, ask, ended, raw

from bulkfetch.sandbox import FAULTS, FaultRule, JobSpec, Sandbox, SandboxOptions

pytestmark = pytest.mark.anyio

ID = "554023000000568002"


# These keep the connection open, so that only silence tells that there is no more to come.
OPEN_ENDED = ("stall", "drip", "chunk_size_malformed", "oversize", "length_too_large_open")


async def answer_to(name: str, *more: str, **options: object) -> tuple[bytes, Sandbox]:
    """Return every byte that a fault sends, and the sandbox that sent them."""
    told = SandboxOptions(records=200, faults={ID: (name,)}, **options)  # type: ignore[arg-type]
    async with Sandbox(told) as sandbox:
        patience_s = 0.3 if name.startswith(OPEN_ENDED) else 30.0
        got = await raw(sandbox.url, RESULT.format(ID), *more, patience_s=patience_s)
        healthy = await ask(sandbox.url, RESULT.format(ID))
        body = sandbox.zip_of(ID)
        assert (healthy.status, healthy.body) == (200, body.read(0, body.length))
        await ended(sandbox)
        return got, sandbox


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_a_fault_is_survived_and_logged_under_its_name(name: str) -> None:
    """After any fault the next attempt is answered in full; `whole` only where it delivers."""
    got, sandbox = await answer_to(name)
    body = sandbox.zip_of(ID)
    first, second = sandbox.results(ID)
    assert FAULTS[name].does
    assert first.fault == name
    assert first.attempt == 1
    assert first.counted
    assert first.whole == FAULTS[name].delivers
    assert (second.fault, second.whole) == (None, True)
    if FAULTS[name].delivers and name != "chunked":
        assert got.endswith(body.read(0, body.length))


def head_of(got: bytes) -> bytes:
    return got.partition(b"\r\n\r\n")[0]


def body_of(got: bytes) -> bytes:
    return got.partition(b"\r\n\r\n")[2]


def announced(got: bytes) -> list[int]:
    return [int(n) for n in re.findall(rb"Content-Length: (\d+)", head_of(got))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reset_before_head", "close_before_head", "stall_before_head"])
async def test_nothing_at_all_comes(name: str) -> None:
    """These end or hang before a byte, and leave no status in the log."""
    got, sandbox = await answer_to(name)
    assert got == b""
    assert sandbox.results(ID)[0].status is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reset_in_head", "close_in_head", "stall_in_head"])
async def test_the_head_breaks_off(name: str) -> None:
    """A status line comes, the empty line does not."""
    got, _ = await answer_to(name)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in got


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("close_in_body", None),
        ("close_before_last_byte", 1),
        ("stall_before_last_byte", 1),
        ("length_too_large", 1000),
        ("length_too_large_open", 1000),
        ("body_too_long", -1000),
    ],
)
async def test_the_body_is_not_as_long_as_announced(name: str, missing: int | None) -> None:
    """Too few bytes come, or too many."""
    got, _ = await answer_to(name)
    (length,) = announced(got)
    lacking = length - len(body_of(got))
    assert lacking == (length - length // 2 if missing is None else missing)


async def test_two_lengths_that_differ() -> None:
    """Content-Length comes twice and the values disagree."""
    got, _ = await answer_to("length_twice")
    assert len(set(announced(got))) == 2


@pytest.mark.slow
async def test_chunks_are_cut_or_malformed() -> None:
    """A chunked body lacks its end, or holds a size that is none."""
    cut, _ = await answer_to("chunks_without_end")
    assert b"Transfer-Encoding: chunked" in head_of(cut)
    assert not cut.endswith(b"0\r\n\r\n")
    bad, _ = await answer_to("chunk_size_malformed")
    assert b"ZZZ\r\n" in bad


async def test_heads_are_too_large_or_dirty() -> None:
    """70 KB of headers in one or in many; control bytes inside a header."""
    assert len(head_of((await answer_to("head_70k"))[0])) > 70_000
    assert len(head_of((await answer_to("head_many"))[0])) > 70_000
    assert b"a\x00b\x1b[31mc\rd" in head_of((await answer_to("head_control_bytes"))[0])


async def test_redirects_name_the_host_they_are_told() -> None:
    """The argument after the colon is the Location."""
    got, _ = await answer_to("redirect_foreign:https://other.example.org/x")
    assert b"302 Found" in got
    assert b"Location: https://other.example.org/x" in got


async def test_retry_after_comes_in_every_form() -> None:
    """429 with seconds, text or a date as the script says."""
    assert b"Retry-After: 7\r" in (await answer_to("limit_429_after:7"))[0]
    assert b"Retry-After: Wed, 21 Oct" in (await answer_to("limit_429_after:Wed, 21 Oct"))[0]
    assert b" GMT\r" in (await answer_to("limit_429_date:30"))[0]


async def test_a_wrong_range_is_sent_in_place_of_the_right_one() -> None:
    """A resumed request gets a 206 that begins elsewhere or has another total."""
    got, _ = await answer_to("range_wrong_start", "Range: bytes=100-", ranges=True)
    assert b"206 Partial" in got
    assert b"Content-Range: bytes 1-" in got
    got, _ = await answer_to("range_wrong_total", "Range: bytes=100-", ranges=True)
    assert b"/1000000000\r\n" in got


async def test_a_pause_with_an_end_delivers_after_all() -> None:
    """stall_in_body with an argument goes on: the body is whole in the end."""
    got, sandbox = await answer_to("stall_in_body:0.1")
    body = sandbox.zip_of(ID)
    assert body_of(got) == body.read(0, body.length)


async def test_a_script_is_used_up_attempt_by_attempt() -> None:
    """One fault for each attempt in order, "" for none; a refused 429 uses none up."""
    options = SandboxOptions(
        records=3, requests=3, jobs={ID: JobSpec(faults=("NO_PERMISSION", "", "html_502"))}
    )
    async with Sandbox(options) as sandbox:
        statuses = [(await ask(sandbox.url, RESULT.format(ID))).status for _ in range(4)]
        assert statuses == [403, 200, 502, 429]


@pytest.mark.slow
async def test_chance_hits_the_same_attempts_in_every_run() -> None:
    """A rule's share is met, and neither order nor concurrency changes who is hit."""
    rule = FaultRule(share=1 / 3, faults=("NO_PERMISSION", "html_502"), seed=5)
    options = SandboxOptions(records=0, requests=1000, rules=(rule,))
    ids = [str(n) for n in range(150)]

    async def statuses(order: list[str]) -> dict[str, int]:
        async with Sandbox(options) as sandbox:
            return {
                job_id: (await ask(sandbox.url, RESULT.format(job_id))).status for job_id in order
            }

    first = await statuses(ids)
    assert await statuses(ids[::-1]) == first
    assert 35 < sum(status != 200 for status in first.values()) < 65
    assert set(first.values()) == {200, 403, 502}


async def test_other_endpoints_misbehave_too() -> None:
    """Scripts under "token", "create" and "status" hit those calls."""
    options = SandboxOptions(faults={"token": ("html_502",), "status": ("INTERNAL_ERROR",)})
    async with Sandbox(options) as sandbox:
        form = {"grant_type": "refresh_token", "refresh_token": "r"}
        for expected in (502, 200):
            answer = await ask(sandbox.url, "/oauth/v2/token", method="POST", data=form)
            assert answer.status == expected
        assert (await ask(sandbox.url, f"/crm/bulk/v8/read/{ID}")).status == 500


def test_a_fault_that_does_not_exist_is_refused_at_once() -> None:
    """A misspelt name raises before anything is served, and tells the nearest right one."""
    with pytest.raises(ValueError, match="did you mean 'html_502'"):
        Sandbox(SandboxOptions(faults={"1": ("html_5020",)}))


def test_there_are_enough_faults_for_the_table() -> None:
    """Issue after issue adds to the table; it never shrinks below its first size."""
    assert len(FAULTS) >= 90
