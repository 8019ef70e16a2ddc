"""A service in trouble, a limit told in words, and jobs that fail alone: who waits, who ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.scripted_service import Answers, Service, archive, http, said, served, service
from tests.support.whole_runs import Ran, account, fetch, run_whole, settings

from bulkfetch.observe.messages import NORMAL, event_line

MINUTE = 60.0
PAGE = b"<html><body>Down for maintenance</body></html>"


def ids(count: int) -> list[str]:
    return [f"55402300{number:010}" for number in range(count)]


def run(folder: Path, answers: Answers, count: int, **more: object) -> tuple[Ran, Service]:
    """Fetch so many jobs from a service that answers so, on the virtual clock."""

    async def main() -> tuple[Ran, Service]:
        async with service(answers) as made:
            told = settings(folder, account(made.url, **more))  # type: ignore[arg-type]
            return await fetch(told, ids(count)), made

    return run_whole(main())


def worst_minute(times: list[float]) -> int:
    return max(sum(start <= at < start + MINUTE for at in times) for start in times)


def down(until_s: float, *headers: str, status: int = 503) -> Answers:
    """A service that is down at first."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        return http(status, PAGE, *headers) if now < until_s else served(job_id)

    return answers


# --- maintenance ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 502, 504, 408, 507, 509, 520, 522, 529, 530, 599])
@pytest.mark.parametrize("headers", [(), ("Retry-After: 30",), ("Retry-After: 120",)])
def test_ten_minutes_of_maintenance_lose_not_even_an_only_job(
    tmp_path: Path, status: int, headers: tuple[str, ...]
) -> None:
    """A list of one job comes home when the service is back, however it says that it is not."""
    ran, made = run(tmp_path, down(600, *headers, status=status), 1)
    assert (ran.report.done, ran.report.failed, ran.report.pending) == (1, 0, 0)
    assert 600 <= made.times()[-1] <= 600 + 121
    assert len(made.asked) <= 45
    assert worst_minute(made.times()) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("headers", [(), ("Retry-After: 30",)])
@pytest.mark.parametrize("status", [503, 500])
def test_ten_minutes_of_maintenance_lose_none_of_many_jobs(
    tmp_path: Path, status: int, headers: tuple[str, ...]
) -> None:
    """Two hundred jobs wait it out; one request at a time looks, and the window is kept."""
    ran, made = run(tmp_path, down(600, *headers, status=status), 200)
    assert (ran.report.done, ran.report.failed) == (200, 0)
    looked = [at for at in made.times() if 5 < at < 600]
    assert len(looked) <= 40
    assert len(set(looked)) == len(looked)  # never two at once
    assert worst_minute(made.times()) <= 10
    assert ran.told("service_down")


@pytest.mark.slow
def test_maintenance_in_the_middle_of_a_list_loses_nothing(tmp_path: Path) -> None:
    """Some of ten requests under way are answered well and some not: that is held against none."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        begins = int(job_id[-3:]) % 2 == 1 and 60 < now < 70
        return http(503, PAGE) if begins or 70 <= now < 670 else served(job_id)

    ran, _ = run(tmp_path, answers, 60)
    assert (ran.report.done, ran.report.failed) == (60, 0)


@pytest.mark.slow
def test_what_the_service_asks_is_waited_by_the_whole_account(tmp_path: Path) -> None:
    """Thirty seconds of 503 with Retry-After: 30 are two requests of an only job."""
    ran, made = run(tmp_path / "one", down(30, "Retry-After: 30"), 1)
    assert ran.report.done == 1
    assert len(made.asked) == 2
    assert 30 <= made.times()[-1] <= 32
    ran, made = run(tmp_path / "many", down(30, "Retry-After: 30"), 30)
    assert ran.report.done == 30
    assert not [at for at in made.times() if 1 < at < 30]


def test_a_date_is_waited_for_as_seconds_are(tmp_path: Path) -> None:
    """Retry-After as asctime under 503, against the reply's own Date."""
    dates = ("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun Nov  6 08:50:17 1994")
    ran, made = run(tmp_path, down(40, *dates), 1)
    assert ran.report.done == 1
    assert [round(at) for at in made.times()] == [0, 41]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("headers", [(), ("Retry-After: 60",), ("Retry-After: 0",)])
def test_a_service_that_stays_down_ends_the_account(
    tmp_path: Path, count: int, headers: tuple[str, ...]
) -> None:
    """After a quarter of an hour the jobs stay pending, with a code that says why."""
    ran, made = run(tmp_path, down(1e9, *headers), count)
    assert (ran.report.done, ran.report.failed, ran.report.pending) == (0, 0, count)
    assert ran.report.aborted is not None
    assert ran.report.aborted.code == "SERVICE_DOWN"
    assert ran.report.aborted.http == 503
    assert 15 * MINUTE <= ran.report.elapsed_s <= 18 * MINUTE
    assert len(made.asked) < 150
    assert worst_minute(made.times()) <= 10


@pytest.mark.slow
def test_a_retry_after_of_a_year_is_not_believed(tmp_path: Path) -> None:
    """It is capped as a 429's is: an hour."""
    ran, made = run(tmp_path, down(100, "Retry-After: 31536000"), 1)
    assert ran.report.done == 1
    assert [round(at) for at in made.times()] == [0, 3601]


# --- one job alone --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 100])
@pytest.mark.parametrize("place", [0, -1])
def test_one_job_that_alone_gives_500_fails_after_its_tries(
    tmp_path: Path, count: int, place: int
) -> None:
    """Others are served: it is the job's own, and holds nobody up."""
    broken = ids(count)[place]

    def answers(now: float, job_id: str, before: int) -> bytes:
        return said(500, "INTERNAL_ERROR") if job_id == broken else served(job_id)

    ran, made = run(tmp_path, answers, count)
    outcome = ran.outcomes[broken]
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "INTERNAL_ERROR")
    assert outcome.attempts == len(made.times(broken)) == 5
    assert (ran.report.done, ran.report.failed) == (count - 1, 1)
    assert ran.report.aborted is None


@pytest.mark.slow
@pytest.mark.parametrize("headers", [(), ("Retry-After: 30",)])
def test_one_job_that_alone_gives_503_does_not_stop_the_others(
    tmp_path: Path, headers: tuple[str, ...]
) -> None:
    """Even at the head of the list and with a Retry-After: the others come home, it fails."""
    broken = ids(60)[0]

    def answers(now: float, job_id: str, before: int) -> bytes:
        return http(503, PAGE, *headers) if job_id == broken else served(job_id)

    ran, made = run(tmp_path, answers, 60, concurrency=1)
    outcome = ran.outcomes[broken]
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "INTERNAL_ERROR")
    assert (ran.report.done, ran.report.failed) == (59, 1)
    assert len(made.times(broken)) <= 45
    others = [at for at, job_id, _ in made.asked if job_id != broken]
    assert others[-1] <= 61 * 6 + 120


@pytest.mark.slow
def test_several_broken_jobs_among_good_ones_all_fail(tmp_path: Path) -> None:
    """They are not taken for a maintenance as long as others are served in between."""
    broken = set(ids(100)[::20])

    def answers(now: float, job_id: str, before: int) -> bytes:
        return said(500, "INTERNAL_ERROR") if job_id in broken else served(job_id)

    ran, _ = run(tmp_path, answers, 100)
    assert (ran.report.done, ran.report.failed) == (95, 5)
    assert ran.report.aborted is None


# --- the limit in words ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 202, 302, 400, 403, 404, 500, 503])
@pytest.mark.parametrize("in_data", [False, True])
def test_a_limit_in_words_closes_the_window_as_a_429_does(
    tmp_path: Path, status: int, in_data: bool
) -> None:
    """One of ten is refused in words: nothing goes for a minute, then one probe alone."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        if now < MINUTE:
            body = b'{"code":"TOO_MANY_REQUESTS","message":"limit","status":"error"}'
            return http(status, b'{"data":[%s]}' % body if in_data else body)
        return served(job_id)

    ran, made = run(tmp_path, answers, 20)
    assert (ran.report.done, ran.report.failed) == (20, 0)
    later = [at for at in made.times() if at > 1]
    assert later[0] == pytest.approx(61, abs=0.5)
    closed = ran.told("window_closed")
    assert closed
    assert event_line(closed[0], NORMAL)
    assert {outcome.attempts for outcome in ran.outcomes.values()} <= {1, 2}


@pytest.mark.slow
def test_the_probe_s_words_are_read_before_others_follow(tmp_path: Path) -> None:
    """A probe that is refused in words under 200 lets nobody go with it."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        return said(200, "TOO_MANY_REQUESTS") if now < 200 else served(job_id)

    ran, made = run(tmp_path, answers, 30)
    assert ran.report.done == 30
    refused = [round(at) for at in made.times() if 1 < at < 200]
    assert refused == [61, 122, 183]


@pytest.mark.parametrize("status", [200, 403])
def test_the_words_of_the_limit_count_before_their_body_has_ended(
    tmp_path: Path, status: int
) -> None:
    """A length that never comes is not waited for, and the window closes from the head on."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        if now > MINUTE:
            return served(job_id)
        whole = said(status, "TOO_MANY_REQUESTS")
        length = len(whole.partition(b"\r\n\r\n")[2])
        return whole.replace(f"Length: {length}".encode(), b"Length: 5000")

    ran, made = run(tmp_path, answers, 12)
    assert (ran.report.done, ran.report.failed) == (12, 0)
    assert next(round(at) for at in made.times() if at > 1) == 61
    assert ran.told("window_closed")
    assert {event.data["code"] for event in ran.told("attempt_failed")} == {"TOO_MANY_REQUESTS"}


def test_retry_after_is_honoured_under_words(tmp_path: Path) -> None:
    """403 with the words and Retry-After: 30 closes for thirty seconds and the margin."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        return said(403, "TOO_MANY_REQUESTS", "Retry-After: 30") if now < 1 else served(job_id)

    ran, made = run(tmp_path, answers, 1)
    assert ran.report.done == 1
    assert [round(at) for at in made.times()] == [0, 31]


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 403, 429, 503])
def test_nothing_but_refusals_for_an_hour_ends_the_account(tmp_path: Path, status: int) -> None:
    """Then the account is RATE_LIMITED and its jobs are pending: nothing is asked for ever."""
    ran, made = run(tmp_path, lambda *_: said(status, "TOO_MANY_REQUESTS"), 12)
    assert {outcome.status for outcome in ran.outcomes.values()} == {"pending"}
    assert ran.report.aborted is not None
    assert ran.report.aborted.code == "RATE_LIMITED"
    assert ran.report.aborted.http == status
    assert 3600 <= ran.report.elapsed_s <= 3600 + 62
    assert len(made.asked) <= 10 + 60


@pytest.mark.slow
def test_the_hour_begins_anew_with_every_good_answer(tmp_path: Path) -> None:
    """An account that serves now and then is slow, not locked out."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        return served(job_id) if before == 30 else said(429, "TOO_MANY_REQUESTS")

    ran, _ = run(tmp_path, answers, 3, concurrency=1)
    assert ran.report.done == 3
    assert ran.report.elapsed_s > 3600


@pytest.mark.slow
def test_refusals_and_failures_in_turn_end_too(tmp_path: Path) -> None:
    """Neither count is set back by the other trouble."""

    def answers(now: float, job_id: str, before: int) -> bytes:
        return said(429, "TOO_MANY_REQUESTS") if before % 2 else http(503, PAGE)

    ran, _ = run(tmp_path, answers, 1)
    assert ran.report.aborted is not None
    assert ran.report.aborted.code in ("RATE_LIMITED", "SERVICE_DOWN")
    assert ran.report.elapsed_s <= 2 * 3600


@pytest.mark.slow
def test_a_slot_whose_body_is_slow_to_begin_comes_back_a_minute_after_its_head(
    tmp_path: Path,
) -> None:
    """What is read before an answer is known to be no refusal costs the window nothing."""
    from tests.support.flow_clock import run_flow
    from tests.support.flows import ids as numbered
    from tests.support.flows import small, watch

    jobs = numbered(20)
    options = small(faults={jobs[0]: ("stall_after_head:30",)})
    seen = run_flow(watch(options, jobs, tmp_path / "out"))
    assert seen.report.done == 20
    assert max(seen.seconds()) == pytest.approx(61, abs=0.5)
    assert seen.worst <= 10


# --- bytes decide ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["none", "UTF-8", "binary", "zip", "identity, identity", "Identity", "aws-chunked", "",
     "gzip", "x-gzip", "deflate", "br", "zstd", "compress"],
)  # fmt: skip
def test_a_sound_zip_under_any_encoding_comes_home(tmp_path: Path, encoding: str) -> None:
    """One request, nothing unpacked on the way."""
    ran, made = run(
        tmp_path, lambda now, job_id, before: served(job_id, f"Content-Encoding: {encoding}"), 1
    )
    assert ran.report.done == 1
    assert len(made.asked) == 1
    assert ran.report.zip_bytes == len(archive(ids(1)[0]))


def test_long_headers_are_taken_up_to_64_kib(tmp_path: Path) -> None:
    """9,000 bytes and 65,536 pass in one request; more is told, and no proxy is blamed alone."""
    for size in (9_000, 65_536):
        ran, made = run(
            tmp_path / str(size),
            lambda now, job_id, before, size=size: served(job_id, f"X-Long: {'x' * size}"),  # type: ignore[misc]
            1,
        )
        assert ran.report.done == len(made.asked) == 1
    ran, _ = run(tmp_path, lambda now, job_id, before: served(job_id, f"X: {'x' * 70_000}"), 1)
    (outcome,) = ran.outcomes.values()
    assert outcome.error is not None
    assert outcome.error.code == "BAD_RESPONSE"
    assert "64 KiB" in outcome.error.hint
