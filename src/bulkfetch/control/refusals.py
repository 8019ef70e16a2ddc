"""What an answer that is not the one asked for means, for calls that change nothing. Pure."""

from __future__ import annotations

from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ControlPaused,
    NotAZip,
    TooManyRequests,
    UnexpectedStatus,
)
from bulkfetch.zoho.responses import Head, error_body, response_error

# How long the service is left alone after a 429 that does not say, the longest it is believed, and
# what is added, since dates are whole seconds.
PAUSE_S, LONGEST_PAUSE_S, PAUSE_MARGIN_S = 60.0, 3600.0, 1.0
# Nothing is there, or nothing has changed since.
EMPTY = frozenset({204, 304})
_MODULE_HINT = "`bulkfetch modules` lists the modules, `bulkfetch fields` the fields of one."


def pause_s(head: Head) -> float:
    """Return for how many seconds a 429 asks to be left alone."""
    asked = PAUSE_S if head.retry_after_s is None else head.retry_after_s
    return min(asked, LONGEST_PAUSE_S) + PAUSE_MARGIN_S


def answer_error(head: Head, body: bytes) -> BulkfetchError | None:
    """Return the error of an answer; None for one that is to be read, or an EMPTY one."""
    status, said = head.status, error_body(body)
    if status in EMPTY:
        return None
    if status < 300 and said is None and body.lstrip()[:1] in (b"{", b"["):
        return None
    error = response_error(head, body)
    match error:
        case TooManyRequests():
            return ControlPaused(error.message, http=status, retry_after_s=pause_s(head))
        case UnexpectedStatus() | NotAZip() if said is not None:
            words = f"{said.code}: {said.message}".rstrip(": ")
            return UnexpectedStatus(words, hint=_MODULE_HINT, http=status)
        case _ if status < 300:
            return BadResponse(f"HTTP {status} without JSON", http=status)
        case _:
            return error
