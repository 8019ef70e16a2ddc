"""What may become of a control call, besides what may become of a download."""

from __future__ import annotations

from typing import ClassVar

from bulkfetch.errors.job import JobError


class CreateUnknown(JobError):
    """The answer to a create call was lost or says nothing: the export may exist or not."""

    code = "CREATE_UNKNOWN"
    retryable = True
    default_hint = (
        "It cannot be looked up. Created again, the first one, if there is one, is lost with its "
        "50 credits, and harms nothing."
    )


class CreateRefused(JobError):
    """The service refused to create this export; it would refuse it again."""

    code: ClassVar[str] = "CREATE_REFUSED"
    permanent = True
    default_hint = "Correct what the message names; nothing was created."


class ControlPaused(JobError):
    """Nothing was done: the account's limits allow no such call now.

    `retry_after_s` is after how many seconds they may allow it.
    """

    code = "CONTROL_PAUSED"
    retryable = True
    default_hint = (
        "Another program may use this account; lower creates_per_minute or polls_per_minute, or "
        "try again later."
    )

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        http: int | None = None,
        retry_after_s: float = 60.0,
    ) -> None:
        super().__init__(message, hint=hint, http=http)
        self.retry_after_s = retry_after_s


class LimitReached(ControlPaused):
    """Nothing was done: the service has as many exports of this account as it takes."""

    code = "LIMIT_REACHED"
    default_hint = "Wait until exports have been prepared; then try again."


class CreditsSpent(ControlPaused):
    """Nothing was done: the API credits are spent for now.

    `retry_after_s` is after how many seconds some may have come back.
    """

    code = "CREDITS_SPENT"
    default_hint = (
        "Try again later, or change credits_per_day or credits_reserve in the control table of the "
        "account; what is ready can still be downloaded."
    )
