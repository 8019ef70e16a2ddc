"""What can be set, as frozen values.

Each `…Table` is what one table of jobs.toml may hold; the settings made of it add what comes from
the environment, so that no secret has a key in the file. Nothing here reads a file, a variable or
the clock, but for where the state directory is by default. Every value pickles, for settings may
cross a process boundary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bulkfetch.config import checks
from bulkfetch.config.checks import DataCenter
from bulkfetch.config.hosts import is_loopback, server_url
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.proxies import Proxies
from bulkfetch.config.state_dir import state_dir as default_state_dir
from bulkfetch.config.tables import Checked, each, free, setting, table, tables
from bulkfetch.config.values import (
    flag,
    number,
    optional,
    path,
    seconds,
    secret,
    sendable,
    size,
    size_or_zero,
    text,
    whole,
)
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

# Zoho: "Only 10 requests for download are allowed for one-minute interval."
ZOHO_REQUESTS = 10
ZOHO_PERIOD_S = 60.0
# The download page documents this path without `bulk` once, in prose; its own sample, the other
# endpoints and the SDK all have it. Hence the default, and hence a setting.
RESULT_PATH = "/crm/bulk/{version}/read/{job_id}/result"


def _jobs(value: object) -> tuple[JobEntry, ...]:
    if isinstance(value, Mapping):
        raise Misfit("should be a list of tables", hint="Write [[jobs]], in double brackets.")
    if isinstance(value, str) or (isinstance(value, list) and any(map(_no_table, value))):
        raise Misfit(
            "should be a list of tables",
            hint='Write [[jobs]] and below it id = "554023000000568002", each time; or put the ids '
            "into a file and name it as ids_file.",
        )
    return each(table(JobEntry))(value)


def _no_table(item: object) -> bool:
    return not isinstance(item, Mapping | JobEntry)


class WindowSettings(Checked):
    """How many result requests may reach the server: `requests` in any rolling `period_s`.

    `margin_s` is added to the period. `concurrency` bounds the requests in flight at once, whose
    cap at Zoho depends on the edition (5 to 25). The bounds against Zoho's own limit are checked
    by `Settings`, since a loopback server may be given a faster window.
    """

    requests: int = setting(whole(1, 1_000_000), ZOHO_REQUESTS)
    period_s: float = setting(seconds, ZOHO_PERIOD_S)
    margin_s: float = setting(number(0, 3_600), 1.0)
    concurrency: int = setting(whole(1, 1_000), 10)

    @property
    def exceeds_zoho(self) -> bool:
        """Whether this window would let more through than Zoho allows."""
        return self.requests > ZOHO_REQUESTS or self.period_s < ZOHO_PERIOD_S


class Limits(Checked):
    """Guards against what no honest result does. Sizes in bytes, times in seconds."""

    # A larger result is refused.
    zip_bytes: int = setting(size, 4 * 1024**3)
    # What one archive may unpack to.
    file_bytes: int = setting(size, 64 * 1024**3)
    # When staging holds more, no further request starts.
    staging_bytes: int = setting(size, 64 * 1024**3)
    # Refused archives kept for inspection; the oldest go first.
    quarantine_bytes: int = setting(size, 1024**3)
    # Of the disk, left free for the journal and for others; nothing is asked where there is less.
    free_bytes: int = setting(size_or_zero, 64 * 1024**2)
    # To a connection, TLS included.
    connect_s: float = setting(seconds, 30.0)
    # From the request's last byte to the head of its answer.
    headers_s: float = setting(seconds, 60.0)
    # No byte for so long: the attempt is given up.
    idle_s: float = setting(seconds, 60.0)
    # Slower over a minute: given up; 0 for no limit.
    min_bytes_per_s: int = setting(whole(0), 1_000)
    # Per job, beyond those that a 429 cost.
    tries: int = setting(whole(1, 100), 5)
    # That unpack; None: as many as cores.
    threads: int | None = setting(optional(whole(1, 256)), None)


class JobEntry(Checked):
    """One `[[jobs]]` table. `account` None: the one that there is."""

    id: str = field(metadata={"check": checks.job_id})
    account: str | None = setting(optional(text), None)
    name: str | None = setting(optional(checks.stem), None)

    @property
    def stem(self) -> str:
        """The published file's name without its ending."""
        return self.name or self.id


class AccountTable(Checked):
    """What `[account]` and `[accounts.NAME]` may hold."""

    data_center: DataCenter | None = setting(optional(checks.data_center), None)
    api_domain: str | None = setting(optional(checks.server), None)
    accounts_url: str | None = setting(optional(checks.server), None)
    version: str = setting(checks.version, "v8")
    result_path: str = setting(checks.result_path, RESULT_PATH)
    token_command: tuple[str, ...] | None = setting(optional(checks.command), None)
    token_cache: bool | Literal["keyring"] = setting(checks.token_cache, True)
    env_prefix: str = setting(checks.prefix, "")
    secrets_file: Path | None = setting(optional(path), None)
    ca_file: Path | None = setting(optional(path), None)
    proxy: Secret | None = setting(optional(secret), None)
    window: WindowSettings = setting(table(WindowSettings), WindowSettings())


class Credentials(Checked):
    """What a token is got with; all from the environment or a secrets file, None where not set."""

    access_token: Secret | None = setting(optional(sendable), None)
    client_id: Secret | None = setting(optional(sendable), None)
    client_secret: Secret | None = setting(optional(sendable), None)
    refresh_token: Secret | None = setting(optional(sendable), None)

    @property
    def can_refresh(self) -> bool:
        """Whether all three parts that the accounts server asks for are there."""
        return None not in (self.client_id, self.client_secret, self.refresh_token)


class AccountSettings(AccountTable):
    """One account with all that is needed to ask for its results.

    `api_domain` and `accounts_url` are None where `data_center` gives them; see zoho.regions.
    `proxies` are the explicit `proxy` or the environment's.
    """

    name: str = setting(checks.account_name, "default")
    credentials: Credentials = setting(table(Credentials), Credentials())
    proxies: Proxies = setting(checks.proxies, Proxies())

    @property
    def is_sandbox(self) -> bool:
        """Whether the built-in stand-in is to be started for this account."""
        return self.data_center == "sandbox" and self.api_domain is None

    @property
    def is_local(self) -> bool:
        """Whether its server runs on this machine."""
        if self.api_domain is None:
            return self.data_center == "sandbox"
        return is_loopback(self.api_domain)

    def at(self, base_url: str, credentials: Credentials) -> AccountSettings:
        """Point the account at a server on this machine that plays both API and accounts server.

        Raises ValueError for an address that is not loopback.
        """
        if not is_loopback(base_url):
            raise ValueError("not a loopback address")
        base = server_url(base_url)
        return replace(self, api_domain=base, accounts_url=base, credentials=credentials)


def exceeds_zoho(account: AccountSettings) -> tuple[str, str, str] | None:
    """Return which setting of a window is more than Zoho allows, why not, and a hint; None if none.

    Faster than Zoho's may be asked no server but one on this machine.
    """
    window = account.window
    if account.is_local or not window.exceeds_zoho:
        return None
    return (
        "requests" if window.requests > ZOHO_REQUESTS else "period_s",
        f"Zoho allows {ZOHO_REQUESTS} requests in {ZOHO_PERIOD_S:.0f} s; requests can only be "
        "lower, period_s only longer",
        "Only a server on this machine may be asked faster.",
    )


class Tables(Checked):
    """What jobs.toml may hold at top level."""

    out: Path = setting(path, Path("exports"))
    ids_file: Path | None = setting(optional(path), None)
    ids_column: str | int | None = setting(optional(checks.column), None)
    keep_zip: bool = setting(flag, False)
    # A file that bulkfetch did not publish may be replaced.
    overwrite: bool = setting(flag, False)
    # Of each published file, in the report; a third of the time to unpack.
    sha256: bool = setting(flag, True)
    account: AccountTable | None = setting(optional(table(AccountTable)), None)
    accounts: Mapping[str, AccountTable] | None = setting(
        optional(tables(AccountTable, checks.account_name)), None
    )
    limits: Limits = setting(table(Limits), Limits())
    jobs: tuple[JobEntry, ...] = setting(_jobs, ())
    sandbox: Mapping[str, Any] | None = setting(optional(free), None)


class Settings(Checked):
    """Everything a run needs to know but the ids. Immutable; made by `load_settings` or in code.

    `out`, `ids_file` are as the user gave them: relative to the working directory where the
    settings file was named so. `fallback_account` is the one of ids that name none, None where
    that goes by the accounts' names (`default_account`). `state_dir` is this user's by default,
    see `config.state_dir`; None where there is none, or in order to share nothing with other
    processes. `sandbox` are options for the built-in stand-in, `dict(settings.sandbox)`.
    `warnings` are sentences to be told once.

    Raises ConfigError where a value is right by itself but not beside the others.
    """

    out: Path = setting(path, Path("exports"))
    accounts: tuple[AccountSettings, ...] = setting(
        each(table(AccountSettings), least=1), (AccountSettings(),)
    )
    limits: Limits = setting(table(Limits), Limits())
    ids_file: Path | None = setting(optional(path), None)
    ids_column: str | int | None = setting(optional(checks.column), None)
    keep_zip: bool = setting(flag, False)
    # A file that bulkfetch did not publish may be replaced.
    overwrite: bool = setting(flag, False)
    sha256: bool = setting(flag, True)
    jobs: tuple[JobEntry, ...] = setting(_jobs, ())
    sandbox: tuple[tuple[str, Any], ...] = ()
    fallback_account: str | None = setting(optional(checks.account_name), None)
    state_dir: Path | None = field(
        default_factory=lambda: default_state_dir(os.environ), metadata={"check": optional(path)}
    )
    source: Path | None = setting(optional(path), None)
    origins: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for account in self.accounts:
            if (excess := exceeds_zoho(account)) is not None:
                setting_, sentence, hint = excess
                raise ConfigError(
                    f"account {account.name}: window.{setting_}: {sentence}", hint=hint
                )

    def account(self, name: str) -> AccountSettings:
        """Give an account by its name. Raises ConfigError where there is no such account."""
        for account in self.accounts:
            if account.name == name:
                return account
        names = ", ".join(account.name for account in self.accounts)
        raise ConfigError(f"unknown account {name[:64]!a}", hint=f"There is: {names}.")

    @property
    def default_account(self) -> str | None:
        """The account of ids that name none: `fallback_account`, the only one, or `default`.

        None where there is none of these.
        """
        if self.fallback_account is not None:
            return self.fallback_account
        names = [account.name for account in self.accounts]
        return names[0] if len(names) == 1 else "default" if "default" in names else None

    @cached_property
    def entries(self) -> Mapping[str, JobEntry]:
        """`jobs` by id; of several with one id, the first."""
        return {entry.id: entry for entry in reversed(self.jobs)}

    @cached_property
    def shared_entries(self) -> Mapping[str, tuple[JobEntry, ...]]:
        """Those of `jobs` whose id stands under several accounts, by id."""
        found: dict[str, dict[str | None, JobEntry]] = {}
        for entry in self.jobs:
            found.setdefault(entry.id, {}).setdefault(entry.account or self.default_account, entry)
        return {key: tuple(group.values()) for key, group in found.items() if len(group) > 1}

    def origin(self, key: str) -> str:
        """Say where a setting came from: `jobs.toml:12`, an environment variable, `default`."""
        return dict(self.origins).get(key, "default")
