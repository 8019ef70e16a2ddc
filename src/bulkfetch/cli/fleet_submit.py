"""`bulkfetch fleet submit`: give a fleet a list to fetch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.options import ListOptions, id_lists, open_list
from bulkfetch.cli.printer import Printer
from bulkfetch.text import jobs as counted

if TYPE_CHECKING:
    from bulkfetch.cli.async_reader import AsyncReader
    from bulkfetch.config.fleet import FleetSettings
    from bulkfetch.fleet.submission import Submitted
    from bulkfetch.models import Job

_ABOUT = """\b
Examples:
  bulkfetch fleet submit fleet.toml --account acme --ids ids.txt
  bulkfetch fleet submit fleet.toml --ids accounts.csv --ids-column "Job ID"

Put a list of job ids into the fleet's journal, and print the number of the submission, by which
`bulkfetch fleet wait` knows it. The list is of any length, and is submitted as a whole: one that
cannot be read to its end leaves nothing. What is done already, or has failed permanently, is not
fetched again without --again; an account that is held is tried anew.
"""

_EPILOG = exit_codes.epilog(
    s0="submitted, or the list is empty",
    s2="bad settings, no database, or no such list: nothing was submitted",
    s3="the list could not be read, or the database was lost meanwhile: submit it again",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Give a fleet a list to fetch.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@id_lists(required=True)
@click.option("--again", is_flag=True, help="Fetch also what is done or has failed permanently.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def submit(
    printer: Printer,
    fleet_file: str,
    lists: tuple[str, ...],
    ids_column: str | None,
    account: str | None,
    again: bool,
    as_json: bool,
) -> int:
    """Submit a list, and return the exit status."""
    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)
    if account is not None:
        fleet.settings.account(account)  # raises ConfigError if there is no such account
        settings = replace(fleet.settings, fallback_account=account)
        fleet = replace(fleet, settings=settings)
    options = ListOptions(fleet_file, None, (), lists, ids_column, account, None)
    if "-" in lists and os.isatty(0):
        printer.note("reading ids from the terminal; press Ctrl-D to end the list")
    with open_list(options, fleet.settings) as jobs:
        if jobs is None:
            printer.warn("the list is empty: nothing to do")
            return exit_codes.DONE
        submitted = asyncio.run(_submit(fleet, jobs, ", ".join(lists), again))
    printer.result(str(submitted.submission), _record(submitted))
    printer.note(_line(submitted))
    if submitted.refused:
        printer.warn(
            f"{counted(submitted.refused)} of the list cannot be fetched; `bulkfetch fleet wait` "
            "says why"
        )
    return exit_codes.DONE


async def _submit(
    fleet: FleetSettings, jobs: Iterator[Job] | AsyncReader, source: str, again: bool
) -> Submitted:
    from bulkfetch.errors import DatabaseLost
    from bulkfetch.fleet.database import may_pass, open_connection, refused
    from bulkfetch.fleet.submission import submit as submit_list
    from bulkfetch.ratelimit.postgres.schema import FAILED, host_of, reason

    url = fleet.fleet.database
    connection = await open_connection(url, fleet.password)
    try:
        names = fleet.settings.account_names
        return await submit_list(connection, jobs, names, source, again=again)
    except FAILED as error:
        if not may_pass(error):
            raise refused(url, error) from None
        what = f"the fleet's database {host_of(url)} was lost while the list was submitted"
        raise DatabaseLost(f"{what}: {reason(error)}") from None
    finally:
        connection.terminate()


def _record(submitted: Submitted) -> dict[str, object]:
    return {
        "type": "submission",
        **submitted._asdict(),
        "accounts": len(submitted.accounts),
    }


def _line(submitted: Submitted) -> str:
    parts = [f"{counted(submitted.asked)} to be fetched"]
    if submitted.accounts:
        number = len(submitted.accounts)
        parts[0] += f" for {number} account" + ("" if number == 1 else "s")
    if submitted.done_before:
        parts.append(f"{submitted.done_before} done before")
    if submitted.failed_before:
        parts.append(f"{submitted.failed_before} failed permanently before (--again fetches them)")
    return f"submission {submitted.submission}: {', '.join(parts)}"
