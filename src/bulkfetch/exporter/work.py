"""One export under way: its rows, written as they change, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from bulkfetch.config.column_types import column_types
from bulkfetch.errors import BulkfetchError
from bulkfetch.events import Event, EventKind
from bulkfetch.exporter.context import ExportContext
from bulkfetch.exporter.wanted import WantedExport
from bulkfetch.exports import chain
from bulkfetch.exports.chain import Step
from bulkfetch.exports.polling import PreparationTimes
from bulkfetch.exports.publication import ExportFolders, part_stem
from bulkfetch.exports.published import reported_file
from bulkfetch.exports.query import pages_by_token
from bulkfetch.exports.server_time import earliest
from bulkfetch.journal import (
    Change,
    ExportRow,
    ExportStore,
    GenerationRow,
    PageRow,
)
from bulkfetch.models import ColumnType, ExportReport, Failure, Job, Outcome, PublishedFile

if TYPE_CHECKING:
    from bulkfetch.control.client import ControlClient
    from bulkfetch.control.responses import ModuleField
    from bulkfetch.destination import ExportDestination

Place = tuple[int, int]  # a page's chain and number


class ExportWork:
    """One export. `report` is None as long as something may become of it in this command.

    Parts are published under all of the `suffixes`; `typed` says whether columns have types.
    `bucket` is the URL of the place in one that the settings name for it, None if they name none.
    `spent` credits over all runs are what the journal had, what `control` has counted since, what
    is `booked` for a create call under way, and one for each result that was requested. `fields`
    are those of the module, None if unknown; `finishing` says that it is being published;
    `patience` is how many more failures of that may pass. `handed` has the jobs that the run of
    downloads was given and that have not ended, with their pages; `lost` are jobs that were done
    and whose files are gone, to be fetched once more. `refused` is why no call is made for it in
    this command, while others of its account may be, None as long as they are. `goes_on_at` is
    when it can go on after it has ended as pending, on the loop's clock, None if unknown.
    """

    def __init__(
        self,
        wanted: WantedExport,
        store: ExportStore,
        context: ExportContext,
    ) -> None:
        self.export = wanted.export
        self.version = wanted.version
        self.suffixes = wanted.suffixes
        self.typed = wanted.typed
        self.bucket = wanted.bucket
        self.folders = ExportFolders(context.layout.out, wanted.export.name)
        self.row = ExportRow(0, wanted.export.name, wanted.account)
        self.pages: dict[Place, PageRow] = {}
        self.report: ExportReport | None = None
        self.finishing = False
        self.restarts = 0
        self.handed: dict[str, Place] = {}
        self.lost: set[str] = set()
        self.patience = 5
        self.refused: BulkfetchError | None = None
        self.goes_on_at: float | None = None
        self.fields: Sequence[ModuleField] | None = None
        self._control: ControlClient | None = None
        self._destination: ExportDestination | None = None
        self._generation: GenerationRow | None = None
        self.context = context
        self._store = store
        self._is_replaced = False
        self._spent_before = 0
        self.booked = 0

    @property
    def name(self) -> str:
        """The export's name."""
        return self.export.name

    @property
    def account(self) -> str:
        """The account that it is of."""
        return self.row.account

    @property
    def control(self) -> ControlClient:
        """Its own client for control calls, which counts its credits."""
        assert self._control is not None, "opened before anything is asked"
        return self._control

    @property
    def can_ask(self) -> bool:
        """Whether control calls can be made."""
        return self._control is not None

    def use(self, control: ControlClient) -> None:
        """Make control calls with this client, which has made none."""
        self._control = control

    @property
    def destination(self) -> ExportDestination:
        """Where it is published."""
        assert self._destination is not None, "opened before anything is done"
        return self._destination

    def publish_in(self, destination: ExportDestination) -> None:
        """Publish it there."""
        self._destination = destination

    @property
    def generation(self) -> GenerationRow:
        """The generation under way."""
        assert self._generation is not None, "begun before anything else is done"
        return self._generation

    @property
    def begun(self) -> bool:
        """Whether there is a generation."""
        return self._generation is not None

    @property
    def by_token(self) -> bool:
        """Whether further pages are created by token."""
        return pages_by_token(self.version)

    @property
    def spent(self) -> int:
        """Credits that the export has taken, over all runs."""
        asked = 0 if self._control is None else self._control.credits
        return self._spent_before + asked + self.booked

    @property
    def ordered(self) -> list[PageRow]:
        """The pages in the order of their chains."""
        return sorted(self.pages.values(), key=_place)

    @property
    def hidden(self) -> str:
        """The name of the hidden folder of the generation."""
        return hidden_folder(self.generation.key)

    def take_up(self, generation: GenerationRow, pages: Sequence[PageRow]) -> None:
        """Go on with a generation as the journal has it."""
        self._spent_before += generation.spent
        self._generation = generation
        self.pages = {_place(page): page for page in pages}

    def put_down(self) -> None:
        """Have done with a generation: the next one begins without its pages and credits."""
        self._spent_before = 0
        self._generation = None
        self.pages = {}

    def is_replaced(self, page: PageRow) -> bool:
        """Return whether the generation of a page has been given up, or is about to be."""
        return self._is_replaced or page.generation != self.generation.key

    async def begin(self, generation: GenerationRow, along: Change) -> None:
        """Begin a generation at its first pages, with another change in the same transaction.

        If cancelled: begun or not, never half.
        """
        generation = replace(generation, spent=self.spent)
        first = chain.plan(len(generation.queries))
        self._is_replaced = True
        self._generation, pages = await self._store.open(generation, first, along)
        self._is_replaced = False
        self.pages = {_place(page): page for page in pages}
        self.context.touch()

    async def write(
        self,
        step: Step,
        *,
        requests: int = 0,
        warnings: Sequence[str] = (),
        quarantine: str | None = None,
        end: ExportReport | None = None,
    ) -> None:
        """Take over a step's rows, write them, and tell of what failed or is created again.

        `requests` results were asked for; `end` is what the export came to in this command, None
        as long as it goes on. Jobs that a page no longer has are forgotten. The rows are durable
        before others see them. If cancelled: all of it is written, or nothing.
        """
        self._spent_before += requests
        notes = [f"page {step.pages[0].number}: {step.note}"] if step.note else []
        self._generation = replace(
            self.generation,
            spent=self.spent,
            wasted=self.generation.wasted + step.wasted,
            warnings=(*self.generation.warnings, *notes, *warnings),
        )
        before = [self._as_it_was(page) for page in step.pages]
        forgotten = [
            (self.account, old.job_id)
            for old, page in zip(before, step.pages, strict=True)
            if old.job_id is not None and old.job_id != page.job_id
        ]
        row = None if self._is_replaced else self._generation  # given up, it stays as it was
        await self._store.write(Change(step.pages, generation=row, end=end, forgotten=forgotten))
        for page in step.pages:
            # Of a generation that was given up meanwhile it is of no use.
            if page.generation == self.generation.key:
                if page.state == "FAILED":
                    outcome = self.outcome_of(page, self.generation)
                    await self.context.report(replace(outcome, quarantine=quarantine))
                self.pages[_place(page)] = page
        self.context.touch()
        if step.note:
            self.tell("page_again", step.note, before[0])

    def _as_it_was(self, page: PageRow) -> PageRow:
        """Return a page as it is before it is written, itself where it is new."""
        old = self.pages.get(_place(page), page)
        return old if old.generation == page.generation else page

    async def downloaded(self, page: PageRow, outcome: Outcome) -> None:
        """Take over what became of a page's download. If cancelled: written or not, never half."""
        step = chain.ended(self.pages.values(), page, outcome)
        if not step.pages:
            return
        requests = max(0, outcome.attempts - page.requests)  # not those of another host
        await self.write(step, requests=requests, quarantine=outcome.quarantine)
        if step.pages[0].state == "COUNTED":
            counted = {} if outcome.records is None else {"records": outcome.records}
            self.tell("page_counted", "downloaded and counted", page, **counted)

    async def require_turn(self) -> None:
        """Raise Superseded where another worker of a fleet has the account by now."""
        await self._store.require_turn()

    async def forget(self, outcome: Outcome) -> None:
        """Have the journal forget a job that nobody wants any more. If cancelled: or not."""
        forgotten = [(outcome.account, outcome.job_id)]
        await self._store.write(Change(forgotten=forgotten))

    async def write_rows(
        self,
        generation: GenerationRow,
        *,
        export: ExportRow | None = None,
        end: ExportReport | None = None,
        forgotten: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write the generation, and what else changes with it. If cancelled: done first."""
        with anyio.CancelScope(shield=True):
            await self._store.write(
                Change(generation=generation, export=export, end=end, forgotten=forgotten)
            )
        # Only now: what could not be written must not be, by a later write of something else.
        self._generation = generation
        self.row = export or self.row
        self.context.touch()

    async def remember(self, took_s: float) -> None:
        """Note how long a page took to be prepared. If cancelled: noted or not."""
        times = PreparationTimes(self.row.prepared_s).after(took_s)
        self.row = replace(self.row, prepared_s=times.seconds)
        await self._store.write(Change(export=self.row))

    def job(self, page: PageRow, *, again: bool = False) -> Job:
        """Return a page's result as a job for the run of downloads."""
        assert page.job_id is not None, "only a created page is ready"
        stem = part_stem(chain.part_number(page, len(self.generation.queries)))
        folder = self.folders.part_folder(self.hidden)
        return Job(page.job_id, self.account, stem, again=again, folder=folder, records=page.count)

    def is_as_wanted(self, names: Iterable[str]) -> bool:
        """Return whether files of a part are those that are wanted now, by their names."""
        return [name.partition(".")[2] for name in names] == [
            suffix.removeprefix(".") for suffix in self.suffixes
        ]

    @property
    def cursor_to(self) -> str | None:
        """When the service accepted the first page, in its own words; None if that is unknown."""
        return earliest(page.created_time for page in self.ordered if page.number == 1)

    def types(self) -> dict[str, ColumnType]:
        """Return the types of columns that are to be more than text, by name."""
        if not self.typed:
            return {}
        return column_types({field.api_name: field.data_type for field in self.fields or ()})

    def jobs(self) -> list[tuple[str, str]]:
        """Return the jobs of all pages, as the queue knows them."""
        return [(self.account, page.job_id) for page in self.pages.values() if page.job_id]

    def tell(
        self, kind: EventKind, text: str, page: PageRow | None = None, **data: int | str
    ) -> None:
        """Tell of the export, or of one of its pages."""
        about = {"export": self.name, **({} if page is None else {"page": page.number}), **data}
        where = "" if page is None else f", page {page.number}"
        if page is not None and len(self.generation.queries) > 1:
            where += f" of chain {page.chain}"
        job_id = None if page is None else page.job_id
        message = f"export {self.name}{where}: {text}"
        self.context.emit(Event(kind, message, self.account, job_id, about))

    def refuse(self, error: BulkfetchError) -> None:
        """Make no more calls for it in this command, and tell why."""
        if self.refused is None:
            self.refused = error
            text = f"{error.code}: {error.message}; no more pages are created or asked for"
            self.tell("exports_held", text)
        self.context.touch()

    async def note_end(self) -> None:
        """Write what an export came to that has not begun. If cancelled: written or not."""
        assert self.report is not None, "it has ended"
        await self._store.write(Change(end=self.report))

    def end(self, report: ExportReport, goes_on_at: float | None = None) -> None:
        """Have all know that nothing more becomes of the export in this command."""
        self.report, self.goes_on_at = report, goes_on_at
        self.context.touch()

    def failure(self) -> Failure | None:
        """Return why the first of the failed pages failed, None if there is none."""
        return next((page.error for page in self.ordered if page.state == "FAILED"), None)

    def outcome_of(self, page: PageRow, generation: GenerationRow) -> Outcome:
        """Return a page's outcome: done under its final path once its generation is, else pending.

        `generation` is the page's, as it is then.
        """
        about = Outcome(
            page.job_id or "",
            self.account,
            "pending",
            zip_bytes=page.zip_bytes,
            records=page.records,
            attempts=page.requests,
            export=self.name,
            page=page.number,
        )
        if page.state == "FAILED":
            return replace(about, status="failed", error=page.error)
        folder = generation.folder
        if generation.state != "COMMITTED" or folder is None:
            return about
        published = (
            PublishedFile(self.reported(folder, file.name), file.bytes, file.sha256)
            for file in page.files
        )
        return replace(about, status="done", files=tuple(published))

    def reported(self, folder: str, file: str) -> str:
        """Return a file of a published folder of the export as reports have it."""
        return reported_file(self.context.layout.above, self.name, folder, file)


def hidden_folder(generation: int) -> str:
    """Return the name of the folder of a generation, by its key, before it is published."""
    return f"generation-{generation}"


def _place(page: PageRow) -> Place:
    return page.chain, page.number
