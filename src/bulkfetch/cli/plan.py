"""`bulkfetch plan`: what a run would do and when, without any request."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.async_reader import AsyncReader
from bulkfetch.cli.options import ListOptions, list_options, open_list, settings_of
from bulkfetch.cli.plan_exports import plan_exports
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.recall import journal_in
from bulkfetch.cli.wanted import State, read_wanted
from bulkfetch.observe.eta import KEPT_S, start_s, starts_within
from bulkfetch.quota import MARGIN_S, ZOHO_PERIOD_S, ZOHO_REQUESTS
from bulkfetch.text import duration, jobs

if TYPE_CHECKING:
    from bulkfetch.config import Settings

# Batches that are listed one by one in the text form: the first ones, and the last.
_SHOWN_BATCHES = 6
# Expiring jobs that are named in the text form.
_SHOWN_LATE = 5


def in_a_day() -> int:
    """Return how many results one account can request in a day, at the default pace."""
    return starts_within(KEPT_S, ZOHO_REQUESTS, ZOHO_PERIOD_S + MARGIN_S)


_ABOUT = f"""\b
Examples:
  bulkfetch plan jobs.toml
  bulkfetch plan jobs.toml --ids ids.txt --json
  bulkfetch plan jobs.toml --estimate

Show how many results a run would fetch, when each download would start, and which results would
have expired by then (--json lists all of them). Changes nothing, and sends no request except with
--estimate. The plan assumes that nothing was requested in the last minute, and tells what this
machine did request. It also assumes that all results were completed just now: Zoho keeps a result
for one day, in which one account can start {in_a_day():,}.

Exports are listed too. With --estimate, which costs some three API credits for each, they are
checked against their modules, and Zoho is asked how many records there are: pages, credits and
minutes follow from that. An export of some of the records (criteria, a custom view, changes) is
estimated as if it were of all of them.
"""

_EPILOG = exit_codes.epilog(
    s0="the plan was shown, whatever it says",
    s2="usage or configuration error: a run would not start",
    s3="the list, or the journal of the output folder, cannot be read",
    s130="interrupted, or stdout was closed",
)


class AccountPlan(NamedTuple):
    """The plan for one account: its jobs by state, its window and the end of the schedule.

    `downloaded` jobs need no request, `failed_before` failed permanently, `expiring` ones start
    after more than a day. `last_start_s` is in seconds from now, None if there is nothing to fetch.
    """

    account: str
    to_fetch: int
    downloaded: int
    done: int
    failed_before: int
    requests: int
    period_s: float
    last_start_s: float | None
    expiring: int

    def start_of(self, position: int) -> float:
        """Return when the request at a position (from 0) starts, in seconds from now."""
        return start_s(position, self.requests, self.period_s)

    @property
    def batches(self) -> Iterator[tuple[int, int, float]]:
        """The first and last request of each batch, counted from 1, and when it starts."""
        for first in range(0, self.to_fetch, self.requests):
            last = min(first + self.requests, self.to_fetch)
            yield first + 1, last, self.start_of(first)


def account_plan(
    account: str,
    to_fetch: int,
    downloaded: int,
    done: int,
    requests: int,
    period_s: float,
    failed_before: int = 0,
) -> AccountPlan:
    """Return the plan for one account; `period_s` includes the window's margin."""
    in_time = starts_within(KEPT_S, requests, period_s)
    return AccountPlan(
        account,
        to_fetch,
        downloaded,
        done,
        failed_before,
        requests,
        period_s,
        start_s(to_fetch - 1, requests, period_s) if to_fetch else None,
        max(0, to_fetch - in_time),
    )


@click.command(help=_ABOUT, short_help="Show when each result would be fetched.", epilog=_EPILOG)
@list_options
@click.option("--estimate", is_flag=True, help="Ask how many records each export may have.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def plan(printer: Printer, options: ListOptions, estimate: bool, as_json: bool) -> None:
    """Show what a run would do, and when."""
    printer.json = as_json
    settings = settings_of(options)
    printer.warn(*settings.warnings)
    _require_servers(settings)
    if settings.exports:
        plan_exports(printer, settings, estimate=estimate)
        if not (options.ids or options.lists or settings.ids_file or settings.jobs):
            return
    _plan_list(printer, options, settings)


def _require_servers(settings: Settings) -> None:
    """Raise ConfigError where a run would be refused, as it asks another server than before."""
    from bulkfetch.config.regions import results_servers

    if (reader := journal_in(settings.out)) is not None:
        with reader:
            reader.require_servers(results_servers(settings.accounts))


def _plan_list(printer: Printer, options: ListOptions, settings: Settings) -> None:
    from bulkfetch.destinations import claimed_names

    names = partial(claimed_names, None, settings)
    with (
        open_list(options, settings) as listed,
        journal_in(settings.out) or nullcontext() as reader,
    ):
        read = listed.drain() if isinstance(listed, AsyncReader) else listed or ()
        wanted = read_wanted(read, settings.account_names, reader, names)
    now = time.time()
    plans = [_plan_of(settings, name, states) for name, states in sorted(wanted.states.items())]
    for account in plans:
        _tell(printer, account, now)
        _tell_window(printer, settings, account)
    late = []
    for account in plans:
        late += _tell_late(printer, account, _to_fetch(wanted.states[account.account]), now)
    for failing, what in (
        (wanted.malformed, "a bad id, name or account"),
        (wanted.conflicts, "the name of another job of the list"),
    ):
        if failing.count:
            printer.warn(f"{jobs(failing.count)} with {what} would fail without a request")
            for line in failing.lines():
                printer.note(line)
    malformed, conflicts = wanted.malformed.count, wanted.conflicts.count
    _tell_all(printer, plans, malformed, conflicts, late[:_SHOWN_LATE], now)


def _to_fetch(states: Mapping[str, State]) -> Iterator[str]:
    """Yield the ids that need a request, in the order of a run: new ones first."""
    for wanted in ("new", "again"):
        yield from (job for job, state in states.items() if state == wanted)


def _plan_of(settings: Settings, name: str, states: Mapping[str, State]) -> AccountPlan:
    count = Counter(states.values())
    window = settings.account(name).window
    return account_plan(
        name,
        count["new"] + count["again"],
        count["downloaded"],
        count["done"],
        window.requests,
        window.period_s + window.margin_s,
        count["failed"],
    )


def _tell(printer: Printer, account: AccountPlan, now: float) -> None:
    parts = [f"{jobs(account.to_fetch)} to fetch"]
    if account.downloaded:
        parts.append(f"{account.downloaded} to unpack only")
    if account.done:
        parts.append(f"{account.done} done before")
    if account.failed_before:
        parts.append(f"{account.failed_before} failed permanently before")
    pace = f"{account.requests} in {duration(account.period_s)}"
    printer.result(f"account {account.account}: {', '.join(parts)}; {pace}", None)
    count = -(-account.to_fetch // account.requests)
    for number, (first, last, at_s) in enumerate(account.batches):
        text = f"  {first}-{last}: {_clock(now, at_s)}, in {duration(at_s)}" if at_s else None
        if number == 0:
            text = f"  {first}-{last}: at once"
        elif _SHOWN_BATCHES <= number < count - 1:
            text = "  …" if number == _SHOWN_BATCHES else None
        if text is None and not printer.json:
            continue
        record = {
            "type": "batch",
            "account": account.account,
            "first": first,
            "last": last,
            "start_s": at_s,
            "start": _iso(now + at_s),
        }
        printer.result(text, record)


def _tell_window(printer: Printer, settings: Settings, plan: AccountPlan) -> None:
    """Report the slots of the machine's window that are in use, where there is something to fetch.

    Of windows elsewhere, the sandbox's and those that hosts share, nothing is known here.
    """
    account = settings.account(plan.account)
    elsewhere = account.is_sandbox or settings.window.shared is not None
    if not plan.to_fetch or elsewhere or settings.state_dir is None:
        return
    from bulkfetch.config.account_key import account_key
    from bulkfetch.config.regions import servers
    from bulkfetch.ratelimit import RateLimit
    from bulkfetch.ratelimit.glance import slots_free_in

    window = account.window
    key = account_key(account, servers(account).api_domain)
    limit = RateLimit(window.requests, window.period_s, window.margin_s)
    free_in_s = slots_free_in(settings.state_dir, key, limit)
    if free_in_s:
        text = f"  {len(free_in_s)} of {window.requests} slots are in use, the last one for "
        text += f"{duration(free_in_s[-1])}: what needs them starts up to that later"
        record = {
            "type": "window",
            "account": plan.account,
            "slots": window.requests,
            "free_in_s": [round(each, 3) for each in free_in_s],
        }
        printer.result(text, record)


def _tell_late(printer: Printer, account: AccountPlan, ids: Iterable[str], now: float) -> list[str]:
    """Report each job whose result will have expired, as JSON; return the first ones as text."""
    first = account.to_fetch - account.expiring
    shown: list[str] = []
    for position, job in enumerate(islice(ids, first, None), start=first):
        if len(shown) < _SHOWN_LATE:
            shown.append(job if account.account == "default" else f"{job} of {account.account}")
        elif not printer.json:
            break
        at_s = account.start_of(position)
        record = {
            "type": "expiring",
            "account": account.account,
            "id": job,
            "start_s": at_s,
            "start": _iso(now + at_s),
        }
        printer.result(None, record)
    return shown


def _tell_all(
    printer: Printer,
    plans: list[AccountPlan],
    malformed: int,
    conflicts: int,
    late: list[str],
    now: float,
) -> None:
    record: dict[str, Any] = {
        "type": "plan",
        "to_fetch": sum(plan.to_fetch for plan in plans),
        "downloaded": sum(plan.downloaded for plan in plans),
        "done": sum(plan.done for plan in plans),
        "failed_before": sum(plan.failed_before for plan in plans),
        "malformed": malformed,
        "conflicts": conflicts,
        "expiring": sum(plan.expiring for plan in plans),
        "last_start_s": None,
        "last_start": None,
    }
    starts = [plan.last_start_s for plan in plans if plan.last_start_s is not None]
    text = "nothing to fetch"
    if starts:
        record["last_start_s"] = max(starts)
        record["last_start"] = _iso(now + max(starts))
        text = f"the last one starts in {duration(max(starts))}, at {_clock(now, max(starts))}; "
        expiring = record["expiring"]
        text += f"{jobs(expiring)} will have expired by then" if expiring else "none will expire"
        if late:
            rest = expiring - len(late)
            text += f": {', '.join(late)}" + (f" and {rest} more, listed by --json" if rest else "")
    printer.result(text, record)


def _clock(now: float, in_s: float) -> str:
    """Return a time as the local clock will show it; `now` in epoch seconds."""
    today, then = _local(now), _local(now + in_s)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def _iso(at: float) -> str:
    return _local(at).isoformat(timespec="seconds")


def _local(at: float) -> datetime:
    # Each one separately: clocks may change between two of them.
    return datetime.fromtimestamp(at).astimezone()
