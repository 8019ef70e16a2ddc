"""`bulkfetch init`: write a settings file to start from."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.misplaced import SETTINGS
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError

_ABOUT = """\b
Examples:
  bulkfetch init --data-center eu
  bulkfetch init crm.toml --data-center us
  bulkfetch init --data-center eu --account emea --account apac

Write a settings file with the keys that are used most, commented, and tell what to do next. FILE is
jobs.toml by default; a file that exists is left as it is. Without --data-center the file is for the
built-in sandbox, which needs no account. With --account each NAME gets a table, and credentials of
its own.
"""

_EPILOG = exit_codes.epilog(
    s0="the file is written; its path is on stdout",
    s2="usage error, or the file exists or cannot be written",
    s130="interrupted, or stdout was closed",
)

_SANDBOX = "sandbox"
# What renews access tokens, and the token itself: parts of the names of variables.
_RENEWING = ("client_id", "client_secret", "refresh_token")
_PARTS = (*_RENEWING, "access_token")
# Of an account; the names of variables are put in.
_TABLE = """\
[{table}]
data_center = "{data_center}"{pad}# us eu in au jp cn ca sa uk ae; "sandbox" needs no account
{prefix}# Secrets are never written here. They come from the environment, from secrets_file (of
# KEY=VALUE lines that only you can read), or from a command that prints an access token:
#   {client_id}, {client_secret} and {refresh_token},
#     which renew access tokens (best), or
#   {access_token}, valid for an hour.
# secrets_file = "zoho.env"
# token_command = ["pass", "show", "zoho/access-token"]
# [{table}.window]
# requests = 7                    # of Zoho's 10 in a minute, if other programs use the account
"""


@click.command(help=_ABOUT, short_help="Write a settings file to start from.", epilog=_EPILOG)
@click.argument("file", metavar="[FILE]", default=SETTINGS)
@click.option("--data-center", metavar="NAME", help="Where the org is (such as us, eu).")
@click.option(
    "--account",
    "names",
    multiple=True,
    metavar="NAME",
    help="Give an account a table of its own; repeatable.",
)
@click.pass_obj
def init(printer: Printer, file: str, data_center: str | None, names: tuple[str, ...]) -> int:
    """Write the file, and return the exit status."""
    chosen = data_center or _SANDBOX
    require_names(chosen, names)
    write_new(Path(file), settings_text(chosen, names))
    printer.result(file, None)
    words = shlex.join(["bulkfetch", "check", file])
    if chosen != _SANDBOX:
        variables = [_variable(name, part) for name in names or ("",) for part in _RENEWING]
        printer.note(f"next: set {', '.join(variables)} in the environment, then {words}")
    elif data_center is None:
        printer.note(f'next: {words}; data_center is "{_SANDBOX}" until you change it to yours')
    else:
        printer.note(f"next: {words}")
    return exit_codes.DONE


def require_names(data_center: str, names: Sequence[str]) -> None:
    """Raise ConfigError for a data centre that there is not, and for accounts that cannot be so."""
    from bulkfetch.config import AccountSettings  # late: they import all settings

    for name in names or ("default",):
        AccountSettings(name=name, data_center=data_center)  # type: ignore[arg-type]  # is checked
    if len(set(map(prefix_of, names))) < len(names):
        raise ConfigError(
            "two accounts would have the same variables",
            hint="Their names must differ in more than case and punctuation.",
        )


def settings_text(data_center: str, names: Sequence[str]) -> str:
    """Return the text of a settings file; `names` of accounts, none for the only one."""
    template = (files("bulkfetch.cli") / "init.template.toml").read_text(encoding="utf-8")
    tables = [_table(data_center, name) for name in names or ("",)]
    first = f'account = "{names[0] if names else "default"}"'
    filled = template.replace("@accounts@\n", "\n".join([*tables, ""]))
    return filled.replace("@account@", f"{first:<31}")


def prefix_of(name: str) -> str:
    """Return what stands before the variables of an account, "" for the one without a name."""
    return f"{re.sub('[^A-Z0-9]', '_', name.upper())}_" if name else ""


def _variable(name: str, part: str) -> str:
    return f"{prefix_of(name)}ZOHO_{part.upper()}"


def _table(data_center: str, name: str) -> str:
    prefix = prefix_of(name)
    quoted = f'"{name}"' if "." in name else name
    return _TABLE.format(
        table=f"accounts.{quoted}" if name else "account",
        data_center=data_center,
        pad=" " * (34 - len(f'data_center = "{data_center}"')),
        prefix=f'env_prefix = "{prefix}"\n' if prefix else "",
        **{part: _variable(name, part) for part in _PARTS},
    )


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet. Raises ConfigError, with nothing left half-done."""
    try:
        # Not an existing one, nor what a link leads to.
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                os.unlink(path)
                raise
    except FileExistsError:
        raise ConfigError(
            f"{path} exists, and is left as it is",
            hint="Give another name: bulkfetch init other.toml",
        ) from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{path}: {said}", hint="Give a path that can be written.") from None
