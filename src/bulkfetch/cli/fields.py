"""`bulkfetch fields`: the columns of a module."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.modules import EPILOG
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.settings_source import file_and_rest, settings_source

if TYPE_CHECKING:
    from bulkfetch.control.client import ControlClient
    from bulkfetch.control.responses import ModuleField

# Of other types the length says how wide a form shows them.
_SIZED = frozenset({"text", "textarea", "email", "phone", "website"})

_ABOUT = """\b
Examples:
  bulkfetch fields jobs.toml Leads
  bulkfetch fields jobs.toml Leads --json

List the fields of a module, by the names that `fields` and `criteria` of [[exports]] take, each
with its type (--json also has the comparators that it takes). Costs two API credits, and needs the
scope ZohoCRM.settings.fields.READ. FLEET.toml may stand in place of JOBS.toml; --account then
chooses one of its accounts.
"""


@click.command(help=_ABOUT, short_help="List the fields of a module.", epilog=EPILOG)
@settings_source
@click.argument("module", metavar="MODULE", required=False)
@click.option("--account", metavar="NAME", help="The account to ask, if there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per field.")
@click.pass_obj
def fields(
    printer: Printer,
    settings_file: str | None,
    data_center: str | None,
    module: str | None,
    account: str | None,
    as_json: bool,
) -> int:
    """List the fields, and return the exit status."""
    from bulkfetch.cli.asking import ask
    from bulkfetch.exports.check import is_refused
    from bulkfetch.exports.comparators import kind_of

    printer.json = as_json
    file, names = file_and_rest(settings_file, [module] if module else [], data_center)
    if len(names) != 1:
        raise click.UsageError("name one MODULE")
    name = names[0]
    found = ask(printer, file, data_center, account, lambda control: _fields(control, name))
    if not found:
        printer.warn(f"Zoho tells no fields of {name}; an export of it goes unchecked")
    for field in sorted(found, key=lambda field: field.api_name):
        kind = kind_of(field.data_type, field.formula_type)
        refused = is_refused(name, field)
        record = {
            "type": "field",
            "module": name,
            "name": field.api_name,
            "label": field.field_label,
            "data_type": field.data_type,
            "json_type": field.json_type,
            "length": field.length,
            "decimal_place": field.decimal_place,
            "lookup": field.lookup_module,
            "formula": field.formula_type,
            "custom": field.custom_field,
            "visible": field.visible,
            "exportable": not refused,
            "comparators": list(kind.comparators) if kind else None,
        }
        line = f"{field.api_name}  {_type_text(field)}"
        printer.result(f"{line}, not exported by Zoho" if refused else line, record)
    return exit_codes.DONE


async def _fields(control: ControlClient, module: str) -> tuple[ModuleField, ...]:
    """Return a module's fields. Raises ConfigError where there is no such module."""
    from bulkfetch.config import Export
    from bulkfetch.config.misfit import Misfit
    from bulkfetch.errors import ConfigError, ScopeMismatch
    from bulkfetch.exports.check import find_module

    try:
        with suppress(ScopeMismatch):  # the fields may be told all the same
            find_module(Export(module=module), await control.modules())
    except Misfit as found:
        raise ConfigError(f"MODULE {found.sentence}", hint=found.advice) from None
    return await control.fields(module) or ()


def _type_text(field: ModuleField) -> str:
    """Return a type with what matters of it: `text(80)`, `lookup to Accounts`."""
    text = field.data_type
    if field.lookup_module:
        return f"{text} to {field.lookup_module}"
    if field.formula_type:
        return f"{text} of {field.formula_type}"
    return f"{text}({field.length})" if text in _SIZED and field.length else text
