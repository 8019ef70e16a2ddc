"""What is kept of exports: each name, its generations, their pages; and what keeps it.

A **generation** is one attempt at an export: its pages belong together and are published in one
folder, never with those of another. A name has at most one that is under way. All that a step
changes is one `Change`, written in one transaction: a page's token is lost with the page that gave
it, or with neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from bulkfetch.models import ExportReport, Failure, Outcome

PageState = Literal[
    "PLANNED",  # to be created
    "CREATING",  # the request may be on its way; a dead run's is UNKNOWN
    "UNKNOWN",  # it may have been accepted, under an id that nobody knows
    "PREPARING",  # its job has an id
    "READY",  # completed; to be downloaded
    "COUNTED",  # in the export's folder, with as many records as the service says
    "EXPIRED",  # the result is gone; to be created again
    "FAILED",
]
GenerationState = Literal["ACTIVE", "PUBLISHING", "COMMITTED", "ABANDONED"]
Turn = Literal["due", "done"]


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A name. `committed` is what its last export left, as text of who decides about the next.

    `prepared_s` are the seconds that its last pages took to be prepared. `turn` is "due" where a
    command has something left to do, "done" where it has done this one and another is due, else
    None; only `ExportStore.begin` and the `end` of a `Change` change it.
    """

    key: int
    name: str
    account: str
    committed: str | None = None
    prepared_s: tuple[float, ...] = ()
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One attempt at an export; `key` is 0 before it is written.

    `step` is what it asks for, as text of who decided; `queries` are the bodies that create the
    first page of each chain. `started` is this machine's time in UTC. Once it was PUBLISHING,
    `folder` is the name of the published folder, or its URL elsewhere, and `leaves` what its name's
    row gets once it is committed.
    `spent` and `wasted` are credits, over all runs.
    """

    key: int
    export: int
    account: str
    state: GenerationState
    step: str
    queries: tuple[dict[str, Any], ...]
    query_hash: str
    started: str
    folder: str | None = None
    leaves: str | None = None
    spent: int = 0
    wasted: int = 0
    warnings: tuple[str, ...] = ()


class PageFile(NamedTuple):
    """A file of a page: its name in the export's folder; `sha256` None with `sha256 = false`."""

    name: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class PageRow:
    """One page of a chain, both from 1.

    `tries` counts the creates since it was planned, or since the last one that was lost to a
    failure or an expiry; those are counted too. `token` is what it is created by, None for a first
    page or a page by number. `created_time`, as the service says it, is that of its first job. Of
    its job: `created_at` and `ready_at` are this machine's wall clock in seconds; `count` is what
    the result holds. Of what came: its `files`, `records` as counted, and `requests` it has cost.
    """

    generation: int
    chain: int
    number: int
    state: PageState = "PLANNED"
    tries: int = 0
    failures: int = 0
    expiries: int = 0
    token: str | None = None
    job_id: str | None = None
    created_time: str | None = None
    created_at: float | None = None
    ready_at: float | None = None
    count: int | None = None
    files: tuple[PageFile, ...] = ()
    records: int | None = None
    zip_bytes: int | None = None
    requests: int = 0
    error: Failure | None = None


class Change(NamedTuple):
    """Rows to write, and the jobs (account, id) to forget, in one transaction.

    `end` is what a command came to with an export; of a pending one, that it does no more.
    """

    pages: Sequence[PageRow] = ()
    generation: GenerationRow | None = None
    export: ExportRow | None = None
    end: ExportReport | None = None
    forgotten: Sequence[tuple[str, str]] = ()


class StoredExport(NamedTuple):
    """A name, its generation that is under way (else the newest), and that one's pages in order."""

    row: ExportRow
    generation: GenerationRow | None
    pages: tuple[PageRow, ...]


class ExportStore(Protocol):
    """Where it is kept how far exports have come. For one run, in its event loop.

    Raises RunError where it cannot be used; Superseded where what is written belongs to another
    worker of a fleet by now: then nothing is written. If a method is cancelled, all that it writes
    is written, or nothing.
    """

    async def load(self, names: Sequence[str]) -> dict[str, StoredExport]:
        """Return what is known of exports, by name."""

    async def begin(self, names: Sequence[tuple[str, str]]) -> dict[str, ExportRow]:
        """Note that a command is to do these exports (name, account); return their rows."""

    async def open(
        self, generation: GenerationRow, pages: Sequence[PageRow], along: Change
    ) -> tuple[GenerationRow, tuple[PageRow, ...]]:
        """Add a generation with its first pages, and do another change in the same transaction.

        Returns the rows with their keys.
        """

    async def write(self, change: Change) -> None:
        """Write a change; durable on return."""

    async def outcome(self, account: str, job_id: str) -> Outcome | None:
        """Return what a page's job came to in this output folder, in any run; None where it has
        not ended."""

    async def require_turn(self) -> None:
        """Raise Superseded where another worker of a fleet has the account by now."""
