"""`bulkfetch fleet submit`: give a fleet a list to fetch, or exports to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.options import ListOptions, id_lists, open_list
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import run_in_loop
from bulkfetch.text import jobs as counted
from bulkfetch.text import number

if TYPE_CHECKING:
    from bulkfetch.cli.async_reader import AsyncReader
    from bulkfetch.config.fleet import ExportKey, FleetSettings
    from bulkfetch.fleet.submission import Submitted
    from bulkfetch.models import Job

_ABOUT = """\b
Examples:
  bulkfetch fleet submit fleet.toml --account acme --ids ids.txt
  bulkfetch fleet submit fleet.toml --ids accounts.csv --ids-column "Job ID"
  bulkfetch fleet submit fleet.toml --exports          # all of [[exports]], as every night
  bulkfetch fleet submit fleet.toml --export Leads --account acme --full

Put a list of job ids, or exports, into the fleet's database, and print the number of the
submission, which `bulkfetch fleet wait` takes. All of it is submitted, or nothing: if a list cannot
be read to its end, or an export does not exist, nothing is. An account that is held, as `bulkfetch
fleet status` tells, is tried again.

A list may have any length. Jobs that are done, or have failed permanently, are not fetched again
without --again. An export that has ended is started again; if it has not ended yet, the submission
waits for the one that is there. Without --account, exports are those of every account that has
them.

An account is asked at the server of its data_center or api_domain. Where the fleet has results of
it from another server, nothing is submitted: the same ids there are other results. With --moved it
is the same org, which has moved to another data centre: what is done stays done.
"""

_EPILOG = exit_codes.epilog(
    s0="submitted, or the list is empty",
    s2="bad settings, no database, no such list or export, another server than before: nothing was "
    "submitted",
    s3="the list could not be read, or the database was lost meanwhile: submit it again",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Submit a list, or exports.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@id_lists
@click.option("--again", is_flag=True, help="Fetch also what is done or has failed permanently.")
@click.option(
    "--export", "names", multiple=True, metavar="NAME", help="Submit this export; repeatable."
)
@click.option("--exports", "every", is_flag=True, help="Submit all exports of FLEET.toml.")
@click.option("--full", is_flag=True, help="Export everything, not only changes.")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="NAME",
    help="The account of ids without one; exports of this account only, repeatable.",
)
@click.option(
    "--moved",
    multiple=True,
    metavar="ACCOUNT",
    help="Its org has moved to the server that FLEET.toml names now; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def submit(
    printer: Printer,
    fleet_file: str,
    lists: tuple[str, ...],
    ids_column: str | None,
    again: bool,
    names: tuple[str, ...],
    every: bool,
    full: bool,
    accounts: tuple[str, ...],
    moved: tuple[str, ...],
    as_json: bool,
) -> int:
    """Submit a list and exports, and return the exit status."""
    _require_fitting(lists, names, every, accounts, again=again, full=full)
    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)
    for name in moved:
        fleet.settings.account(name)  # raises ConfigError if there is no such account
    exports = fleet.chosen_exports(names, accounts) if names or every else []
    source = ", ".join([*lists, *(names or ("[[exports]]",) * every)])

    def put(jobs: Iterator[Job] | AsyncReader) -> Submitted:
        work = _submit(fleet, jobs, source, exports, again=again, full=full, moved=moved)
        return run_in_loop(work)

    if not lists:
        _tell(printer, put(iter(())))
        return exit_codes.DONE
    account = accounts[0] if accounts else None
    if account is not None:
        fleet.settings.account(account)
        settings = replace(fleet.settings, fallback_account=account)
        fleet = replace(fleet, settings=settings)
    options = ListOptions(fleet_file, None, (), lists, ids_column, account, None)
    if "-" in lists and os.isatty(0):
        printer.note("reading ids from the terminal; press Ctrl-D to end the list")
    with open_list(options, fleet.settings) as jobs:
        if jobs is None:
            printer.warn("the list is empty" + ("" if exports else ": nothing to do"))
        if jobs is not None or exports:
            _tell(printer, put(iter(()) if jobs is None else jobs))
    return exit_codes.DONE


def _require_fitting(
    lists: Sequence[str],
    names: Sequence[str],
    every: bool,
    accounts: Sequence[str],
    *,
    again: bool,
    full: bool,
) -> None:
    """Raise click.UsageError for options that say nothing together."""
    exports = bool(names) or every
    if not lists and not exports:
        raise click.UsageError("nothing to submit: give --ids FILE, --export NAME or --exports")
    if names and every:
        raise click.UsageError("--export and --exports cannot be used together")
    if again and not lists:
        raise click.UsageError("--again is for --ids: exports that have ended are begun again")
    if full and not exports:
        raise click.UsageError("--full is for --export and --exports")
    if lists and len(accounts) > 1:
        raise click.UsageError("--account can be given only once with --ids")


async def _submit(
    fleet: FleetSettings,
    jobs: Iterator[Job] | AsyncReader,
    source: str,
    exports: Sequence[ExportKey],
    *,
    again: bool,
    full: bool,
    moved: Sequence[str],
) -> Submitted:
    from bulkfetch.config.regions import results_servers
    from bulkfetch.errors import DatabaseLost
    from bulkfetch.fleet.database import may_pass, open_connection, refused
    from bulkfetch.fleet.submission import submit as submit_list
    from bulkfetch.ratelimit.postgres.schema import FAILED, host_of, reason

    url = fleet.fleet.database
    connection = await open_connection(url, fleet.password)
    try:
        return await submit_list(
            connection,
            jobs,
            results_servers(fleet.settings.accounts),
            source,
            again=again,
            exports=exports,
            full=full,
            moved=moved,
        )
    except FAILED as error:
        if not may_pass(error):
            raise refused(url, error) from None
        what = f"the fleet's database {host_of(url)} was lost while the list was submitted"
        raise DatabaseLost(f"{what}: {reason(error)}") from None
    finally:
        connection.terminate()


def _tell(printer: Printer, submitted: Submitted) -> None:
    printer.result(str(submitted.submission), _record(submitted))
    printer.note(_line(submitted))
    if submitted.refused:
        printer.warn(
            f"{counted(submitted.refused)} of the list cannot be fetched; `bulkfetch fleet wait` "
            "says why"
        )


def _record(submitted: Submitted) -> dict[str, object]:
    return {
        "type": "submission",
        **submitted._asdict(),
        "accounts": len(submitted.accounts),
    }


def _line(submitted: Submitted) -> str:
    parts = []
    if submitted.asked or not submitted.exports:
        parts.append(f"{counted(submitted.asked)} to be fetched")
    if submitted.exports:
        parts.append(f"{number(submitted.exports, 'export')} to be done")
    if submitted.accounts:
        parts = [" and ".join(parts) + f" for {number(len(submitted.accounts), 'account')}"]
    if submitted.done_before:
        parts.append(f"{submitted.done_before} done before")
    if submitted.failed_before:
        parts.append(f"{submitted.failed_before} failed permanently before (--again fetches them)")
    return f"submission {submitted.submission}: {', '.join(parts)}"
