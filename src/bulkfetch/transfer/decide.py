"""What follows from a failed attempt, as one pure function.

`decide` knows the failure, where the job stands and where its account stands; the pipeline carries
the decision out. Retries wait in the lane's queue and hold no slot while they wait.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from bulkfetch.errors import (
    AccountError,
    ArchiveError,
    BulkfetchError,
    ConnectFailed,
    InvalidToken,
    JobError,
    NotReady,
    RunError,
    TlsFailed,
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


class Next(Enum):
    """What to do with the job."""

    RETRY = "retry"  # after a backoff
    HOLD = "hold"  # no connection: the whole account waits; costs the job no try
    REPEAT = "repeat"  # at once, with a fresh token; the window still decides when
    AFTER_WINDOW = "after window"  # when the account's window opens again; costs the job no try
    REFETCH = "refetch"  # from the first byte: the archive came damaged
    FAIL = "fail"  # the job failed
    END_ACCOUNT = "end account"  # nothing more can be fetched for this account
    END_RUN = "end run"  # the whole run stops


class Standing(NamedTuple):
    """Where a job and its account stand when an attempt failed.

    `tries` counts failed attempts since bytes last grew, this one included, of `budget` allowed.
    `repeated` and `refetched` say that the one repeat after a token refresh, the one more fetch of
    a damaged archive, has been used. `connects_failed` counts the account's failed connections in
    a row, this one included; `answered` says whether it ever had an answer in this run.
    """

    tries: int
    budget: int
    repeated: bool = False
    refetched: bool = False
    connects_failed: int = 0
    answered: bool = False


class Decision(NamedTuple):
    """What follows. `ceiling_s` bounds the random backoff, 0 where there is none."""

    next: Next
    ceiling_s: float = 0.0


def decide(error: BulkfetchError, standing: Standing) -> Decision:
    """Say what follows from a failed attempt (DESIGN: failure decisions)."""
    match error:
        case RunError():
            return Decision(Next.END_RUN)
        case InvalidToken() if not standing.repeated:
            return Decision(Next.REPEAT)
        case AccountError():
            return Decision(Next.END_ACCOUNT)
        case TooManyRequests():
            return Decision(Next.AFTER_WINDOW)
        case ConnectFailed() | TlsFailed():
            patience = UNREACHABLE_LATER if standing.answered else UNREACHABLE_AT_FIRST
            if standing.connects_failed >= patience:
                return Decision(Next.END_ACCOUNT)
            return Decision(Next.HOLD, _ceiling_s(BACKOFF_BASE_S, standing.connects_failed))
        case ZipCorrupt() if not standing.refetched:
            return Decision(Next.REFETCH)
        case ArchiveError():
            return Decision(Next.FAIL)
        case JobError() if error.retryable and standing.tries < standing.budget:
            base = NOT_READY_BASE_S if isinstance(error, NotReady) else BACKOFF_BASE_S
            return Decision(Next.RETRY, _ceiling_s(base, standing.tries))
        case _:
            return Decision(Next.FAIL)


def _ceiling_s(base_s: float, failures: int) -> float:
    return min(BACKOFF_CAP_S, base_s * 2.0 ** (failures - 1))
