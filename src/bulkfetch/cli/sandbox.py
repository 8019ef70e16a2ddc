"""`bulkfetch sandbox`: serve the local stand-in for Zoho until told to stop."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError, NotWritable

if TYPE_CHECKING:
    from bulkfetch.sandbox import SandboxOptions

_ABOUT = """\b
Examples:
  bulkfetch sandbox
  bulkfetch sandbox --port 8080 --records 20000 --requests 10 --period 5
  bulkfetch sandbox --fault-share 0.3 --fault INTERNAL_ERROR --fault close_in_body
  bulkfetch sandbox --module Leads=500000 --prepare 30 --credits 5000
  bulkfetch sandbox --auth

Serve a local stand-in for Zoho CRM's Bulk Read until Ctrl-C. Any job id has a result, made from the
seed, and so has any query for one of its modules. It counts requests as strictly as Zoho, and shows
the faults that --fault names. With --auth it issues and refuses tokens as Zoho does, for made-up
credentials that are valid nowhere else. stdout gets its address, with --json as a line of JSON.
"""

# Made up, in Zoho's format; only the sandbox accepts them.
_CLIENT_ID = "1000.SANDBOXCLIENT"
_CLIENT_SECRET = "sandbox-client-secret"
_REFRESH_TOKEN = "1000.sandbox.refresh"

_EPILOG = """\b
Exit status:
  0  stopped
  2  usage error: nothing was started
  3  the port is not available, or the log cannot be written
"""


class _Finite(click.FloatRange):
    """A range without nan and inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail as click does."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def _sizes(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, int]:
    """Read each `NAME=RECORDS`, or fail as click does."""
    sizes = {}
    for text in given:
        name, _, records = text.partition("=")
        if not name.isidentifier() or not (records.isascii() and records.isdecimal()):
            raise click.BadParameter(f"{text!a} is not of the form Leads=5000.")
        sizes[name] = int(records)
    return sizes


@click.command(help=_ABOUT, short_help="Serve the local stand-in for Zoho.", epilog=_EPILOG)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Default: a free one.")
@click.option(
    "--requests", type=click.IntRange(1), help="Downloads allowed per period. Default: 10."
)
@click.option(
    "--period", "period_s", type=_Finite(0, min_open=True), help="Seconds of a period. Default: 60."
)
@click.option(
    "--window", type=click.Choice(["rolling", "fixed"]), help="How periods begin. Default: rolling."
)
@click.option(
    "--lockout",
    "lockout_s",
    type=_Finite(0),
    help="Seconds that an account is blocked. Default: a period.",
)
@click.option(
    "--retry-after", type=click.Choice(["seconds", "date"]), help="Send this header with a 429."
)
@click.option("--records", type=click.IntRange(0), help="Records of each CSV. Default: 200000.")
@click.option("--columns", type=click.IntRange(1), help="Columns of each CSV. Default: 20.")
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="NAME=RECORDS",
    callback=_sizes,
    help="Records of a module; repeatable. Default: those of a CSV.",
)
@click.option("--per-page", type=click.IntRange(1), help="Records of a page. Default: 200000.")
@click.option(
    "--prepare", "prepare_s", type=_Finite(0), help="Seconds until a job is ready. Default: 1."
)
@click.option(
    "--credits",
    "credits_per_day",
    type=click.IntRange(0),
    help="API credits per day. Default: no limit.",
)
@click.option("--seed", type=int, help="Another seed makes other records. Default: 0.")
@click.option("--auth", is_flag=True, help="Accept only tokens that it has issued for credentials.")
@click.option("--client-id", metavar="ID", help="With --auth. Default: printed.")
@click.option("--client-secret", metavar="SECRET", help="With --auth. Default: printed.")
@click.option("--refresh-token", metavar="TOKEN", help="With --auth. Default: printed.")
@click.option(
    "--bandwidth",
    "bandwidth_bytes_per_s",
    type=_Finite(0, min_open=True),
    help="Bytes per second of each download.",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME", help="A fault to show; repeatable."
)
@click.option(
    "--fault-share",
    type=_Finite(0, 1),
    default=1.0,
    help="Share of requests with a fault. Default: 1.",
)
@click.option(
    "--log",
    "log_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write each request to this file, as JSON lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the address as a line of JSON.")
@click.pass_obj
def sandbox(
    printer: Printer,
    /,
    port: int,
    faults: tuple[str, ...],
    modules: dict[str, int],
    fault_share: float,
    as_json: bool,
    client_id: str | None,
    client_secret: str | None,
    refresh_token: str | None,
    **given: Any,
) -> int:
    """Serve until a signal comes."""
    import asyncio

    from bulkfetch.sandbox import (
        AccountSpec,
        FaultRule,
        ModuleSpec,
        SandboxOptions,
        UnknownFault,
    )

    printer.json = as_json
    if not given["auth"] and (client_id or client_secret or refresh_token):
        raise click.UsageError("--client-id, --client-secret and --refresh-token need --auth")
    if given["auth"]:
        given["accounts"] = {
            "default": AccountSpec(
                client_id=client_id or _CLIENT_ID,
                client_secret=client_secret or _CLIENT_SECRET,
                refresh_tokens=(refresh_token or _REFRESH_TOKEN,),
            )
        }
    options = {name: value for name, value in given.items() if value is not None}
    options["modules"] = {name: ModuleSpec(records=records) for name, records in modules.items()}
    if faults:
        options["rules"] = (FaultRule(fault_share, faults),)
    try:
        asyncio.run(_serve(printer, SandboxOptions(**options), port))
    except UnknownFault as error:
        raise ConfigError(f"--fault: {error.sentence}", hint=error.hint) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        log_file = options.get("log_file")
        if log_file is not None and error.filename == os.fspath(log_file):
            raise _unwritten(log_file, error) from None
        raise NotWritable(
            f"cannot serve at port {port}: {error.strerror or error}", hint="Give another --port."
        ) from None
    return exit_codes.DONE


def _unwritten(log_file: Path, error: OSError) -> NotWritable:
    return NotWritable(
        f"cannot write the log {log_file}: {error.strerror or error}",
        hint="Give --log a file in an existing folder that can be written and has space.",
    )


async def _serve(printer: Printer, options: SandboxOptions, port: int) -> None:
    import asyncio

    from bulkfetch.cli.signals import stop_on_signals
    from bulkfetch.sandbox import Sandbox

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    with stop_on_signals(loop, lambda _: stopped.set(), stopped.set):
        async with Sandbox(options, port=port) as served:
            record = {"type": "sandbox", "url": served.url, **_credentials(options)}
            await printer.send(served.url, record)
            printer.raw(_how_to(served.url, options))
            await stopped.wait()
    if options.log_file is not None and served.log_failure is not None:
        raise _unwritten(options.log_file, served.log_failure)


def _how_to(url: str, options: SandboxOptions) -> str:
    window = ""
    if (options.requests, options.period_s) != (10, 60.0):
        window = (
            "\n  [account.window]\n"
            f"  requests = {options.requests}\n  period_s = {options.period_s:g}\n"
        )
    given = _credentials(options) or {"access_token": "anything"}
    variables = " ".join(f"ZOHO_{name.upper()}={shlex.quote(v)}" for name, v in given.items())
    return f"""\
Serving; press Ctrl-C to stop. A jobs.toml for it:

  out = "exports"
  [account]
  api_domain = "{url}"
{window}
and the command: {variables} bulkfetch run jobs.toml 554023000000568002"""


def _credentials(options: SandboxOptions) -> dict[str, str]:
    """Return its credentials by the names of the settings; nothing without --auth."""
    if not options.auth:
        return {}
    [spec] = options.accounts.values()
    return {
        "client_id": spec.client_id or "",
        "client_secret": spec.client_secret or "",
        "refresh_token": spec.refresh_tokens[0],
    }
