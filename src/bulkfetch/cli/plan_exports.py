"""What `bulkfetch plan` says of exports: which there are, and what each may cost."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.cli.printer import Printer
from bulkfetch.cli.recall import journal_in
from bulkfetch.observe.eta import KEPT_S, start_s, starts_within
from bulkfetch.text import duration

if TYPE_CHECKING:
    from bulkfetch.access import AccountOpener
    from bulkfetch.config import Export, Settings

_PAGE_RECORDS = {"csv": 200_000, "ics": 20_000}
# 50 to create it, 1 for its result, and some questions whether it is ready.
_PAGE_CREDITS = 57


class Estimate(NamedTuple):
    """What an export may come to, if it brings all `records` of its module.

    `window_s` is when its last download could start, with an unused window; `expiring` pages would
    start more than a day after the first.
    """

    records: int
    pages: int
    credits: int
    window_s: float
    expiring: int


def estimate_of(export: Export, records: int, requests: int, period_s: float) -> Estimate:
    """Return the estimate for an export; `period_s` includes the window's margin."""
    in_chain = -(-records // export.split)
    pages = export.split * max(1, -(-in_chain // _PAGE_RECORDS[export.file_type]))
    in_time = starts_within(KEPT_S, requests, period_s)
    return Estimate(
        records,
        pages,
        pages * _PAGE_CREDITS,
        start_s(pages - 1, requests, period_s),
        max(0, pages - in_time),
    )


class Intent(NamedTuple):
    """What the next call does about an export: its mode, why, and whether it goes on with one."""

    mode: str
    why: str
    goes_on: bool = False


def plan_exports(printer: Printer, settings: Settings, *, estimate: bool) -> None:
    """Tell of each export of the settings; with `estimate` after asking Zoho for its records."""
    intents = _intents(settings)
    found: dict[str, Estimate] = {}
    if estimate:
        from bulkfetch.cli.asking import ask_accounts

        async def count(accounts: AccountOpener) -> dict[str, Estimate]:
            return await _estimates(printer, settings, accounts)

        found = ask_accounts(printer, settings, count)
    for export in settings.exports:
        _tell(printer, export, intents[export.name], found.get(export.name))
    if found:
        pages = sum(each.pages for each in found.values())
        credits = sum(each.credits for each in found.values())
        printer.result(f"exports: {_pages(pages)}, some {credits:,} credits: an estimate", None)


async def _estimates(
    printer: Printer, settings: Settings, accounts: AccountOpener
) -> dict[str, Estimate]:
    """Return the estimates by name, without those whose modules cannot be counted.

    Raises ConfigError where an export does not fit its module, as its run would.
    """
    from bulkfetch.errors import JobError, ScopeMismatch
    from bulkfetch.exports.metadata import MetadataReader

    readers: dict[str, MetadataReader] = {}
    counts: dict[tuple[str, str], int | None] = {}
    found = {}
    for export in settings.exports:
        account = settings.account(export.account or "default")
        control = await accounts.control(account.name)
        reader = readers.setdefault(account.name, MetadataReader(control))
        for warning in (await reader.check(export, settings)).warnings:
            printer.warn(warning)
        key = (account.name, export.module)
        if key not in counts:
            counts[key] = None
            try:
                counts[key] = await control.count(export.module)
            except (JobError, ScopeMismatch) as error:
                printer.warn(f"{export.module} cannot be counted: {error.code}: {error.message}")
        if (records := counts[key]) is not None:
            window = account.window
            period_s = window.period_s + window.margin_s
            found[export.name] = estimate_of(export, records, window.requests, period_s)
    return found


def _intents(settings: Settings) -> dict[str, Intent]:
    """Return what the next call of `export` does about each export, by its name."""
    from bulkfetch.exporter.beginning import first_step, goes_on, step_of

    with journal_in(settings.out) or nullcontext() as reader:
        known = {stored.row.name: stored for stored in reader.exports()} if reader else {}
    now = datetime.now(UTC)
    found = {}
    for export in settings.exports:
        account, stored = export.account or "default", known.get(export.name)
        if stored and stored.generation and goes_on(stored, export, account, full=False):
            counted = sum(page.state == "COUNTED" for page in stored.pages)
            why = f"goes on, {_pages(counted)} at home"
            found[export.name] = Intent(step_of(stored.generation).mode, why, goes_on=True)
        else:
            step = first_step(export, account, stored, None, full=False, now=now)
            found[export.name] = Intent(step.mode, step.why)
    return found


def _tell(printer: Printer, export: Export, intent: Intent, found: Estimate | None) -> None:
    record = {
        "type": "export",
        "name": export.name,
        "account": export.account,
        "module": export.module,
        "sync": export.sync,
        "split": export.split,
        "file_type": export.file_type,
        **intent._asdict(),
        "estimate": None if found is None else found._asdict(),
    }
    module = f" of {export.module}" if export.module != export.name else ""
    chains = f" in {export.split} chains" if export.split > 1 else ""
    printer.result(f"export {export.name}: {intent.mode}{module}{chains}: {intent.why}", record)
    if found is None:
        return
    late = f"; {_pages(found.expiring)} would have expired by then" if found.expiring else ""
    printer.result(
        f"  at most {found.records:,} records (an estimate): {_pages(found.pages)}, some "
        f"{found.credits:,} credits, {duration(found.window_s)} of the window{late}",
        None,
    )


def _pages(count: int) -> str:
    return f"{count:,} page" if count == 1 else f"{count:,} pages"
