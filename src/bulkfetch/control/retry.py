"""What follows from a failed question: those that change nothing are asked again. Pure."""

from __future__ import annotations

from bulkfetch.control.budget import PATIENCE_S
from bulkfetch.errors import BulkfetchError, ControlPaused, CreditsSpent, JobError

# Tries in all, 429s apart; and how many 429s in a row are waited out.
TRIES = 5
REFUSALS = 3
# Before the n-th further try the wait is random in [0, min(CAP, BASE * 2**(n-1))] seconds.
BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 30.0


def again_in_s(
    error: BulkfetchError,
    failures: int,
    refusals: int,
    retry_after_s: float | None,
    jitter: float,
) -> float | None:
    """Return the seconds after which to ask again, None for never.

    `failures` and `refusals`, the 429s, count this error too. `retry_after_s` is what the service
    asked for, None where it did not. `jitter` is a random number from 0 to 1.
    """
    match error:
        case CreditsSpent():
            return None
        case ControlPaused():
            short = refusals < REFUSALS and error.retry_after_s <= PATIENCE_S
            return error.retry_after_s + jitter if short else None
        case JobError() if error.retryable and failures < TRIES:
            least_s = 0.0 if retry_after_s is None else retry_after_s + 1.0
            if least_s > PATIENCE_S:
                return None
            return max(least_s, jitter * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (failures - 1)))
        case _:
            return None
