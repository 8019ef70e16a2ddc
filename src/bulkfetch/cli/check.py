"""`bulkfetch check`: would a run have what it needs? Asks nothing of the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from bulkfetch.cli import exits
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError, MissingCredentials
from bulkfetch.observe.text import duration, size

if TYPE_CHECKING:
    from bulkfetch.config import AccountSettings, Settings

_ABOUT = """\b
Examples:
  bulkfetch check jobs.toml
  bulkfetch check jobs.toml --json

Tell every setting with where it came from, which credentials there are (never what they are), and
whether the output and state folders can be used. Nothing is asked of the network or changed on the
disk. The exit status is 3 where a run would not get far.
"""

_EPILOG = exits.epilog(
    s0="a run can start; there may be warnings",
    s2="usage or configuration; a run would start nothing",
    s3="a run would be aborted (credentials, disk, journal)",
    s130="interrupted, or stdout was closed",
)

Verdict = Literal["ok", "warning", "bad"]


class Finding(NamedTuple):
    """One thing looked at: what was found, where the setting came from (None: not a setting)."""

    name: str
    value: str
    origin: str | None = None
    verdict: Verdict = "ok"
    hint: str = ""

    @property
    def line(self) -> str:
        """The finding as text."""
        origin = f"  ({self.origin})" if self.origin else ""
        return f"{self.verdict:<7}  {self.name}: {self.value}{origin}"

    @property
    def record(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {
            "type": "check",
            "name": self.name,
            "value": self.value,
            "origin": self.origin,
            "verdict": self.verdict,
            "hint": self.hint,
        }


@click.command(help=_ABOUT, short_help="Tell whether a run has what it needs.", epilog=_EPILOG)
@click.argument("settings_file", metavar="JOBS.toml")
@click.option("--out", metavar="DIR", help="Where files go, instead of `out` in JOBS.toml.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def check(printer: Printer, settings_file: str, out: str | None, as_json: bool) -> int:
    """Look at everything that a run needs, and give the exit status."""
    from bulkfetch.config import load_settings

    printer.json = as_json
    settings = load_settings(settings_file, out=out)
    bad = False
    for finding in findings(settings):
        printer.result(finding.line, finding.record)
        if finding.hint:
            printer.result(f"         hint: {finding.hint}", None)
        bad = bad or finding.verdict == "bad"
    return exits.ABORTED if bad else exits.DONE


def findings(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield _out(settings)
    yield _state_dir(settings)
    if settings.ids_file is not None:
        yield _ids_file(settings)
    if settings.jobs:
        yield Finding("jobs", f"{len(settings.jobs)} in [[jobs]]", str(settings.source))
    for name, limit in asdict(settings.limits).items():
        yield Finding(f"limits.{name}", _limit(name, limit), settings.origin(f"limits.{name}"))
    for account in settings.accounts:
        yield from _account(settings, account)
    for warning in settings.warnings:
        yield Finding("settings", warning, verdict="warning")


def _limit(name: str, value: float | None) -> str:
    if value is None:  # threads
        return f"{os.cpu_count() or 1}, as many as cores"
    if name.endswith("bytes_per_s"):
        return f"{size(value)}/s" if value else "no limit"
    if name.endswith("_s"):
        return duration(value)
    for power, unit in ((3, "GiB"), (2, "MiB")):
        count, rest = divmod(value, 1024**power)
        if count and not rest:
            return f"{count:.0f} {unit}"
    return str(value)


def _out(settings: Settings) -> Finding:
    from bulkfetch.disk import free_bytes
    from bulkfetch.errors import RunError
    from bulkfetch.journal import OutputLock
    from bulkfetch.pipeline.places import STATE_DIR
    from bulkfetch.pipeline.preflight import lacking_room, require_writable

    origin = settings.origin("out")
    try:
        require_writable(settings.out)
        if (error := lacking_room(settings.out, settings.limits.free_bytes)) is not None:
            raise error
        holder = OutputLock.holder(settings.out / STATE_DIR)
    except RunError as error:
        named = str(settings.out) in error.message
        value = error.message if named else f"{settings.out}: {error.message}"
        return Finding("out", value, origin, "bad", error.hint)
    free = free_bytes(_existing(settings.out))
    value = f"{settings.out}, {'free room unknown' if free is None else f'{size(free)} free'}"
    if holder is not None:
        return Finding("out", f"{value}, held by {holder}", origin, "warning")
    return Finding("out", value, origin)


def _state_dir(settings: Settings) -> Finding:
    origin = "environment BULKFETCH_STATE_DIR" if "BULKFETCH_STATE_DIR" in os.environ else "default"
    hint = "Runs will not see one another's requests; BULKFETCH_STATE_DIR names another folder."
    if settings.state_dir is None:
        return Finding("state", "this user has no state folder", origin, "warning", hint)
    problem = _unusable(settings.state_dir)
    if problem is not None:
        return Finding("state", f"{settings.state_dir}: {problem}", origin, "warning", hint)
    return Finding("state", str(settings.state_dir), origin)


def _ids_file(settings: Settings) -> Finding:
    assert settings.ids_file is not None, "asked by the caller"
    origin = settings.origin("ids_file")
    if not os.access(settings.ids_file, os.R_OK):
        return Finding("ids_file", f"{settings.ids_file}: cannot be read", origin, "bad")
    return Finding("ids_file", str(settings.ids_file), origin)


def _account(settings: Settings, account: AccountSettings) -> Iterator[Finding]:
    own = f"accounts.{account.name}"
    key = own if any(name.startswith(f"{own}.") for name, _ in settings.origins) else "account"
    yield _servers(settings, account, key)
    yield _credentials(settings, account, key)
    window = account.window
    yield Finding(
        f"{key}.window",
        f"{window.requests} in {duration(window.period_s)} + {duration(window.margin_s)}, "
        f"{window.concurrency} at once",
        settings.origin(f"{key}.window.requests"),
    )
    proxy = next((url for url in (account.proxies.https, account.proxies.http) if url), None)
    if proxy is not None:
        # Not the address: it may hold a password.
        yield Finding(f"{key}.proxy", "set", "jobs.toml" if account.proxy else "environment")


def _servers(settings: Settings, account: AccountSettings, key: str) -> Finding:
    from bulkfetch.zoho.regions import servers

    if account.is_sandbox:
        return Finding(
            f"{key}.data_center",
            "sandbox, started inside the run",
            settings.origin(f"{key}.data_center"),
        )
    try:
        where = servers(account)
    except ConfigError as error:
        return Finding(f"{key}.api_domain", error.message, verdict="bad", hint=error.hint)
    chosen = "api_domain" if account.api_domain else "data_center"
    return Finding(f"{key}.api_domain", where.api_domain, settings.origin(f"{key}.{chosen}"))


def _credentials(settings: Settings, account: AccountSettings, key: str) -> Finding:
    name, given = f"{key}.credentials", account.credentials
    if account.is_sandbox:
        return Finding(name, "the sandbox's own")
    if account.token_command is not None:
        program = account.token_command[0]
        origin = settings.origin(f"{key}.token_command")
        if shutil.which(program) is None:
            return Finding(name, f"token_command: no program {program}", origin, "bad")
        return Finding(name, f"token_command: {Path(program).name}", origin)
    if given.can_refresh:
        origin = settings.origin(f"{key}.refresh_token")
        return Finding(name, "client id, client secret and refresh token are set", origin)
    if given.access_token is not None:
        origin = settings.origin(f"{key}.access_token")
        hint = "An access token lives an hour; a refresh token is better for longer runs."
        return Finding(name, "an access token is set", origin, "ok", hint)
    missing = MissingCredentials()
    return Finding(name, missing.message, None, "bad", missing.hint)


def _existing(path: Path) -> Path:
    """Give the path, or the nearest folder above it that there is."""
    path = path.absolute()
    # Not Path.exists: it raises where a folder above may not be searched by this user.
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def _unusable(path: Path) -> str | None:
    """Say why files cannot be made in a folder that is or will be made at `path`."""
    existing = _existing(path)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written"
    return None
