"""What follows from a failure: the table of cases."""

from __future__ import annotations

import pytest

from bulkfetch import errors
from bulkfetch.ratelimit.throttle import LONGEST_CLOSE_S
from bulkfetch.transfer.decide import (
    BACKOFF_CAP_S,
    FAILING_FOR_S,
    FAILURES_IN_A_ROW,
    LONGEST_RETRY_AFTER_S,
    REFUSED_FOR_S,
    RETRY_AFTER_MARGIN_S,
    UNREACHABLE_AT_FIRST,
    UNREACHABLE_LATER,
    Next,
    Standing,
    decide,
)


def _all(family: type[errors.BulkfetchError]) -> list[type[errors.BulkfetchError]]:
    found = []
    for cls in family.__subclasses__():
        found += [cls, *_all(cls)]
    return found


FIRST = Standing(tries=1, budget=5)
LAST = Standing(tries=5, budget=5)


def failing(failures: int, failing_s: float) -> Standing:
    """A service that fails, and costs the job nothing."""
    return Standing(5, 5, failures=failures, failing_s=failing_s, of_service=True)


CASES: list[tuple[errors.BulkfetchError, Standing, Next]] = [
    (errors.ConnectFailed(), Standing(0, 5, connects_failed=1), Next.HOLD),
    (errors.TlsFailed(), Standing(0, 5, connects_failed=1), Next.HOLD),
    (errors.ConnectFailed(), Standing(5, 5, connects_failed=1), Next.HOLD),
    (
        errors.ConnectFailed(),
        Standing(0, 5, connects_failed=UNREACHABLE_AT_FIRST),
        Next.END_ACCOUNT,
    ),
    (
        errors.ConnectFailed(),
        Standing(0, 5, connects_failed=UNREACHABLE_AT_FIRST, answered=True),
        Next.HOLD,
    ),
    (
        errors.TlsFailed(),
        Standing(0, 5, connects_failed=UNREACHABLE_LATER, answered=True),
        Next.END_ACCOUNT,
    ),
    (errors.ServerError(), Standing(1, 5, connects_failed=UNREACHABLE_LATER), Next.RETRY),
    (errors.ConnectionLost(), FIRST, Next.RETRY),
    (errors.Truncated(), FIRST, Next.RETRY),
    (errors.Stalled(), FIRST, Next.RETRY),
    (errors.BadResponse(), FIRST, Next.RETRY),
    (errors.ServerError(), FIRST, Next.RETRY),
    (errors.ServerError(), LAST, Next.FAIL),
    (errors.NotReady(), FIRST, Next.RETRY),
    (errors.NotReady(), LAST, Next.FAIL),
    (errors.TooManyRequests(), FIRST, Next.AFTER_WINDOW),
    (errors.TooManyRequests(), Standing(99, 5), Next.AFTER_WINDOW),
    (errors.TooManyRequests(), Standing(1, 5, refused_s=REFUSED_FOR_S - 1), Next.AFTER_WINDOW),
    (errors.TooManyRequests(), Standing(1, 5, refused_s=REFUSED_FOR_S), Next.END_ACCOUNT),
    (errors.ServerError(), failing(1, 0.0), Next.RETRY),
    (errors.ServerError(), failing(FAILURES_IN_A_ROW, 9.0), Next.HOLD),
    (errors.ServerError(), failing(1, 0.0)._replace(retry_after_s=30.0), Next.HOLD),
    (errors.ServerError(), failing(99, FAILING_FOR_S - 1), Next.HOLD),
    (errors.ServerError(), failing(99, FAILING_FOR_S), Next.END_ACCOUNT),
    (errors.ServerError(), failing(99, FAILING_FOR_S)._replace(stands_out=True), Next.FAIL),
    (errors.ServerError(), LAST._replace(failures=9, failing_s=9.0), Next.FAIL),
    (errors.ResourceNotFound(), FIRST, Next.FAIL),
    (errors.NoPermission(), FIRST, Next.FAIL),
    (errors.AuthorizationFailed(), FIRST, Next.FAIL),
    (errors.InvalidRequestMethod(), FIRST, Next.FAIL),
    (errors.Redirected(), FIRST, Next.FAIL),
    (errors.UnexpectedStatus(), FIRST, Next.FAIL),
    (errors.NotAZip(), FIRST, Next.FAIL),
    (errors.EncodedBody(), FIRST, Next.FAIL),
    (errors.TooLarge(), FIRST, Next.FAIL),
    (errors.ZipCorrupt(), FIRST, Next.REFETCH),
    (errors.ZipCorrupt(), Standing(2, 5, refetched=True), Next.FAIL),
    (errors.ZipUnsafe(), FIRST, Next.FAIL),
    (errors.ZipEncrypted(), FIRST, Next.FAIL),
    (errors.ZipUnsupported(), FIRST, Next.FAIL),
    (errors.ZipTooLarge(), FIRST, Next.FAIL),
    (errors.ZipContent(), FIRST, Next.FAIL),
    (errors.InvalidToken(), FIRST, Next.REPEAT),
    (errors.InvalidToken(), Standing(1, 5, repeated=True), Next.END_ACCOUNT),
    (errors.ScopeMismatch(), FIRST, Next.END_ACCOUNT),
    (errors.AuthenticationFailure(), FIRST, Next.REPEAT),
    (errors.InvalidOauthToken(), FIRST, Next.REPEAT),
    (errors.AuthenticationFailure(), Standing(1, 5, repeated=True), Next.END_ACCOUNT),
    (errors.CertificateRefused(), FIRST, Next.END_ACCOUNT),
    (errors.InvalidUrlPattern(), FIRST, Next.END_ACCOUNT),
    (errors.TokenRefused(), FIRST, Next.END_ACCOUNT),
    (errors.TokenThrottled(), FIRST, Next.END_ACCOUNT),
    (errors.DiskFull(), FIRST, Next.END_RUN),
    (errors.NotWritable(), FIRST, Next.END_RUN),
    (errors.JournalDamaged(), FIRST, Next.END_RUN),
]


@pytest.mark.parametrize(
    ("error", "standing", "expected"),
    CASES,
    ids=[f"{error.code}-{standing.tries}-{step.name}" for error, standing, step in CASES],
)
def test_a_failure_has_its_consequence(
    error: errors.BulkfetchError, standing: Standing, expected: Next
) -> None:
    """Every kind of failure leads to the step that the table gives."""
    assert decide(error, standing).next is expected


def test_every_error_of_an_account_or_run_ends_it() -> None:
    """No account error leads to a further request without a new token; no run error leads on."""
    for cls in _all(errors.AccountError):
        assert decide(cls(), Standing(1, 5, repeated=True)).next is Next.END_ACCOUNT
    for cls in _all(errors.RunError):
        assert decide(cls(), FIRST).next is Next.END_RUN


def test_every_job_error_ends_when_its_tries_are_spent() -> None:
    """Nothing but a 429 is asked for again without end."""
    spent = Standing(5, 5, repeated=True, refetched=True, connects_failed=UNREACHABLE_LATER)
    for cls in _all(errors.JobError):
        if cls is not errors.TooManyRequests:
            assert decide(cls(), spent).next in (Next.FAIL, Next.END_ACCOUNT)


def test_backoff_doubles_up_to_its_cap() -> None:
    """The ceiling of the random wait doubles with each try, and never exceeds the cap."""
    ceilings = [decide(errors.Stalled(), Standing(n, 20)).ceiling_s for n in range(1, 10)]
    assert ceilings[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(ceilings) == BACKOFF_CAP_S


@pytest.mark.parametrize("error", [errors.ServerError(), errors.NotReady()])
@pytest.mark.parametrize("asked_s", [0.0, 30.0, 4000.0, 1e12])
@pytest.mark.parametrize("of_service", [False, True])
def test_what_the_server_asks_to_wait_is_waited(
    error: errors.BulkfetchError, asked_s: float, of_service: bool
) -> None:
    """Whatever the dice say no request goes before a Retry-After; its cap is a 429's."""
    standing = Standing(1, 5, failures=1, of_service=of_service, retry_after_s=asked_s)
    decision = decide(error, standing)
    least_s = min(asked_s, LONGEST_RETRY_AFTER_S)
    assert decision.delay_s(0.0) == least_s + RETRY_AFTER_MARGIN_S
    assert least_s < decision.delay_s(1.0) <= max(BACKOFF_CAP_S, least_s + RETRY_AFTER_MARGIN_S)
    assert LONGEST_RETRY_AFTER_S == LONGEST_CLOSE_S


def test_codes_are_stable_and_each_stands_for_one_cause() -> None:
    """Every class has a code of its own, in capitals, and a hint that says what to do."""
    classes = [cls for cls in _all(errors.BulkfetchError) if not cls.__subclasses__()]
    codes = [cls.code for cls in classes]
    assert len(codes) == len(set(codes))
    assert all(code.isupper() for code in codes)
    assert all(cls.default_hint for cls in classes if not issubclass(cls, errors.ConfigError))
