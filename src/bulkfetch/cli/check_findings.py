"""Every setting with its value and its origin, as `bulkfetch check` shows them. Pure.

The fields of the settings' classes are listed, so that a new setting appears without a change here.
A setting that cannot work appears with its error. No finding contains a secret, or what may contain
one: the arguments of a command, the address of a proxy except its host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bulkfetch.cli import exit_codes
from bulkfetch.config.hosts import host_of
from bulkfetch.errors import BulkfetchError, ConfigError
from bulkfetch.secret import Secret
from bulkfetch.text import duration, size

if TYPE_CHECKING:
    from bulkfetch.config import AccountSettings, Settings
    from bulkfetch.readiness import SettingProblem

Verdict = Literal["ok", "warning", "bad"]
# Errors by the part of the settings and the account (None: of no single account).
Wrong = Mapping[tuple[str, str | None], BulkfetchError]

# Fields of Settings that `check_disk` covers, that have their own code below, or are no settings.
_OWN_WAY = frozenset(
    {"out", "state_dir", "ids_file", "accounts", "limits", "jobs", "exports"}
    | {"sandbox", "parquet", "destination", "window", "database_password"}
    | {"fallback_account", "source", "origins", "warnings"}
)
# The same of AccountSettings.
_ACCOUNTS_OWN_WAY = frozenset(
    {"name", "data_center", "api_domain", "accounts_url", "credentials", "proxy", "proxies"}
    | {"window", "control"}
)


class Finding(NamedTuple):
    """The result of one check; `origin` is where the setting came from, None if it is none.

    `code` is that of the error with which a run would end, None without one.
    """

    name: str
    value: str
    origin: str | None = None
    verdict: Verdict = "ok"
    hint: str = ""
    code: str | None = None

    @classmethod
    def of(cls, name: str, error: BulkfetchError, origin: str | None = None) -> Finding:
        """Return the finding for an error with which a run would end."""
        return cls(name, error.message, origin, "bad", error.hint, error.code)

    @property
    def line(self) -> str:
        """The finding as text."""
        origin = f"  ({self.origin})" if self.origin else ""
        code = "" if self.code in (None, ConfigError.code) else f"{self.code}: "
        return f"{self.verdict:<7}  {self.name}: {code}{self.value}{origin}"

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
            "code": self.code,
        }

    @property
    def exit_status(self) -> int:
        """The exit status of a run because of this."""
        if self.verdict != "bad":
            return exit_codes.DONE
        return exit_codes.USAGE if self.code == ConfigError.code else exit_codes.ABORTED


def exit_status(statuses: set[int]) -> int:
    """Return the exit status of a run: it finds configuration errors first."""
    return (
        exit_codes.USAGE if exit_codes.USAGE in statuses else max(statuses, default=exit_codes.DONE)
    )


def wrong_parts(problems: Iterator[SettingProblem]) -> Wrong:
    """Return the errors by part and account."""
    return {(problem.part, problem.account): problem.error for problem in problems}


def settings_findings(settings: Settings, wrong: Wrong) -> Iterator[Finding]:
    """Yield findings on every setting, except those that `check_disk` covers."""
    for field in fields(settings):
        if field.name not in _OWN_WAY:
            yield _setting(
                settings, field.name, settings, field.name, wrong.get((field.name, None))
            )
    if settings.fallback_account is not None:
        yield Finding("account", settings.fallback_account, "--account")
    yield _jobs(settings)
    yield _exports(settings)
    tables = (
        ("limits", settings.limits),
        ("parquet", settings.parquet),
        ("destination", settings.destination),
    )
    for heading, table in tables:
        for field in fields(table):
            yield _setting(settings, f"{heading}.{field.name}", table, field.name)
    yield from _window(settings, wrong)
    yield from _sandbox(settings, wrong)
    for account in settings.accounts:
        yield from _account(settings, account, wrong)
    for warning in settings.warnings:
        yield Finding("settings", warning, verdict="warning")


def _setting(
    settings: Settings, key: str, table: object, name: str, error: BulkfetchError | None = None
) -> Finding:
    """Return the finding on one setting of a table, which is called `key` as a whole."""
    if error is not None:
        return Finding.of(key, error, settings.origin(key))
    return Finding(key, shown(name, getattr(table, name)), settings.origin(key))


def table_of(settings: Settings, account: AccountSettings) -> str:
    """Return the name of an account's table in jobs.toml: `account`, or `accounts.NAME`."""
    own = f"accounts.{account.name}"
    names = (name for name, _ in settings.origins)
    return own if any(f"{name}.".startswith(f"{own}.") for name in names) else "account"


def shown(name: str, value: object) -> str:
    """Return the value of a setting as text for people."""
    match value:
        case None if name == "threads":
            return f"{os.cpu_count() or 1}, as many as cores"
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Secret():
            return "set"
        case tuple():  # a command, whose arguments may be secret
            return Path(str(value[0])).name
        case int() | float() if name.endswith("bytes_per_s"):
            return f"{size(value)}/s" if value else "no limit"
        case float() if name == "wait":
            return duration(value) if value < inf else "without limit"
        case int() | float() if name.endswith("_s"):
            return duration(value)
        case int() if name.endswith("_bytes"):
            return _size(value)
        case str() if not value:
            return '""'
    return str(value)


def _size(value: int) -> str:
    for power, unit in ((3, "GiB"), (2, "MiB")):
        count, rest = divmod(value, 1024**power)
        if count and not rest:
            return f"{count} {unit}"
    return str(value)


def _jobs(settings: Settings) -> Finding:
    count = len(settings.jobs)
    if not count:
        if settings.ids_file is not None:
            return Finding("jobs", "none in [[jobs]]")
        return Finding("jobs", "none listed: a run needs ids as arguments or with --ids")
    return Finding("jobs", f"{count} in [[jobs]]", _lines(settings, "jobs", count))


def _exports(settings: Settings) -> Finding:
    count = len(settings.exports)
    if not count:
        return Finding("exports", "none in [[exports]]")
    names = ", ".join(
        export.name + (f" (publish_to {export.publish_to})" if export.publish_to else "")
        for export in settings.exports
    )
    origin = _lines(settings, "exports", count)
    return Finding("exports", f"{count} in [[exports]]: {names}", origin)


def _lines(settings: Settings, key: str, count: int) -> str:
    """Return where a list of tables stands, from its first to its last."""
    first, last = (settings.origin(f"{key}[{number}]") for number in (1, count))
    return first if count == 1 else f"{first} to {last.rpartition(':')[2]}"


def _window(settings: Settings, wrong: Wrong) -> Iterator[Finding]:
    key = "window.shared"
    yield _setting(settings, key, settings.window, "shared", wrong.get((key, None)))
    if settings.database_password is not None:
        yield Finding("window.password", "set", "environment BULKFETCH_DATABASE_PASSWORD")


def _sandbox(settings: Settings, wrong: Wrong) -> Iterator[Finding]:
    if (error := wrong.get(("sandbox", None))) is not None:
        yield Finding.of("sandbox", error, settings.origin("sandbox"))
    for name, value in settings.sandbox:
        plain = isinstance(value, bool | int | float | str)
        key = f"sandbox.{name}"
        yield Finding(key, shown("", value) if plain else "set", settings.origin(key))


def _account(settings: Settings, account: AccountSettings, wrong: Wrong) -> Iterator[Finding]:
    key = table_of(settings, account)
    yield from _servers(settings, account, key)
    yield _credentials(settings, account, key, wrong)
    for field in fields(account.credentials):
        if getattr(account.credentials, field.name) is not None:
            name = f"{key}.{field.name}"
            yield Finding(name, "set", settings.origin(name))
    for field in fields(account):
        if field.name in _ACCOUNTS_OWN_WAY:
            continue
        error = wrong.get((field.name, account.name))
        yield _setting(settings, f"{key}.{field.name}", account, field.name, error)
    for heading, table in (("window", account.window), ("control", account.control)):
        for field in fields(table):
            yield _setting(settings, f"{key}.{heading}.{field.name}", table, field.name)
    yield from _proxies(settings, account, key)


def _servers(settings: Settings, account: AccountSettings, key: str) -> Iterator[Finding]:
    from bulkfetch.config.regions import DEFAULT_REGION, servers

    center = f"{key}.data_center"
    if account.is_sandbox:
        yield Finding(center, "sandbox, started inside the run", settings.origin(center))
        return
    chosen = account.data_center or ("none" if account.api_domain else DEFAULT_REGION)
    yield Finding(center, chosen, settings.origin(center))
    where = servers(account)
    api_from = f"{key}.api_domain" if account.api_domain else center
    yield Finding(f"{key}.api_domain", where.api_domain, settings.origin(api_from))
    if account.accounts_url is not None:
        accounts_from = f"{key}.accounts_url"
    else:
        accounts_from = center if account.data_center else api_from
    name, url = f"{key}.accounts_url", where.accounts_url
    yield Finding(name, url or "not known", settings.origin(accounts_from))


def _credentials(settings: Settings, account: AccountSettings, key: str, wrong: Wrong) -> Finding:
    from bulkfetch.zoho.token_choice import token_way

    name = f"{key}.credentials"
    if account.is_sandbox:
        return Finding(name, "the sandbox's own")
    if (error := wrong.get(("credentials", account.name))) is not None:
        origin = settings.origin(f"{key}.token_command") if account.token_command else None
        return Finding.of(name, error, origin)
    match token_way(account):
        case "command":
            assert account.token_command is not None, "as token_way says"
            program = shown("token_command", account.token_command)
            return Finding(
                name, f"token_command: {program}", settings.origin(f"{key}.token_command")
            )
        case "refresh":
            origin = settings.origin(f"{key}.refresh_token")
            return Finding(name, "client id, client secret and refresh token are set", origin)
        case "token":
            origin = settings.origin(f"{key}.access_token")
            hint = "An access token expires after an hour; use a refresh token for longer runs."
            return Finding(name, "an access token is set", origin, "ok", hint)


def _proxies(settings: Settings, account: AccountSettings, key: str) -> Iterator[Finding]:
    """Yield findings on each proxy by its host, since the address may contain a password."""
    if account.proxy is not None:
        told = _proxy_host(account.proxies.https) or "none, whatever the environment says"
        yield Finding(f"{key}.proxy", told, settings.origin(f"{key}.proxy"))
        return
    if account.proxies.https is None and account.proxies.http is None:
        yield Finding(f"{key}.proxy", "none", settings.origin(f"{key}.proxy"))
    for scheme, proxy in (("https", account.proxies.https), ("http", account.proxies.http)):
        if (host := _proxy_host(proxy)) is not None:
            origin = settings.origin(f"{key}.proxy.{scheme}")
            yield Finding(f"{key}.proxy", f"{host} for {scheme}", origin)
    if account.proxies.bypass:
        hosts = ", ".join(account.proxies.bypass)
        yield Finding(f"{key}.proxy", f"not for {hosts}", "environment NO_PROXY")


def _proxy_host(proxy: Secret | None) -> str | None:
    from urllib.parse import urlsplit

    if proxy is None:
        return None
    address = proxy.reveal()
    port = urlsplit(address).port
    return host_of(address) + (f":{port}" if port else "")
