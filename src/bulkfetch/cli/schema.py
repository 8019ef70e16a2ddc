"""`bulkfetch schema`: what jobs.toml may hold, for editors."""

from __future__ import annotations

import json

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer

_ABOUT = """\b
Examples:
  bulkfetch schema > jobs.schema.json
  bulkfetch schema --fleet > fleet.schema.json
  bulkfetch schema --events > events.schema.json

Print the JSON Schema of jobs.toml. Editors that know TOML (Even Better TOML for VS Code, taplo)
complete and check the keys of a jobs.toml whose first line is

  #:schema ./jobs.schema.json

when that file lies beside it. What must fit together, such as accounts and jobs, only
`bulkfetch check` can tell.

With --fleet, print the schema of FLEET.toml, the settings of `bulkfetch fleet`.

With --events, print the schema of a line of the file that --events of `run` and `export` writes.
"""

_EPILOG = exit_codes.epilog(
    s0="the schema is printed", s2="usage", s130="interrupted, or stdout was closed"
)


@click.command(help=_ABOUT, short_help="Print the JSON Schema of jobs.toml.", epilog=_EPILOG)
@click.option("--events", is_flag=True, help="The schema of events, not of jobs.toml.")
@click.option("--fleet", is_flag=True, help="The schema of FLEET.toml, not of jobs.toml.")
@click.pass_obj
def schema(printer: Printer, events: bool, fleet: bool) -> int:
    """Print the schema, and return the exit status."""
    if events and fleet:
        raise click.UsageError("--events and --fleet cannot be used together")
    if events:
        from bulkfetch.observe.event_shapes import event_schema

        printer.result(json.dumps(event_schema(), indent=2), None)
        return exit_codes.DONE
    from bulkfetch.config.schema import fleet_schema, json_schema

    printer.result(json.dumps(fleet_schema() if fleet else json_schema(), indent=2), None)
    return exit_codes.DONE
