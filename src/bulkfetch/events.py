"""News of a run. State is the journal's: losing every event changes no result.

Events are made for people and metrics. None of them ever holds a token, a header or a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "attempt_started",  # a slot was taken and the request leaves; data: attempt, from 1
    "attempt_failed",  # data: code, next, delay_s, attempt
    "unconnected",  # the account's server cannot be reached; data: code, delay_s
    "resumed",  # a broken transfer goes on where it stopped; data: gained_bytes
    "restarted",  # a broken transfer starts again; data: lost_bytes
    "window_closed",  # a 429; data: for_s
    "window_shared",  # somebody else uses the account's limit; data: capacity
    "window_crowded",  # the account bears fewer requests at once; data: in_flight_cap
    "window_restored",  # the account is ours again
    "window_fallback",  # the machine's window cannot be used; data: for_s
    "token_renewed",
    "account_ended",  # nothing more is asked for it in this run; data: code, hint
    "quarantined",  # a refused archive is kept; data: path
    "salvaged",  # a complete ZIP of an earlier run is used, nothing is asked; data: zip_bytes
    "done",  # a file is published; data: path, bytes, took_s (0 where nothing was asked)
    "note",  # what a user should know and nothing else says
]


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of news: what happened, in words, to which account and job, with figures."""

    kind: Kind
    message: str
    account: str | None = None
    job_id: str | None = None
    data: Mapping[str, int | float | str] = field(default_factory=dict)


Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take an event and do nothing with it. Where it listens, those of each job are not made."""
