"""`bulkfetch fleet status`: how a fleet's accounts stand."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of, left_alone, with_database
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError
from bulkfetch.text import number

if TYPE_CHECKING:
    from bulkfetch.cli.fleet_screen import FleetScreen
    from bulkfetch.fleet.accounts import AccountExports, FleetAccount
    from bulkfetch.fleet.connections import Connections

_ABOUT = """\b
Examples:
  bulkfetch fleet status fleet.toml
  bulkfetch fleet status fleet.toml --account acme --failed
  bulkfetch fleet status fleet.toml --watch

Show for each account how many jobs and exports are done, have failed, and are still to be done;
which worker is serving it; and whether it is held, and why: nothing more is fetched for an account
that is held, until something is submitted for it again. Jobs that ended longer than
submissions_keep_days ago are not known any more. Changes nothing.

With --watch it is shown every few seconds, until only accounts that are held have something left:
on a terminal the accounts that workers are serving, how fast each goes and when it will be done;
else one line each time, with the sum of all accounts.
"""

_EPILOG = exit_codes.epilog(
    s0="the state was shown",
    s2="bad settings, no database, or no such account",
    s130="interrupted, or stdout was closed",
)

_LOOK_S = 5.0


@click.command(help=_ABOUT, short_help="Show the state of each account.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.option("--account", metavar="NAME", help="Show only this account.")
@click.option("--failed", is_flag=True, help="List every job and export that failed, and why.")
@click.option("--watch", is_flag=True, help="Show it again and again until all is done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def status(
    printer: Printer,
    fleet_file: str,
    account: str | None,
    failed: bool,
    watch: bool,
    as_json: bool,
) -> int:
    """Show the state of a fleet, and return the exit status."""
    if failed and watch:
        raise click.UsageError("--failed and --watch cannot be used together")
    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)

    async def tell(connections: Connections) -> None:
        if watch:
            await _watch(printer, connections, account)
            return
        accounts = await _accounts(connections, account)
        if failed:
            await _tell_failed(printer, connections, account)
            return
        for each in accounts:
            printer.result(_line(each), _record(each))
            if each.held is not None:
                printer.error(f"account {each.account}: {_held(each)}", each.held.hint)
        if account is None:
            printer.result(_sum_line(accounts), _sum(accounts))
        servers = {each.account: each.server for each in accounts}
        for _, sentence in left_alone(fleet_file, fleet, servers):
            printer.warn(sentence)

    with_database(fleet, tell)
    return exit_codes.DONE


async def _accounts(connections: Connections, account: str | None) -> list[FleetAccount]:
    from bulkfetch.fleet.journal import FleetJournal

    accounts = await FleetJournal(connections).accounts(account)
    if account is not None and not accounts:
        raise ConfigError(
            f"the fleet knows nothing of account {account[:60]!a}",
            hint="`bulkfetch fleet status` without --account lists those that it knows.",
        )
    return accounts


async def _tell_failed(printer: Printer, connections: Connections, account: str | None) -> None:
    from bulkfetch.fleet.failed import failed_exports, failed_jobs
    from bulkfetch.observe.export_words import export_problem, export_record
    from bulkfetch.observe.failures import SharedHints
    from bulkfetch.observe.messages import failure_lines, of_account

    hints, found = SharedHints(), False
    async for outcome in failed_jobs(connections, account):
        await printer.send(failure_lines(outcome)[0], outcome.to_dict())
        hints.add(outcome.error)
        found = True
    async for report in failed_exports(connections, account):
        await printer.send(export_problem(report)[0], export_record(report))
        hints.add(report.error)
        found = True
    for line in hints.lines():
        await printer.send(line, None)
    if not found:
        whose = of_account(account) if account is not None else ""
        printer.note(f"no job and no export{whose} has failed")


async def _watch(printer: Printer, connections: Connections, account: str | None) -> None:
    """Show how it goes until nothing is under way, and then the sum of all."""
    with _screen(printer) as screen:
        while True:
            accounts = await _accounts(connections, account)
            if not any(each.is_under_way for each in accounts):
                break
            if screen is None:
                await _tell_sum(printer, accounts)
            else:
                screen.show(accounts)
            await asyncio.sleep(_LOOK_S)
    await _tell_sum(printer, accounts)


async def _tell_sum(printer: Printer, accounts: Sequence[FleetAccount]) -> None:
    now = datetime.fromtimestamp(time.time()).astimezone()
    await printer.send(f"{now:%H:%M:%S}  {_sum_line(accounts)}", _sum(accounts))


@contextmanager
def _screen(printer: Printer) -> Iterator[FleetScreen | None]:
    """Give the screen, where stdout is a terminal and people read it; else None."""
    if printer.json or not os.isatty(1) or os.environ.get("TERM", "dumb") == "dumb":
        yield None
        return
    from bulkfetch.cli.fleet_screen import FleetScreen

    with FleetScreen() as screen:
        yield screen


def _line(each: FleetAccount) -> str:
    text = f"account {each.account}: {each.done} done, {each.failed} failed, {each.pending} pending"
    text += _exports_words(each.exports)
    if each.held is not None:
        return f"{text}; held"
    if each.crashes and each.worker is not None and each.turn_began_at is not None:
        text += f"; turn of {each.worker} since {_moment(each.turn_began_at)}"
    if each.crashes > 1:
        text += f", {each.crashes - 1} before it ended by a crash"
    return text


def _record(each: FleetAccount) -> dict[str, Any]:
    began = each.turn_began_at
    return {
        "type": "account",
        **each._asdict(),
        "turn_began_at": None if began is None else _moment(began),
        "held": each.held and asdict(each.held),
        "exports": each.exports._asdict(),
    }


def _exports_words(exports: AccountExports) -> str:
    """Return what is to be added about exports, nothing where there are none."""
    if not (exports.done or exports.failed or exports.pending):
        return ""
    text = f"; exports: {exports.done} done, {exports.failed} failed, {exports.pending} pending"
    if exports.credits:
        text += f" ({number(exports.pages, 'page')} fetched, {exports.credits} credits)"
    return text


def _all_exports(accounts: Sequence[FleetAccount]) -> AccountExports:
    from bulkfetch.fleet.accounts import AccountExports

    return AccountExports.sum_of(each.exports for each in accounts)


def _held(each: FleetAccount) -> str:
    from bulkfetch.observe.messages import cause_words

    assert each.held is not None
    return cause_words(each.account, each.held)


def _sum(accounts: Sequence[FleetAccount]) -> dict[str, Any]:
    turns = [each for each in accounts if each.crashes]
    return {
        "type": "fleet",
        "accounts": len(accounts),
        "done": sum(each.done for each in accounts),
        "failed": sum(each.failed for each in accounts),
        "pending": sum(each.pending for each in accounts),
        "turns": len(turns),
        "workers": len({each.worker for each in turns}),
        "held": sum(each.held is not None for each in accounts),
        "exports": _all_exports(accounts)._asdict(),
    }


def _sum_line(accounts: Sequence[FleetAccount]) -> str:
    found = _sum(accounts)
    text = f"{number(found['accounts'], 'account')}: " + (
        "{done} done, {failed} failed, {pending} pending".format(**found)
    )
    text += _exports_words(_all_exports(accounts))
    if found["turns"]:
        text += f"; {number(found['turns'], 'turn')} by {number(found['workers'], 'worker')}"
    return f"{text}; {found['held']} held" if found["held"] else text


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
