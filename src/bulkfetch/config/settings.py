"""What can be set, as frozen values.

Each `…Table` is what one table of jobs.toml may hold; the settings made of it add what comes from
the environment, so that no secret has a key in the file. Nothing here reads a file, a variable or
the clock, but for where the state directory is by default. Every value pickles, for settings may
cross a process boundary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, FailFast, Field, SkipValidation

from bulkfetch.config import fields
from bulkfetch.config.account_key import refuse_same_credentials
from bulkfetch.config.bounds import ControlSettings, Limits, SharedWindow, WindowSettings
from bulkfetch.config.bucket import BucketPlace, DestinationSettings, PublishTo, place_of
from bulkfetch.config.export import Export, ExportTable, ModuleName
from bulkfetch.config.hosts import is_loopback, server_url
from bulkfetch.config.misfit import Misfit, unknown
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.config.proxies import Proxies
from bulkfetch.config.tables import Table, setting
from bulkfetch.errors import ConfigError
from bulkfetch.models import Format, Job
from bulkfetch.quota import ZOHO_PERIOD_S, ZOHO_REQUESTS
from bulkfetch.state_dir import state_dir as default_state_dir

# The download page documents this path without `bulk` once, in prose; its own sample, the other
# endpoints and the SDK all have it. Hence the default, and hence a setting.
RESULT_PATH = "/crm/bulk/{version}/read/{job_id}/result"


class JobEntry(Table):
    """One `[[jobs]]` table. `account` None: the one that there is."""

    id: Annotated[fields.JobId, Field(description="The job's id: 1 to 20 digits, in quotes.")]
    account: fields.Text | None = setting(None, "Needed where there are several accounts.")
    name: fields.Stem | None = setting(None, "The published file's name without its extension.")
    module: ModuleName | None = setting(
        None, "Of which it is, by its API name: for the types of a Parquet file's columns."
    )

    @property
    def stem(self) -> str:
        """The published file's name without its extension."""
        return self.name or self.id


def _list_of_tables(table: type[Table], key: str, hint: str) -> BeforeValidator:
    """Return a check that says how a list of tables is written."""

    def check(value: object) -> object:
        if isinstance(value, Mapping):
            raise Misfit("must be a list of tables", hint=f"Write [[{key}]], in double brackets.")
        if isinstance(value, str) or (
            isinstance(value, list) and not all(isinstance(item, Mapping | table) for item in value)
        ):
            raise Misfit("must be a list of tables", hint=f"Write [[{key}]] and below it {hint}")
        return value

    return BeforeValidator(check)


_JOBS_HINT = (
    'id = "554023000000568002", each time; or put the ids into a file and name it as ids_file.'
)
Jobs = Annotated[tuple[JobEntry, ...], FailFast(), _list_of_tables(JobEntry, "jobs", _JOBS_HINT)]
ExportTables = Annotated[
    tuple[ExportTable, ...],
    _list_of_tables(ExportTable, "exports", 'module = "Leads", each time.'),
]


class AccountTable(Table):
    """What `[account]` and `[accounts.NAME]` may hold."""

    data_center: fields.Region | None = setting(
        None, "Where the org is; us where neither this nor api_domain is set."
    )
    api_domain: fields.Server | None = setting(
        None, "The API's server, instead of the data centre's or in addition to it."
    )
    accounts_url: fields.Server | None = setting(
        None, "The server that renews tokens; the default is the data centre's."
    )
    version: fields.Version = setting("v8", "The version of Zoho's API.")
    result_path: fields.ResultPath = setting(RESULT_PATH, "Where results are, below api_domain.")
    token_command: fields.Command | None = setting(
        None, "A command that prints an access token, word by word."
    )
    token_cache: fields.TokenCache = setting(
        True, "Share access tokens among this user's processes, in a file or the system's keyring."
    )
    env_prefix: fields.Prefix = setting(
        "", "ACME_ for ACME_ZOHO_REFRESH_TOKEN and so on; keeps accounts apart."
    )
    secrets_file: fields.SomePath | None = setting(
        None, "A file of KEY=VALUE lines that only its owner can read."
    )
    ca_file: fields.SomePath | None = setting(
        None, "Trust this certificate authority too; a PEM file."
    )
    proxy: fields.ProxyAddress | None = setting(
        None, 'Default: HTTPS_PROXY, ALL_PROXY and NO_PROXY; "" connects directly.'
    )
    formats: fields.Formats | None = setting(None, "Of this account; default: as at top level.")
    publish_to: PublishTo | None = setting(None, "Of this account; default: as at top level.")
    window: WindowSettings = WindowSettings()
    control: ControlSettings = ControlSettings()

    @property
    def is_sandbox(self) -> bool:
        """Whether the built-in stand-in is to be started for this account."""
        return self.data_center == "sandbox" and self.api_domain is None

    @property
    def is_local(self) -> bool:
        """Whether its server runs on this machine."""
        return self.is_sandbox if self.api_domain is None else is_loopback(self.api_domain)


class Credentials(Table):
    """What a token is got with; all from the environment or a secrets file, None where not set."""

    access_token: fields.Sendable | None = None
    client_id: fields.Sendable | None = None
    client_secret: fields.Sendable | None = None
    refresh_token: fields.Sendable | None = None

    @property
    def can_refresh(self) -> bool:
        """Whether all three parts that the accounts server asks for are there."""
        return None not in (self.client_id, self.client_secret, self.refresh_token)


class AccountSettings(AccountTable):
    """One account with all that is needed to ask for its results.

    `api_domain` and `accounts_url` are None where `data_center` gives them; see config.regions.
    `proxies` are the explicit `proxy` or the environment's.
    """

    name: fields.AccountName = "default"
    credentials: Credentials = Credentials()
    proxies: fields.ProxiesField = Proxies()

    def at(self, base_url: str, credentials: Credentials) -> AccountSettings:
        """Return the account with a local server as both its API and its accounts server.

        Raises ValueError for an address that is not loopback.
        """
        if not is_loopback(base_url):
            raise ValueError("not a loopback address")
        base = server_url(base_url)
        return replace(self, api_domain=base, accounts_url=base, credentials=credentials)


def default_among(names: Sequence[str]) -> str | None:
    """Return which account is that of ids that name none: the only one, or `default`, else None."""
    return names[0] if len(names) == 1 else "default" if "default" in names else None


def exceeds_zoho(account: AccountSettings) -> tuple[str, str, str] | None:
    """Return which setting of a window is more than Zoho allows, why not, and a hint; None if none.

    Faster than Zoho's may be asked no server but one on this machine.
    """
    more, faster = account.window.requests > ZOHO_REQUESTS, account.window.period_s < ZOHO_PERIOD_S
    if account.is_local or not (more or faster):
        return None
    return (
        "requests" if more else "period_s",
        f"Zoho allows {ZOHO_REQUESTS} requests in {ZOHO_PERIOD_S:.0f} s; requests can only be "
        "lower, period_s only longer",
        "Only a server on this machine can get faster requests.",
    )


class CommonTables(Table):
    """What every file of settings may hold at top level: how results are checked and published."""

    keep_zip: fields.Flag = setting(False, "Keep the ZIP archives beside their files.")
    sha256: fields.Flag = setting(
        True, "Of each published file, in the outcome; takes a third of the time to unpack."
    )
    records: fields.Flag = setting(
        True, "Count the records of each published file, while it is unpacked."
    )
    formats: fields.Formats = setting(
        ("csv",), "What tables are published as, together; calendars stay .ics."
    )
    destination: DestinationSettings = DestinationSettings()
    parquet: ParquetSettings = ParquetSettings()
    limits: Limits = Limits()


class Shared(CommonTables):
    """What jobs.toml holds at top level and settings have as it stands there."""

    out: fields.SomePath = setting(Path("exports"), "The output folder, relative to this file.")
    ids_file: fields.SomePath | None = setting(None, "A list of job ids for `run`, one per line.")
    ids_column: fields.Column | None = setting(
        None, "ids_file is a CSV: the column's title, or its number from 1."
    )
    overwrite: fields.Flag = setting(False, "Also replace files that bulkfetch did not publish.")
    publish_to: PublishTo | None = setting(
        None, "A bucket for the files instead of out: s3://, gs:// or az://; may hold {account}."
    )
    wait: fields.Wait = setting(
        None,
        "Wait for results that are still being prepared, as long as this; true for no limit.",
    )
    window: SharedWindow = SharedWindow()
    jobs: Jobs = ()


class Tables(Shared):
    """What jobs.toml may hold at top level."""

    account: AccountTable | None = None
    accounts: Annotated[Mapping[fields.AccountName, AccountTable], Field(min_length=1)] | None = (
        None
    )
    sandbox: Mapping[str, Any] | None = None
    exports: ExportTables = ()


class Settings(Shared):
    """Everything a run needs to know but the ids. Immutable; made by `load_settings` or in code.

    `out`, `ids_file` are as the user gave them: relative to the working directory where the
    settings file was named so. `fallback_account` is the one of ids that name none, None where
    that goes by the accounts' names (`default_account`). `state_dir` is this user's by default,
    see `bulkfetch.state_dir`; None where there is none, or in order to share nothing with other
    processes. `database_password` is for `window.shared`, None where it comes from PGPASSFILE or a
    service file. `sandbox` are options for the built-in stand-in, `dict(settings.sandbox)`.
    `warnings` are sentences to be told once.

    Raises ConfigError where a value is right by itself but not beside the others.
    """

    accounts: Annotated[tuple[AccountSettings, ...], Field(min_length=1)] = (AccountSettings(),)
    exports: tuple[Export, ...] = ()
    sandbox: SkipValidation[tuple[tuple[str, Any], ...]] = ()
    fallback_account: fields.AccountName | None = None
    database_password: fields.AnySecret | None = None
    state_dir: fields.SomePath | None = field(default_factory=lambda: default_state_dir(os.environ))
    source: fields.SomePath | None = None
    origins: SkipValidation[tuple[tuple[str, str], ...]] = ()
    warnings: SkipValidation[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for account in self.accounts:
            if (excess := exceeds_zoho(account)) is not None:
                setting_, sentence, hint = excess
                raise ConfigError(
                    f"account {account.name}: window.{setting_}: {sentence}", hint=hint
                )
        if len(self.accounts) > 1:
            refuse_same_credentials(self.accounts, "" if self.source is None else str(self.source))
        named = any(entry.module for entry in self.jobs)  # exports ask for the fields themselves
        if named and self.parquet.types == "fields" and self.parquet.fields is None:
            raise ConfigError(
                'parquet.types = "fields" needs parquet.fields for the modules of [[jobs]]',
                hint='Such as fields = "fields/{module}.json": what Zoho answers to GET '
                "settings/fields, a file for each module.",
            )

    def account(self, name: str) -> AccountSettings:
        """Return an account by its name. Raises ConfigError where there is no such account."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise unknown("unknown account", name, [account.name for account in self.accounts])

    @cached_property
    def default_account(self) -> str | None:
        """The account of ids that name none: `fallback_account`, the only one, or `default`.

        None where there is none of these.
        """
        return self.fallback_account or default_among([each.name for each in self.accounts])

    @property
    def account_names(self) -> frozenset[str]:
        """The names of all accounts."""
        return frozenset(account.name for account in self.accounts)

    @cached_property
    def entries(self) -> Mapping[str, Mapping[str | None, JobEntry]]:
        """`jobs` by id and then by account, None where that is unknown; of several the first."""
        found: dict[str, dict[str | None, JobEntry]] = {}
        for entry in self.jobs:
            found.setdefault(entry.id, {}).setdefault(entry.account or self.default_account, entry)
        return found

    def formats_of(self, account: str) -> tuple[Format, ...]:
        """Return what the tables of an account are published as."""
        return self.account(account).formats or self.formats

    def place_of(self, account: str) -> BucketPlace | None:
        """Return where in a bucket an account's files are published; None: in the folder."""
        url = self.account(account).publish_to or self.publish_to
        return None if url is None else place_of(url, account)

    def place_of_export(self, export: Export, account: str) -> BucketPlace | None:
        """Return where in a bucket an export of an account is published; None: in the folder."""
        if export.publish_to is None:
            return self.place_of(account)
        return place_of(export.publish_to, account)

    @property
    def places(self) -> tuple[BucketPlace, ...]:
        """Everywhere in buckets where something is published, each place once."""
        found = [self.place_of(account.name) for account in self.accounts]
        found += [
            self.place_of_export(export, export.account or self.default_account or "")
            for export in self.exports
            if export.publish_to is not None
        ]
        return tuple(dict.fromkeys(place for place in found if place is not None))

    def module_of(self, job: Job) -> str | None:
        """Return of which module a job is, None where that is not said."""
        entry = self.entries.get(job.id, {}).get(job.account)
        return None if entry is None else entry.module

    def origin(self, key: str) -> str:
        """Return where a setting came from: `jobs.toml:12`, an environment variable, `default`."""
        return dict(self.origins).get(key, "default")
