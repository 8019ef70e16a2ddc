"""`bulkfetch plan`: what a run would do and when, without asking for anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bulkfetch.cli import exits
from bulkfetch.cli.asked import Asked, list_options, open_list, settings_of
from bulkfetch.cli.feed import Feed
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job, is_job_id
from bulkfetch.observe.outlook import start_s
from bulkfetch.observe.text import duration, jobs

if TYPE_CHECKING:
    from bulkfetch.config import Settings

# Zoho keeps a result for one day after its job was completed.
KEPT_S = 86_400.0

# Batches that are listed one by one in the text form: the first ones, and the last.
_SHOWN_BATCHES = 6

_ABOUT = """\b
Examples:
  bulkfetch plan jobs.toml
  bulkfetch plan jobs.toml --ids ids.txt --json

Tell how many results a run would fetch, when each would start and when the last one does, and how
many will have expired by then. Spends no request and changes nothing. Results are taken to have
been completed now, and the window to be unused: Zoho keeps a result for one day, in which one
account can start 14,400.
"""


class AccountPlan(NamedTuple):
    """What is to be asked of one account: jobs by what is to do, its window, the schedule's ends.

    `downloaded` need no request. `expiring` start when a day has passed. Times in seconds from now;
    `last_start_s` is None where nothing is to be asked.
    """

    account: str
    to_fetch: int
    downloaded: int
    done: int
    requests: int
    period_s: float
    last_start_s: float | None
    expiring: int

    @property
    def batches(self) -> Iterator[tuple[int, int, float]]:
        """Numbers of the first and last request of each batch, from 1, and when it starts."""
        for first in range(0, self.to_fetch, self.requests):
            last = min(first + self.requests, self.to_fetch)
            yield first + 1, last, start_s(first, self.requests, self.period_s)


def account_plan(
    account: str, to_fetch: int, downloaded: int, done: int, requests: int, period_s: float
) -> AccountPlan:
    """Lay out the schedule of one account; `period_s` includes the window's margin."""
    in_time = (int(KEPT_S // period_s) + 1) * requests
    return AccountPlan(
        account,
        to_fetch,
        downloaded,
        done,
        requests,
        period_s,
        start_s(to_fetch - 1, requests, period_s) if to_fetch else None,
        max(0, to_fetch - in_time),
    )


@click.command(
    help=_ABOUT, short_help="Tell when each result would be fetched.", epilog=exits.EPILOG
)
@list_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def plan(printer: Printer, asked: Asked, as_json: bool) -> None:
    """Lay out a run."""
    printer.json = as_json
    settings = settings_of(asked)
    for warning in settings.warnings:
        printer.warn(warning)
    with open_list(asked, settings) as listed:
        wanted, malformed = _read(listed)
    states = _states(settings, wanted)
    now = datetime.now().astimezone()
    plans = [_plan_of(settings, name, ids, states) for name, ids in sorted(wanted.items())]
    for account in plans:
        _tell(printer, account, now)
    if malformed:
        printer.warn(f"{jobs(malformed)} with a malformed id would fail without a request")
    _tell_all(printer, plans, malformed, now)


def _read(listed: Iterator[Job] | Feed | None) -> tuple[dict[str, set[str]], int]:
    """Give the different ids of each account, in memory: some 100 bytes each; and the malformed."""
    wanted: dict[str, set[str]] = {}
    malformed = 0
    for job in listed.drain() if isinstance(listed, Feed) else listed or ():
        if is_job_id(job.id):
            wanted.setdefault(job.account, set()).add(job.id)
        else:
            malformed += 1
    return wanted, malformed


def _states(settings: Settings, wanted: dict[str, set[str]]) -> dict[tuple[str, str], str]:
    """Say which of the wanted jobs are done or downloaded already."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.places import STATE_DIR

    states: dict[tuple[str, str], str] = {}
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(JournalReader.open(settings.out / STATE_DIR))
        except ConfigError:
            return states  # no run has written there yet
        for outcome in reader.outcomes():
            if outcome.job_id in wanted.get(outcome.account, ()):
                if outcome.status == "done":
                    states[outcome.account, outcome.job_id] = "done"
                elif outcome.status == "pending" and outcome.zip_bytes is not None:
                    states[outcome.account, outcome.job_id] = "downloaded"
    return states


def _plan_of(
    settings: Settings, name: str, ids: set[str], states: dict[tuple[str, str], str]
) -> AccountPlan:
    found = [state for (account, _), state in states.items() if account == name]
    done, downloaded = found.count("done"), found.count("downloaded")
    window = settings.account(name).window
    return account_plan(
        name,
        len(ids) - done - downloaded,
        downloaded,
        done,
        window.requests,
        window.period_s + window.margin_s,
    )


def _tell(printer: Printer, account: AccountPlan, now: datetime) -> None:
    parts = [f"{jobs(account.to_fetch)} to fetch"]
    if account.downloaded:
        parts.append(f"{account.downloaded} only to unpack")
    if account.done:
        parts.append(f"{account.done} done before")
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
            "start": (now + timedelta(seconds=at_s)).isoformat(timespec="seconds"),
        }
        printer.result(text, record)


def _tell_all(printer: Printer, plans: list[AccountPlan], malformed: int, now: datetime) -> None:
    record: dict[str, Any] = {
        "type": "plan",
        "to_fetch": sum(plan.to_fetch for plan in plans),
        "downloaded": sum(plan.downloaded for plan in plans),
        "done": sum(plan.done for plan in plans),
        "malformed": malformed,
        "expiring": sum(plan.expiring for plan in plans),
        "last_start_s": None,
        "last_start": None,
    }
    starts = [plan.last_start_s for plan in plans if plan.last_start_s is not None]
    text = "nothing to fetch"
    if starts:
        record["last_start_s"] = max(starts)
        record["last_start"] = (now + timedelta(seconds=max(starts))).isoformat(timespec="seconds")
        text = f"the last one starts in {duration(max(starts))}, at {_clock(now, max(starts))}; "
        expiring = record["expiring"]
        text += f"{jobs(expiring)} will have expired by then" if expiring else "none will expire"
    printer.result(text, record)


def _clock(now: datetime, in_s: float) -> str:
    then = now + timedelta(seconds=in_s)
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")
