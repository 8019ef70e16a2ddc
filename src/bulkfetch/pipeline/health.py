"""An account's health, as its answers show it. Pure: time is an argument, in seconds.

A failure of one job must not be taken for trouble of the whole account, nor the other way round.
What tells them apart is a **good answer**: the beginning of a file, or an error that only a service
at work gives. Failed connections, refusals of the limit and failures of the server are counted from
the last good answer on.

**Whose failure is a 5xx?** The service's, as long as nothing speaks against it: in maintenance all
jobs get one, also a list's only one. A job **stands out** when it failed, others were answered
well, and it failed again. Twice is enough for a failure to be the job's own; once, or a 500 that
asks nobody to wait, is enough as long as no other job failed since the last good answer.
"""

from __future__ import annotations

from bulkfetch.download.attempt import Partial
from bulkfetch.download.retry import FAILING_FOR_S, REFUSED_FOR_S, Decision, RetryState, decide
from bulkfetch.errors import (
    AccountError,
    BadResponse,
    BulkfetchError,
    ConnectFailed,
    ConnectionLost,
    InvalidToken,
    RateLimited,
    ServerError,
    ServiceDown,
    Stalled,
    TlsFailed,
    TokenRejected,
    TooManyRequests,
    Unreachable,
)
from bulkfetch.pipeline.active_job import ActiveJob

# What a broken attempt must have gained to give a job its tries back. Less would let a server that
# breaks off after every byte be asked for ever.
GROWTH_BYTES = 1 << 20
# Failures that say nothing of a service at work.
_NOT_GOOD = (
    AccountError,
    BadResponse,
    ConnectFailed,
    ConnectionLost,
    ServerError,
    Stalled,
    TlsFailed,
    TooManyRequests,
)
# What says that the service fails, or a gateway before it: whose request it was does not matter.
# From 520 on are the gateways' own: no answer, no connection, overloaded.
_OF_THE_SERVICE = frozenset({408, 502, 503, 504, 507, 509, *range(520, 600)})


class Health:
    """What an account's answers have shown up to now.

    `connects_failed` counts failed connections in a row; `probing` says that the service fails, so
    that one request at a time is enough to find out when it no longer does.
    """

    def __init__(self) -> None:
        self.connects_failed = 0
        self.probing = False
        self._answered = False
        self._good_answers = 0
        self._refused_since: float | None = None
        self._failing_since: float | None = None
        self._failures = 0
        self._failing: set[str] = set()

    def good(self) -> None:
        """Take in a good answer."""
        self.connects_failed, self._answered = 0, True
        self._good_answers += 1
        self._refused_since = self._failing_since = None
        self._failures = 0
        self._failing.clear()
        self.probing = False

    def failed(self, job: ActiveJob, error: BulkfetchError, now: float, *, counts: bool) -> None:
        """Take in a failed attempt; one that was on its way when another failed `counts` not."""
        if isinstance(error, ConnectFailed | TlsFailed):
            self.connects_failed += counts
            return
        if not isinstance(error, _NOT_GOOD):
            self.good()
        self.connects_failed, self._answered = 0, True
        if isinstance(error, TooManyRequests) and self._refused_since is None:
            self._refused_since = now
        if isinstance(error, ServerError):
            if self._failing_since is None:
                self._failing_since = now
            self._failures += counts or not self._failures
            self._failing.add(job.job.id)
            if job.failed_after is not None and job.failed_after < self._good_answers:
                job.stands_out += 1
            job.failed_after = self._good_answers

    def judge(
        self,
        job: ActiveJob,
        error: BulkfetchError,
        budget: int,
        now: float,
        *,
        left: Partial | None = None,
        retry_after_s: float | None = None,
    ) -> Decision:
        """Count a failure against its job, of whose tries there are `budget`, and decide.

        `left` is what may be resumed, `retry_after_s` what the server asked for; else None.
        """
        # Against the furthest ever, not the last: who sends the same half again gains nothing.
        reached = left.bytes if left else 0
        if reached - job.furthest >= GROWTH_BYTES:
            job.furthest, job.tries = reached, 0
        alone = self._failing == {job.job.id}
        says_so = error.http in _OF_THE_SERVICE or retry_after_s is not None
        own = job.stands_out > 1 or (alone and (job.stands_out > 0 or not says_so))
        of_service = isinstance(error, ServerError) and not own
        if of_service:
            job.tries = max(job.tries, 1)  # counted once, since the next one may be its own
        elif not isinstance(error, TooManyRequests | TokenRejected | ConnectFailed | TlsFailed):
            job.tries += 1
        if not isinstance(error, TokenRejected):
            job.repeated = False
        job.partial = left
        state = RetryState(
            tries=job.tries,
            budget=budget,
            repeated=job.repeated,
            refetched=job.refetched,
            connects_failed=self.connects_failed,
            answered=self._answered,
            refused_s=_since(self._refused_since, now),
            failures=self._failures,
            failing_s=_since(self._failing_since, now),
            stands_out=job.stands_out > 0,
            of_service=of_service,
            retry_after_s=retry_after_s,
        )
        return decide(error, state)

    def ending(self, error: BulkfetchError) -> AccountError:
        """Return why an account that is given up because of `error` has ended."""
        match error:
            case AccountError():
                return error
            case TooManyRequests():
                text = f"nothing but refusals for {REFUSED_FOR_S / 3600:g} h: {error.message}"
                return RateLimited(text, http=error.http)
            case ServerError():
                text = f"nothing but failures for {FAILING_FOR_S / 60:g} min: {error.message}"
                return ServiceDown(text, http=error.http)
            case _:
                text = f"{self.connects_failed} failures in a row: {error.message}"
                return Unreachable(text, hint=error.hint)


def without_another(error: BulkfetchError, refused: AccountError) -> AccountError:
    """Return why a refused token was not replaced, under the code that the server gave it."""
    if not isinstance(refused, InvalidToken) or isinstance(error, InvalidToken):
        return refused
    assert isinstance(error, AccountError), "only a token's refusal asks for another one"
    return type(error)(f"{error.message}; {refused.message}", hint=error.hint, http=error.http)


def _since(then: float | None, now: float) -> float:
    return 0.0 if then is None else now - then
