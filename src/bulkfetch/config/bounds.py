"""How fast, how much and how long: the tables of jobs.toml that bound a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bulkfetch.config import fields
from bulkfetch.config.tables import Table, setting
from bulkfetch.quota import MARGIN_S, ZOHO_PERIOD_S, ZOHO_REQUESTS


class WindowSettings(Table):
    """How many result requests may reach the server: `requests` in any rolling `period_s`.

    `margin_s` is added to the period. `concurrency` bounds the requests in flight at once, whose
    cap at Zoho depends on the edition (5 to 25). The bounds against Zoho's own limit are checked
    by `Settings`, since a loopback server may be given a faster window.
    """

    requests: Annotated[fields.Whole, Field(ge=1, le=1_000_000)] = setting(
        ZOHO_REQUESTS, "Requests for results in any period; fewer if other programs ask too."
    )
    period_s: fields.Seconds = setting(ZOHO_PERIOD_S, "The period; can only be longer than Zoho's.")
    margin_s: fields.Margin = setting(MARGIN_S, "Added to the period, for clocks that differ.")
    concurrency: Annotated[fields.Whole, Field(ge=1, le=1_000)] = setting(
        10, "Requests in flight at once; Zoho's cap is 5 (Free) to 25 (Ultimate)."
    )


class ControlSettings(Table):
    """The budget of the calls that are not downloads; they never take a slot of the window.

    It holds for all processes of this machine together, or of all hosts with `[window] shared`. The
    service bears some 5 to 25 requests of
    an org at once, by its edition: those of the window and these together.
    """

    concurrency: Annotated[fields.Whole, Field(ge=1, le=25)] = setting(
        2, "Calls at once; of the org's 5 to 25, which downloads share."
    )
    creates_per_minute: Annotated[fields.Whole, Field(ge=1, le=1_000)] = setting(
        5, "Exports created in any 60 s; 50 credits each."
    )
    polls_per_minute: Annotated[fields.Whole, Field(ge=1, le=10_000)] = setting(
        30, "Questions in any 60 s whether an export is ready; 1 credit each."
    )
    credits_per_day: Annotated[fields.Whole, Field(ge=1)] | None = setting(
        None,
        "Our own ceiling in any 24 h; at it nothing new begins, and what was created is still "
        "asked for.",
    )
    # Zoho tells what remains once half of the day's is used. Of a Free org's 5,000 this leaves
    # other programs two fifths, of all others' 50,000 and more a twentieth at most.
    credits_reserve: Annotated[fields.Whole, Field(ge=0)] = setting(
        2_000, "No export is created while the service says that fewer remain; 0 for no reserve."
    )


class SharedWindow(Table):
    """Where windows and budgets of all accounts are kept, if not in the user's state directory."""

    shared: fields.Database | None = setting(
        None, "A PostgreSQL whose window all hosts share that name it; without a password."
    )


class Limits(Table):
    """Guards against what no honest result does. Sizes in bytes, times in seconds."""

    zip_bytes: fields.Size = setting(4 * 1024**3, "A larger result is refused.")
    file_bytes: fields.Size = setting(64 * 1024**3, "The most that one archive may unpack to.")
    staging_bytes: fields.Size = setting(
        64 * 1024**3, "When staging holds more, no further request starts."
    )
    quarantine_bytes: fields.Size = setting(
        1024**3, "Refused archives kept for inspection; the oldest go first."
    )
    free_bytes: fields.SizeOrZero = setting(
        64 * 1024**2,
        "Stays free on the disk for the journal and other programs; with less, nothing is "
        "requested.",
    )
    connect_s: fields.Seconds = setting(30.0, "Until a connection is made, TLS included.")
    headers_s: fields.Seconds = setting(
        60.0, "From the end of the request to the head of the response."
    )
    idle_s: fields.Seconds = setting(60.0, "No byte for so long: the attempt is aborted.")
    min_bytes_per_s: Annotated[fields.Whole, Field(ge=0)] = setting(
        1_000, "Slower over a minute: the attempt is aborted; 0 for no limit."
    )
    max_bytes_per_s: fields.Rate | None = setting(
        None, "All bodies of a run together; the default is no limit."
    )
    tries: Annotated[fields.Whole, Field(ge=1, le=100)] = setting(
        5, "Per job, not counting those that got a 429."
    )
    threads: Annotated[fields.Whole, Field(ge=1, le=256)] | None = setting(
        None, "For unpacking; the default is one per core."
    )
