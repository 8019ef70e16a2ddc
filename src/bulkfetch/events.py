"""Events of a run. The state is in the journal: losing every event changes no result.

Events are for people and metrics. They never contain a token, a header or a body.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import asyncio

EventKind = Literal[
    "account_opened",  # data: requests, period_s, margin_s, connections
    "slot_taken",  # of the window, for a job's next request; data: waited_s, connection_waited_s
    "slot_settled",  # data: end ("answered", "rejected", "lost", "unused"), back_in_s
    "attempt_started",  # a slot was taken and the request leaves; data: attempt, from 1
    "head",  # the head of the response; data: status, and length if it is known
    "first_byte",  # the body is a file's; data: offset (of what was there already, in bytes)
    "last_byte",  # the body is complete; data: bytes (the whole file), received_bytes
    "attempt_failed",  # data: code, next, delay_s, attempt, received_bytes
    "unconnected",  # the account's server cannot be reached; data: code, delay_s
    "service_down",  # the account's server fails; data: code, delay_s
    "preparing",  # a result is not ready yet; data: state
    "resumed",  # a broken transfer goes on where it stopped; data: gained_bytes
    "restarted",  # a broken transfer starts again; data: lost_bytes
    "window_closed",  # a 429, or its words; data: for_s
    "window_shared",  # somebody else uses the account's limit; data: capacity
    "window_crowded",  # the account accepts fewer concurrent requests; data: in_flight_cap
    "window_restored",  # the account is ours again
    "window_fallback",  # the machine's window cannot be used as it was; data: for_s
    "window_held",  # somebody keeps the window's file from everybody else; data: for_s
    "token_renewed",  # one that was refused has another in its place
    "token_issued",  # by the accounts server or token_command; data: by
    "account_ended",  # nothing more is asked for it in this run; data: code, hint
    "quarantined",  # a refused archive is kept; data: path
    "salvaged",  # a complete ZIP of an earlier run is used, nothing is asked; data: zip_bytes
    "verified",  # the ZIP is complete and sound; it is unpacked next; data: zip_bytes
    "done",  # a file is published; data: path, bytes, took_s (0 where nothing was asked)
    "failed",  # a job has failed for good; data: code, hint, attempts
    "export_begun",  # a new generation of an export; data: export
    "page_created",  # data here and below: export, page
    "page_polled",  # asked whether it is ready; data: state
    "page_ready",
    "page_counted",  # downloaded, with the right number of records; data: records, if counted
    "page_again",  # a page is created again, and why
    "export_again",  # an export begins again at its first page, and why; data: export, wasted
    "exports_held",  # no more pages are created for a while, or at all; data: export
    "export_published",  # data: export
    "note",  # what a user should know and nothing else says
]

# What is logged as a warning; all the rest is for those who look for something.
_TROUBLE: frozenset[EventKind] = frozenset(
    {
        "attempt_failed",
        "unconnected",
        "service_down",
        "restarted",
        "window_closed",
        "window_shared",
        "window_crowded",
        "window_fallback",
        "window_held",
        "account_ended",
        "quarantined",
        "failed",
        "page_again",
        "export_again",
        "exports_held",
        "note",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, in words, to which account and job, with figures."""

    kind: EventKind
    message: str
    account: str | None = None
    job_id: str | None = None
    data: Mapping[str, int | float | str] = field(default_factory=dict)


Emit = Callable[[Event], None]


def harmless(emit: Emit, through: Callable[[BaseException], None]) -> Emit:
    """Return `emit` with its Exceptions caught.

    The first one is logged by the logger `bulkfetch`, with its traceback; `emit` is still called
    for later events. Any other BaseException is passed to `through` and raised. A
    cancellation of the task it is called in, which is one of the run's, is passed to `through` too.
    """
    if emit is ignore:  # callers that know it create no events
        return emit
    told = False

    def call(event: Event) -> None:
        nonlocal told
        outer = sys.exception()
        task = _current_task()
        cancelled = task.cancelling() if task else 0
        try:
            emit(event)
        except Exception as error:
            if not told:
                told = True
                _cut(error, outer)
                _tell(error)
        except BaseException as error:
            through(error)
            raise
        if task is not None and task.cancelling() > cancelled:
            through(_cancelled())

    return call


def _current_task() -> asyncio.Task[object] | None:
    import asyncio  # late here and below: the command line's help needs none

    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None


def _cancelled() -> BaseException:
    import asyncio

    return asyncio.CancelledError("on_event cancelled the task it was called in")


def _cut(error: BaseException, outer: BaseException | None) -> None:
    """Remove the exception that was being handled before the callback from its error's chain.

    The callback did not cause it, and its frames are ours.
    """
    while error.__context__ is not None:
        if error.__context__ is outer:
            error.__context__ = None
            return
        error = error.__context__


def _tell(error: Exception) -> None:
    import logging  # late: most runs need none

    logging.getLogger("bulkfetch").error(
        "on_event raised %s; the run continues; this is logged only once",
        type(error).__name__,
        exc_info=error,
    )


def ignore(event: Event) -> None:
    """Ignore an event. With this callback, the events of each job are not even created."""


def log(event: Event) -> None:
    """Log an event by the logger `bulkfetch`: trouble as a warning, all else for debugging.

    With this callback, as with `ignore`, the events of each job are not even created. The record's
    `event` is the event.
    """
    import logging  # late: the command line's help needs none

    level = logging.WARNING if event.kind in _TROUBLE else logging.DEBUG
    logger = logging.getLogger("bulkfetch")
    if logger.isEnabledFor(level):
        about = " ".join(filter(None, (event.account, event.job_id)))
        logger.log(
            level, "%s%s", f"{about}: " if about else "", event.message, extra={"event": event}
        )


def logged(emit: Emit) -> Emit:
    """Return `emit`, with each event logged before."""
    import logging

    if emit is ignore and not logging.getLogger("bulkfetch").isEnabledFor(logging.DEBUG):
        return log

    def call(event: Event) -> None:
        log(event)
        emit(event)

    return call


def is_followed(emit: Emit) -> bool:
    """Return whether the events of each job are to be created for a callback."""
    return emit is not ignore and emit is not log
