"""FLEET.toml and the environment → FleetSettings: what all hosts of a fleet are told alike."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from bulkfetch.config import fields
from bulkfetch.config.accounts import read_accounts
from bulkfetch.config.bounds import SharedWindow
from bulkfetch.config.bucket import SCHEMES, place_of
from bulkfetch.config.document import Document, read_document
from bulkfetch.config.entries import checked_exports
from bulkfetch.config.export import Export
from bulkfetch.config.load import database_password, parquet_of
from bulkfetch.config.misfit import Misfit, unknown
from bulkfetch.config.settings import (
    AccountSettings,
    AccountTable,
    CommonTables,
    ExportTables,
    Settings,
)
from bulkfetch.config.tables import Table, fields_of, setting
from bulkfetch.errors import ConfigError
from bulkfetch.filenames import same_file
from bulkfetch.secret import Secret
from bulkfetch.state_dir import state_dir

_ACCOUNT = "{account}"
_FOLDER = 'Such as "/srv/exports/{account}".'


def _store(text: str) -> str:
    if text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        place_of(text, "account")
        return text
    if not text.startswith("/"):
        raise Misfit(
            "must begin with s3://, gs:// or az://, or be an absolute path",
            hint='Such as "s3://exports/{account}", or "/srv/exports/{account}".',
        )
    folder = text.rstrip("/")
    if not folder.endswith(f"/{_ACCOUNT}") or folder.count(_ACCOUNT) > 1:
        raise Misfit(f"must end with /{_ACCOUNT}", hint=_FOLDER)
    if not text.isprintable() or any(part in (".", "..") for part in text.split("/")):
        raise Misfit("must be a path without `.` and `..`", hint=_FOLDER)
    return text


class FleetTable(Table):
    """What `[fleet]` may hold. Times in seconds, but for the days."""

    database: Annotated[
        fields.Database,
        Field(description="The PostgreSQL of the journal, the queue and all windows; no password."),
    ]
    store: Annotated[
        fields.Text,
        AfterValidator(_store),
        Field(
            description="The bucket for the files: s3://, gs:// or az://, with {account}; "
            "or a folder that all hosts share: /srv/exports/{account}.",
            json_schema_extra={
                "pattern": r"^((s3|gs|az)://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?|/(.*/)?\{account\}/*)$"
            },
        ),
    ]
    staging: fields.SomePath = setting(
        Path("/var/lib/bulkfetch"), "A folder on each host for what is not published yet."
    )
    accounts_at_once: Annotated[fields.Whole, Field(ge=1, le=100_000)] = setting(
        500, "Accounts that one worker serves at a time."
    )
    turn_s: fields.Seconds = setting(600.0, "After that an account's turn goes to the next worker.")
    heartbeat_s: fields.Seconds = setting(
        60.0, "A worker that is silent for so long has its turns taken over."
    )
    submissions_keep_days: Annotated[fields.Whole, Field(ge=1, le=36_500)] = setting(
        7, "How long the journal knows what has ended."
    )


class FleetTables(CommonTables):
    """What FLEET.toml may hold at top level."""

    fleet: FleetTable
    accounts: Annotated[Mapping[fields.AccountName, AccountTable], Field(min_length=1)]
    exports: ExportTables = ()


class ExportKey(NamedTuple):
    """What a fleet knows an export by."""

    account: str
    name: str


@dataclass(frozen=True)
class FleetSettings:
    """What a fleet's commands need to know: `settings` have all accounts, and no output folder.

    `exports` are those of the file; of each account where they name none.
    """

    fleet: FleetTable
    settings: Settings
    exports: tuple[Export, ...] = ()

    @property
    def password(self) -> Secret | None:
        """The database's; None where it comes from PGPASSFILE or a service file."""
        return self.settings.database_password

    def of_account(self, name: str, staging: Path) -> Settings:
        """Return the settings of one account's turn, whose output folder is below `staging`.

        It publishes in the fleet's store, in the folder that `folder_of` gives if any. What is of
        the journal's name there is the fleet's own: it may be what a turn has published that died
        before it could say so. Raises ConfigError where there is no such account.
        """
        account = self.settings.account(name)
        return replace(
            self.settings,
            accounts=(account,),
            out=staging / name,
            publish_to=None if self.folder_of(name) else _store_of(self.fleet, account),
            window=SharedWindow(shared=self.fleet.database),
            overwrite=True,
            exports=tuple(replace(each, account=name) for each in self.exports_of(name)),
        )

    def exports_of(self, account: str) -> list[Export]:
        """Return the exports of an account, in the order of the file."""
        found = self._exports_by_account[None] + self._exports_by_account[account]
        return sorted(found, key=lambda export: export.index or 0)

    def chosen_exports(
        self, names: Sequence[str] = (), accounts: Sequence[str] = ()
    ) -> list[ExportKey]:
        """Return the exports that have these names, of these accounts; of none given, of all.

        Raises ConfigError for a name or an account that there is not, for a name that none of the
        accounts has, and where they have none at all.
        """
        if not self.exports:
            raise ConfigError(
                f"{self.settings.source} has no [[exports]]",
                hint='Add [[exports]] and below it module = "Leads".',
            )
        known = list(dict.fromkeys(export.name for export in self.exports))
        of = [self.settings.account(name).name for name in accounts] or [
            account.name for account in self.settings.accounts
        ]
        found = [
            ExportKey(account, export.name)
            for account in dict.fromkeys(of)
            for export in self.exports_of(account)
            if not names or export.name in names
        ]
        for name in names:
            if name not in known:
                raise unknown("there is no export", name, known)
            if all(key.name != name for key in found):
                raise ConfigError(
                    f"export {name} is of another account than {', '.join(accounts)}",
                    hint="Leave --account out, or name one that has it.",
                )
        if not found:
            raise ConfigError(
                f"{self.settings.source} has no export of {', '.join(accounts)}",
                hint="Leave --account out, or add [[exports]] for it.",
            )
        return found

    @cached_property
    def _exports_by_account(self) -> Mapping[str | None, list[Export]]:
        found: dict[str | None, list[Export]] = {None: []}
        found |= {name: [] for name in self.settings.account_names}
        for export in self.exports:
            found[export.account].append(export)
        return found

    @property
    def shared_folder(self) -> Path | None:
        """The folder in which those of all accounts are; None: the store is a bucket."""
        store = self.fleet.store
        return Path(store.replace(_ACCOUNT, "account")).parent if store.startswith("/") else None

    def folder_of(self, name: str) -> Path | None:
        """Return the folder, shared by all hosts, of an account's files; None: they have a bucket.

        Raises ConfigError where there is no such account.
        """
        store = _store_of(self.fleet, self.settings.account(name))
        return Path(store.replace(_ACCOUNT, name)) if store.startswith("/") else None


def load_fleet(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> FleetSettings:
    """Read FLEET.toml and the environment, and check what can be checked without asking.

    `env` None: the process's own. Paths in the file are relative to its folder. Raises ConfigError:
    file, key, line and the nearest right name; never a value.
    """
    env = os.environ if env is None else env
    document = read_document(Path(path), FleetTables)
    tables = document.tables
    found = read_accounts(
        document, {("accounts", name): (name, of) for name, of in tables.accounts.items()}, env
    )
    if "default" in tables.accounts:
        raise document.tell(
            Misfit(
                "is no name by which all hosts know an account",
                ("accounts", "default"),
                hint="Call it by a name of its own, the same on every host.",
            )
        )
    exports = checked_exports(tables.exports, list(tables.accounts), document.where, of_each=True)
    _require_own_places(document, found.accounts)
    staging = document.under(tables.fleet.staging, ("fleet", "staging"))
    settings = Settings(
        **fields_of(CommonTables, tables) | {"parquet": parquet_of(document)},
        out=staging,
        accounts=found.accounts,
        database_password=database_password(env),
        state_dir=state_dir(env),
        source=document.source,
        origins=tuple((document.origins | found.origins).items()),
        warnings=(*found.warnings, *_without_effect(tables)),
    )
    fleet = FleetSettings(replace(tables.fleet, staging=staging), settings, exports)
    _require_own_folders(document, fleet)
    return fleet


def _without_effect(tables: FleetTables) -> list[str]:
    """Return what is to be told of keys that mean nothing in a fleet."""
    if tables.parquet.fields is None:
        return []
    return [
        "parquet.fields has no effect in a fleet: its exports ask for the fields of their modules, "
        "and of what module a result of a list is, is not said"
    ]


def _store_of(fleet: FleetTable, account: AccountSettings) -> str:
    return account.publish_to or fleet.store


def _require_own_places(
    document: Document[FleetTables], accounts: tuple[AccountSettings, ...]
) -> None:
    """Raise ConfigError where files of two accounts would get into each other's way."""
    owners: dict[str, str] = {}
    for account in accounts:
        store = _store_of(document.tables.fleet, account)
        if store.startswith("/"):  # where each has its own
            continue
        place = place_of(store, account.name).url
        other = owners.setdefault(place, account.name)
        if other != account.name:
            raise document.tell(
                Misfit(
                    f": accounts {other} and {account.name} would both publish in {place}",
                    ("fleet", "store"),
                    hint='Put {account} into it, such as "s3://exports/{account}".',
                )
            )


def _require_own_folders(document: Document[FleetTables], fleet: FleetSettings) -> None:
    """Raise ConfigError where exports of two accounts would have one folder of a bucket."""
    if not any(export.publish_to for export in fleet.exports):
        return  # each is where its account has its own place
    owners: dict[tuple[str, str], str] = {}
    for account in fleet.settings.accounts:
        for export in fleet.exports_of(account.name):
            store = export.publish_to or _store_of(fleet.fleet, account)
            if store.startswith("/"):
                continue
            folder = place_of(store, account.name).url
            other = owners.setdefault((folder, same_file(export.name)), account.name)
            if other != account.name and export.index is not None:
                raise document.tell(
                    Misfit(
                        f": accounts {other} and {account.name} would both publish their "
                        f"{export.name} in {folder}",
                        ("exports", export.index, "publish_to"),
                        hint='Put {account} into it, such as "s3://exports/{account}".',
                    )
                )
