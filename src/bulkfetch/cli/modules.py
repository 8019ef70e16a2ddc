"""`bulkfetch modules`: what an account can export."""

from __future__ import annotations

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.settings_source import require_source, settings_source

_ABOUT = """\b
Examples:
  bulkfetch modules jobs.toml
  bulkfetch modules jobs.toml --json | jq 'select(.custom) | .name'

List the modules that can be exported, by the names that [[exports]] takes (--json lists all of
them). Costs one API credit, and needs the scope ZohoCRM.settings.modules.READ. FLEET.toml may stand
in place of JOBS.toml; --account then chooses one of its accounts.
"""

EPILOG = exit_codes.epilog(
    s0="the list was shown",
    s2="usage or configuration error",
    s3="Zoho did not answer the question (credentials, scope, network, credits)",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="List the modules that can be exported.", epilog=EPILOG)
@settings_source
@click.option("--account", metavar="NAME", help="The account to ask, if there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per module.")
@click.pass_obj
def modules(
    printer: Printer,
    settings_file: str | None,
    data_center: str | None,
    account: str | None,
    as_json: bool,
) -> int:
    """List the modules, and return the exit status."""
    from bulkfetch.cli.asking import ask
    from bulkfetch.exports.check import can_export

    require_source(settings_file, data_center)
    printer.json = as_json
    found = ask(printer, settings_file, data_center, account, lambda control: control.modules())
    for module in sorted(found, key=lambda module: module.api_name):
        record = {
            "type": "module",
            "name": module.api_name,
            "label": module.plural_label,
            "exportable": can_export(module),
            "custom": module.generated_type == "custom",
            "generated_type": module.generated_type,
            "visible": module.visible,
            "viewable": module.viewable,
            "status": module.status,
        }
        printer.result(module.api_name if can_export(module) else None, record)
    return exit_codes.DONE
