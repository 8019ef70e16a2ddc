"""What follows from a failure: the table of cases."""

from __future__ import annotations

import pytest

from bulkfetch import errors
from bulkfetch.download.retry import (
    BACKOFF_CAP_S,
    FAILING_FOR_S,
    FAILURES_IN_A_ROW,
    LONGEST_RETRY_AFTER_S,
    REFUSED_FOR_S,
    RETRY_AFTER_MARGIN_S,
    UNREACHABLE_AT_FIRST,
    UNREACHABLE_LATER,
    RetryAction,
    RetryState,
    decide,
)
from bulkfetch.ratelimit.throttle import LONGEST_CLOSE_S


def _all(family: type[errors.BulkfetchError]) -> list[type[errors.BulkfetchError]]:
    found = []
    for cls in family.__subclasses__():
        found += [cls, *_all(cls)]
    return found


FIRST = RetryState(tries=1, budget=5)
LAST = RetryState(tries=5, budget=5)


def failing(failures: int, failing_s: float) -> RetryState:
    """A service that fails, and costs the job nothing."""
    return RetryState(5, 5, failures=failures, failing_s=failing_s, of_service=True)


CASES: list[tuple[errors.BulkfetchError, RetryState, RetryAction]] = [
    (errors.ConnectFailed(), RetryState(0, 5, connects_failed=1), RetryAction.HOLD),
    (errors.TlsFailed(), RetryState(0, 5, connects_failed=1), RetryAction.HOLD),
    (errors.ConnectFailed(), RetryState(5, 5, connects_failed=1), RetryAction.HOLD),
    (
        errors.ConnectFailed(),
        RetryState(0, 5, connects_failed=UNREACHABLE_AT_FIRST),
        RetryAction.END_ACCOUNT,
    ),
    (
        errors.ConnectFailed(),
        RetryState(0, 5, connects_failed=UNREACHABLE_AT_FIRST, answered=True),
        RetryAction.HOLD,
    ),
    (
        errors.TlsFailed(),
        RetryState(0, 5, connects_failed=UNREACHABLE_LATER, answered=True),
        RetryAction.END_ACCOUNT,
    ),
    (errors.ServerError(), RetryState(1, 5, connects_failed=UNREACHABLE_LATER), RetryAction.RETRY),
    (errors.ConnectionLost(), FIRST, RetryAction.RETRY),
    (errors.Truncated(), FIRST, RetryAction.RETRY),
    (errors.Stalled(), FIRST, RetryAction.RETRY),
    (errors.BadResponse(), FIRST, RetryAction.RETRY),
    (errors.ServerError(), FIRST, RetryAction.RETRY),
    (errors.ServerError(), LAST, RetryAction.FAIL),
    (errors.NotReady(), FIRST, RetryAction.RETRY),
    (errors.NotReady(), LAST, RetryAction.FAIL),
    (errors.TooManyRequests(), FIRST, RetryAction.AFTER_WINDOW),
    (errors.TooManyRequests(), RetryState(99, 5), RetryAction.AFTER_WINDOW),
    (
        errors.TooManyRequests(),
        RetryState(1, 5, refused_s=REFUSED_FOR_S - 1),
        RetryAction.AFTER_WINDOW,
    ),
    (errors.TooManyRequests(), RetryState(1, 5, refused_s=REFUSED_FOR_S), RetryAction.END_ACCOUNT),
    (errors.ServerError(), failing(1, 0.0), RetryAction.RETRY),
    (errors.ServerError(), failing(FAILURES_IN_A_ROW, 9.0), RetryAction.HOLD),
    (errors.ServerError(), failing(1, 0.0)._replace(retry_after_s=30.0), RetryAction.HOLD),
    (errors.ServerError(), failing(99, FAILING_FOR_S - 1), RetryAction.HOLD),
    (errors.ServerError(), failing(99, FAILING_FOR_S), RetryAction.END_ACCOUNT),
    (errors.ServerError(), failing(99, FAILING_FOR_S)._replace(stands_out=True), RetryAction.FAIL),
    (errors.ServerError(), LAST._replace(failures=9, failing_s=9.0), RetryAction.FAIL),
    (errors.ResourceNotFound(), FIRST, RetryAction.FAIL),
    (errors.NoPermission(), FIRST, RetryAction.FAIL),
    (errors.AuthorizationFailed(), FIRST, RetryAction.FAIL),
    (errors.InvalidRequestMethod(), FIRST, RetryAction.FAIL),
    (errors.Redirected(), FIRST, RetryAction.FAIL),
    (errors.UnexpectedStatus(), FIRST, RetryAction.FAIL),
    (errors.NotAZip(), FIRST, RetryAction.FAIL),
    (errors.EncodedBody(), FIRST, RetryAction.FAIL),
    (errors.TooLarge(), FIRST, RetryAction.FAIL),
    (errors.ZipCorrupt(), FIRST, RetryAction.REFETCH),
    (errors.ZipCorrupt(), RetryState(2, 5, refetched=True), RetryAction.FAIL),
    (errors.CountMismatch(), FIRST, RetryAction.REFETCH),
    (errors.CountMismatch(), RetryState(2, 5, refetched=True), RetryAction.FAIL),
    (errors.ZipUnsafe(), FIRST, RetryAction.FAIL),
    (errors.ZipEncrypted(), FIRST, RetryAction.FAIL),
    (errors.ZipUnsupported(), FIRST, RetryAction.FAIL),
    (errors.ZipTooLarge(), FIRST, RetryAction.FAIL),
    (errors.ZipContent(), FIRST, RetryAction.FAIL),
    (errors.InvalidToken(), FIRST, RetryAction.REPEAT),
    (errors.InvalidToken(), RetryState(1, 5, repeated=True), RetryAction.END_ACCOUNT),
    (errors.ScopeMismatch(), FIRST, RetryAction.END_ACCOUNT),
    (errors.AuthenticationFailure(), FIRST, RetryAction.REPEAT),
    (errors.InvalidOauthToken(), FIRST, RetryAction.REPEAT),
    (errors.AuthenticationFailure(), RetryState(1, 5, repeated=True), RetryAction.END_ACCOUNT),
    (errors.CertificateRefused(), FIRST, RetryAction.END_ACCOUNT),
    (errors.InvalidUrlPattern(), FIRST, RetryAction.END_ACCOUNT),
    (errors.TokenRefused(), FIRST, RetryAction.END_ACCOUNT),
    (errors.TokenThrottled(), FIRST, RetryAction.END_ACCOUNT),
    (errors.DiskFull(), FIRST, RetryAction.END_RUN),
    (errors.NotWritable(), FIRST, RetryAction.END_RUN),
    (errors.JournalDamaged(), FIRST, RetryAction.END_RUN),
]


@pytest.mark.parametrize(
    ("error", "standing", "expected"),
    CASES,
    ids=[f"{error.code}-{standing.tries}-{step.name}" for error, standing, step in CASES],
)
def test_a_failure_has_its_consequence(
    error: errors.BulkfetchError, standing: RetryState, expected: RetryAction
) -> None:
    """Every kind of failure leads to the step that the table gives."""
    assert decide(error, standing).next is expected


def test_every_error_of_an_account_or_run_ends_it() -> None:
    """No account error leads to a further request without a new token; no run error leads on."""
    for cls in _all(errors.AccountError):
        assert decide(cls(), RetryState(1, 5, repeated=True)).next is RetryAction.END_ACCOUNT
    for cls in _all(errors.RunError):
        assert decide(cls(), FIRST).next is RetryAction.END_RUN


def test_every_job_error_ends_when_its_tries_are_spent() -> None:
    """Nothing but a 429 is asked for again without end."""
    spent = RetryState(5, 5, repeated=True, refetched=True, connects_failed=UNREACHABLE_LATER)
    for cls in _all(errors.JobError):
        if cls is not errors.TooManyRequests:
            assert decide(cls(), spent).next in (RetryAction.FAIL, RetryAction.END_ACCOUNT)


def test_backoff_doubles_up_to_its_cap() -> None:
    """The ceiling of the random wait doubles with each try, and never exceeds the cap."""
    ceilings = [decide(errors.Stalled(), RetryState(n, 20)).ceiling_s for n in range(1, 10)]
    assert ceilings[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(ceilings) == BACKOFF_CAP_S


@pytest.mark.parametrize("error", [errors.ServerError(), errors.NotReady()])
@pytest.mark.parametrize("asked_s", [0.0, 30.0, 4000.0, 1e12])
@pytest.mark.parametrize("of_service", [False, True])
def test_what_the_server_asks_to_wait_is_waited(
    error: errors.BulkfetchError, asked_s: float, of_service: bool
) -> None:
    """Whatever the dice say no request goes before a Retry-After; its cap is a 429's."""
    standing = RetryState(1, 5, failures=1, of_service=of_service, retry_after_s=asked_s)
    decision = decide(error, standing)
    least_s = min(asked_s, LONGEST_RETRY_AFTER_S)
    assert decision.delay_s(0.0) == least_s + RETRY_AFTER_MARGIN_S
    assert least_s < decision.delay_s(1.0) <= max(BACKOFF_CAP_S, least_s + RETRY_AFTER_MARGIN_S)
    assert LONGEST_RETRY_AFTER_S == LONGEST_CLOSE_S


def test_codes_are_stable_and_each_stands_for_one_cause() -> None:
    """Every class has a code of its own, in capitals, and a hint that says what to do.

    But for the kinds of ConfigError, which are one cause, each told with a hint of its own.
    """
    leaves = [cls for cls in _all(errors.BulkfetchError) if not cls.__subclasses__()]
    classes = [cls for cls in leaves if not issubclass(cls, errors.ConfigError)]
    codes = [errors.ConfigError.code, *(cls.code for cls in classes)]
    assert len(codes) == len(set(codes))
    assert all(code.isupper() for code in codes)
    assert all(cls.default_hint for cls in classes)
