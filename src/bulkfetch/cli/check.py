"""`bulkfetch check`: whether a run has what it needs. No network access without --online."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.settings_source import load, require_source, settings_source

if TYPE_CHECKING:
    from bulkfetch.cli.check_findings import Finding

_ABOUT = """\b
Examples:
  bulkfetch check jobs.toml
  bulkfetch check jobs.toml --json
  bulkfetch check jobs.toml --online

Show every setting and its origin, which credentials are set (never their values), and whether the
output and state folders can be used. Makes no network request and changes nothing on the disk. The
exit status is that of a run with these settings.

With --online, request one token from each account's accounts server (or token_command), and connect
once to its API server as a run would. No result is requested, so nothing counts against the limit.
"""

_EPILOG = exit_codes.epilog(
    s0="a run can start; there may be warnings",
    s2="usage or configuration error: a run would not start",
    s3="a run would be aborted (credentials, disk, journal; with --online: token, connection)",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Check whether a run has what it needs.", epilog=_EPILOG)
@settings_source
@click.option("--out", metavar="DIR", help="The output folder, instead of `out` in JOBS.toml.")
@click.option("--online", is_flag=True, help="Request one token, and connect once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def check(
    printer: Printer,
    settings_file: str | None,
    data_center: str | None,
    out: str | None,
    online: bool,
    as_json: bool,
) -> int:
    """Check everything that a run needs, and return the exit status."""
    from bulkfetch.cli.check_disk import disk_findings
    from bulkfetch.cli.check_findings import settings_findings, wrong_parts
    from bulkfetch.readiness import problems

    require_source(settings_file, data_center)
    printer.json = as_json
    settings = load(settings_file, data_center, out=out)
    wrong = wrong_parts(problems(settings))
    found: Iterator[Finding] = chain(disk_findings(settings), settings_findings(settings, wrong))
    if online:
        from bulkfetch.cli.check_online import online_findings

        found = chain(found, online_findings(settings, wrong))
    return tell_findings(printer, found)


def tell_findings(printer: Printer, found: Iterator[Finding]) -> int:
    """Write findings as they come, and return the exit status that follows from them."""
    from bulkfetch.cli.check_findings import exit_status

    statuses = set()
    for finding in found:
        printer.result(finding.line, finding.record)
        if finding.hint:
            printer.result(f"         hint: {finding.hint}", None)
        statuses.add(finding.exit_status)
    return exit_status(statuses)
