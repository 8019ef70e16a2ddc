"""What follows from a failed attempt, as one pure function.

`decide` knows the failure, where the job stands and where its account stands; the pipeline carries
the decision out. Retries wait in the account's queue and hold no slot while they wait.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from bulkfetch.errors import (
    AccountError,
    ArchiveError,
    BulkfetchError,
    ConnectFailed,
    CountMismatch,
    JobError,
    NotReady,
    RunError,
    ServerError,
    TlsFailed,
    TokenRejected,
    TooManyRequests,
    ZipCorrupt,
)

# Backoff before the n-th retry is random in [0, min(CAP, BASE * 2**(n-1))] seconds ("full jitter",
# AWS Architecture Blog, 2015): the spread keeps many jobs that failed together from coming back
# together. The cap is one window period: waiting longer gains nothing that the window does not.
BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 60.0
# An export takes minutes to prepare: a job that is not ready is worth asking for later, not soon.
NOT_READY_BASE_S = 30.0
# Connections that failed one after the other before an account is given up. All its jobs wait with
# the backoff above between two of them: one minute on average where nothing was ever answered (a
# wrong address, a machine without network), five where something was (an outage). The jobs stay
# pending, and neither slots nor tries are spent.
UNREACHABLE_AT_FIRST = 8
UNREACHABLE_LATER = 15
# An account that answers nothing but refusals for so long is given up: a lock-out lasts a minute,
# but going on to ask may keep it alive.
REFUSED_FOR_S = 3600.0
# Failures of the server, one after the other, from which on it is the service that fails: the whole
# account waits, and one request at a time looks whether it is back. Maintenance of ten minutes is
# common; what lasts half as long again is left to a later run.
FAILURES_IN_A_ROW = 3
FAILING_FOR_S = 900.0
# The longest a Retry-After is believed, as `ratelimit.throttle` does, and what is added to it:
# dates are whole seconds.
LONGEST_RETRY_AFTER_S = 3600.0
RETRY_AFTER_MARGIN_S = 1.0


class RetryAction(Enum):
    """What to do with the job."""

    RETRY = "retry"  # after a backoff
    HOLD = "hold"  # no connection, no service: the whole account waits; costs the job no try
    REPEAT = "repeat"  # at once, with a fresh token; the window still decides when
    AFTER_WINDOW = "after window"  # when the account's window opens again; costs the job no try
    REFETCH = "refetch"  # from the first byte: the archive came damaged
    FAIL = "fail"  # the job failed
    END_ACCOUNT = "end account"  # nothing more can be fetched for this account
    END_RUN = "end run"  # the whole run stops


class RetryState(NamedTuple):
    """Where a job and its account stand when an attempt failed.

    `tries` counts failed attempts since bytes last grew, this one included, of `budget` allowed.
    `repeated` says that the one repeat after a token refresh has been used, `refetched` the one
    more fetch of an archive that is damaged or has another number of records. `connects_failed`
    counts the account's failed connections in a row, this one included; `answered` says whether it
    ever had an answer in this run.

    Since the account's last good answer: `refused_s` seconds ago its limit was first refused,
    `failing_s` ago its server first failed, `failures` times in a row by now; 0 where it did not.
    `stands_out` says that the server failed on this job, served others well, and failed again,
    `of_service` that its failure is taken for the service's, not for the job's own.
    `retry_after_s` is what the server asked for, None where it did not.
    """

    tries: int
    budget: int
    repeated: bool = False
    refetched: bool = False
    connects_failed: int = 0
    answered: bool = False
    refused_s: float = 0.0
    failures: int = 0
    failing_s: float = 0.0
    stands_out: bool = False
    of_service: bool = False
    retry_after_s: float | None = None


class Decision(NamedTuple):
    """What follows. `ceiling_s` bounds the random backoff, 0 where there is none.

    `least_s` is what the server asked to wait, and is waited whatever the jitter.
    """

    next: RetryAction
    ceiling_s: float = 0.0
    least_s: float = 0.0

    def delay_s(self, jitter: float) -> float:
        """Return the seconds to wait, by a random number from 0 to 1."""
        return max(self.least_s, jitter * self.ceiling_s)


def decide(error: BulkfetchError, state: RetryState) -> Decision:
    """Return what follows from a failed attempt."""
    match error:
        case RunError():
            return Decision(RetryAction.END_RUN)
        case TokenRejected() if not state.repeated:
            return Decision(RetryAction.REPEAT)
        case AccountError():
            return Decision(RetryAction.END_ACCOUNT)
        case TooManyRequests() if state.refused_s >= REFUSED_FOR_S:
            return Decision(RetryAction.END_ACCOUNT)
        case TooManyRequests():
            return Decision(RetryAction.AFTER_WINDOW)
        case ConnectFailed() | TlsFailed():
            patience = UNREACHABLE_LATER if state.answered else UNREACHABLE_AT_FIRST
            if state.connects_failed >= patience:
                return Decision(RetryAction.END_ACCOUNT)
            return Decision(RetryAction.HOLD, _ceiling_s(BACKOFF_BASE_S, state.connects_failed))
        case ServerError() if state.of_service:
            return _service(state)
        case ZipCorrupt() | CountMismatch() if not state.refetched:
            return Decision(RetryAction.REFETCH)
        case ArchiveError():
            return Decision(RetryAction.FAIL)
        case JobError() if error.retryable and state.tries < state.budget:
            base = NOT_READY_BASE_S if isinstance(error, NotReady) else BACKOFF_BASE_S
            if not isinstance(error, NotReady | ServerError):
                return Decision(RetryAction.RETRY, _ceiling_s(base, state.tries))
            if state.retry_after_s is not None:
                base = BACKOFF_BASE_S
            return Decision(RetryAction.RETRY, _ceiling_s(base, state.tries), _least_s(state))
        case _:
            return Decision(RetryAction.FAIL)


def _service(state: RetryState) -> Decision:
    """Return what follows if the server failed, and not because of this job."""
    if state.failing_s >= FAILING_FOR_S and state.failures > 1:
        return Decision(RetryAction.FAIL if state.stands_out else RetryAction.END_ACCOUNT)
    in_a_row = state.failures >= FAILURES_IN_A_ROW
    hold = in_a_row or state.retry_after_s is not None
    ceiling_s = _ceiling_s(BACKOFF_BASE_S, max(1, state.failures))
    return Decision(RetryAction.HOLD if hold else RetryAction.RETRY, ceiling_s, _least_s(state))


def _least_s(state: RetryState) -> float:
    if state.retry_after_s is None:
        return 0.0
    return min(state.retry_after_s, LONGEST_RETRY_AFTER_S) + RETRY_AFTER_MARGIN_S


def _ceiling_s(base_s: float, failures: int) -> float:
    return min(BACKOFF_CAP_S, base_s * 2.0 ** (failures - 1))
