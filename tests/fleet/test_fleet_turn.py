"""What follows from how an account's turn ended."""

from __future__ import annotations

import pytest

from bulkfetch.errors import AccountError, error_class
from bulkfetch.fleet.turn import AGAIN_S, TurnEnd
from bulkfetch.models import Failure


def _ended(code: str) -> TurnEnd:
    return TurnEnd.of(3, 1, Failure(code, "words"))


@pytest.mark.parametrize(
    "code",
    ["SERVICE_DOWN", "UNREACHABLE", "RATE_LIMITED", "TOKEN_THROTTLED", "TOKEN_UNAVAILABLE"],
)
def test_what_may_be_over_by_itself_holds_no_account(code: str) -> None:
    """A night in which the service is away for an hour needs nobody to submit the list again."""
    assert issubclass(error_class(code), AccountError)
    end = _ended(code)
    assert end.held is None
    assert end.error == Failure(code, "words")


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "TOKEN_REFUSED", "OAUTH_SCOPE_MISMATCH", "NEW"])
def test_what_somebody_must_mend_holds_the_account(code: str) -> None:
    """It would be asked for again and again; so would a cause that this version does not know."""
    end = _ended(code)
    assert end.held == Failure(code, "words")
    assert end.error is None


def test_a_turn_that_was_taken_over_holds_nothing() -> None:
    """Who has the account now says how it stands."""
    assert _ended("SUPERSEDED") == TurnEnd(3, 1, superseded=True)


def test_a_turn_that_ended_by_itself_leaves_no_cause() -> None:
    """Its jobs are counted, and that is all."""
    assert TurnEnd.of(3, 1, None) == TurnEnd(3, 1)


@pytest.mark.parametrize(
    ("end", "is_new", "expected"),
    [
        (TurnEnd(3, 1), False, 0.0),
        (TurnEnd(3, 1, waits_s=7.0), False, 7.0),
        (TurnEnd(3, 1, waits_s=7.0), True, 0.0),
        (TurnEnd(3, 1, error=Failure("SERVICE_DOWN", "words")), True, AGAIN_S),
    ],
)
def test_the_next_turn_comes_when_something_can_be_done(
    end: TurnEnd, *, is_new: bool, expected: float
) -> None:
    """What was submitted while exports were waited for does not wait with them."""
    assert end.next_in_s(is_new=is_new) == expected
