"""jobs.toml and the environment → Settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from bulkfetch.config.accounts import read_accounts
from bulkfetch.config.bucket import place_of
from bulkfetch.config.document import Document, read_document
from bulkfetch.config.entries import check_jobs, checked_exports
from bulkfetch.config.fields import DataCenter
from bulkfetch.config.misfit import Misfit, listed
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.config.settings import AccountTable, CommonTables, Settings, Shared, Tables
from bulkfetch.config.tables import fields_of
from bulkfetch.config.toml_lines import Key, key_text
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret
from bulkfetch.state_dir import state_dir

C = TypeVar("C", bound=CommonTables)


def load_settings(
    path: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    *,
    data_center: DataCenter | None = None,
    account: str | None = None,
    out: str | os.PathLike[str] | None = None,
    keep_zip: bool | None = None,
    wait: float | None = None,
    overwrite: bool | None = None,
    max_bytes_per_s: int | None = None,
) -> Settings:
    """Read jobs.toml and the environment, check everything that can be checked without asking.

    Args:
        path: the settings file; None for the environment and defaults alone.
        env: the environment; None for the process's own. Proxies and ZOHO_* come from here.
        data_center: wins over the servers that the file names for an account; needs none.
        account: the account that `data_center` and ids without an account are for; None: the only
            one, for ids also the one named default.
        out, keep_zip, wait, overwrite, max_bytes_per_s: win over the file where they are not None.
            `out` is relative to the working directory, paths in the file to the file's folder.

    Raises:
        ConfigError: file, key, line and the nearest right name; never a value.
    """
    env = os.environ if env is None else env
    if out is not None and not os.fspath(out).strip():
        raise ConfigError("out must not be empty", hint='The working directory is ".".')
    document = read_document(None if path is None else Path(path), Tables)
    tables = document.tables
    moved = _Moved(document, _account_tables(document))
    if data_center is not None:
        moved = _move(document, moved.tables, account, data_center)
    found = read_accounts(moved.document, moved.tables, env)
    accounts = found.accounts
    origins = moved.document.origins | found.origins
    names = [each.name for each in accounts]
    if tables.jobs:
        places = {each.name: each.publish_to or tables.publish_to for each in accounts}
        urls = {name: url and place_of(url, name).url for name, url in places.items()}
        check_jobs(tables.jobs, names, document.where, urls)
    exports = checked_exports(tables.exports, names, document.where) if tables.exports else ()
    if tables.sandbox is not None and not any(a.data_center == "sandbox" for a in accounts):
        raise document.tell(
            Misfit(
                'is for an account with data_center = "sandbox", and there is none',
                ("sandbox",),
                hint='Set data_center = "sandbox" for an account, or remove [sandbox].',
            )
        )
    if out is not None:
        origins["out"] = "--out"
    elif document.source is None and data_center == "sandbox":
        # What is made up is not to be taken for what an org holds, now or by a later run.
        out, origins["out"] = f"{tables.out}-sandbox", "--data-center"
    limits = tables.limits
    if max_bytes_per_s is not None:
        origins["limits.max_bytes_per_s"] = "--limit-rate"
        limits = replace(limits, max_bytes_per_s=max_bytes_per_s)
    own = {
        "out": document.under(tables.out, ("out",)) if out is None else Path(out),
        "ids_file": tables.ids_file and document.under(tables.ids_file, ("ids_file",)),
        "keep_zip": tables.keep_zip if keep_zip is None else keep_zip,
        "overwrite": tables.overwrite if overwrite is None else overwrite,
        "wait": tables.wait if wait is None else wait,
        "limits": limits,
        "parquet": parquet_of(document),
    }
    settings = Settings(
        **fields_of(Shared, tables) | own,
        accounts=accounts,
        exports=exports,
        fallback_account=account,
        database_password=database_password(env),
        sandbox=tuple((tables.sandbox or {}).items()),
        state_dir=state_dir(env),
        source=document.source,
        origins=tuple(origins.items()),
        warnings=(*moved.warnings, *found.warnings),
    )
    if account is not None:
        settings.account(account)  # raises ConfigError if there is no such account
    return settings


class _Moved(NamedTuple):
    """The accounts of a file, one of them at another data centre than the file says."""

    document: Document[Tables]
    tables: Mapping[Key, tuple[str, AccountTable]]
    warnings: tuple[str, ...] = ()


def _move(
    document: Document[Tables],
    tables: Mapping[Key, tuple[str, AccountTable]],
    account: str | None,
    data_center: DataCenter,
) -> _Moved:
    """Have an account of the file, None for the only one, at the servers of a data centre."""
    names = [name for name, _ in tables.values()]
    if account is None and len(names) > 1:
        raise ConfigError(
            "data_center is for one account, and there are several",
            hint=f"Choose one with --account, or set it in their tables: {listed(names)}.",
        )
    moved, options, warnings = dict(tables), {}, []
    for key, (name, table) in tables.items():
        if name != (account or names[0]):
            continue
        made_up = table.data_center == "sandbox"
        if document.source is not None and made_up != (data_center == "sandbox"):
            raise ConfigError(
                f"data_center: {document.file} is for {'the sandbox' if made_up else 'an org'}",
                hint="Real results and made up ones do not mix: use another file, or none.",
            )
        servers = ("data_center", "api_domain", "accounts_url")
        lost = [each for each in servers if getattr(table, each) not in (None, data_center)]
        where = [document.origins.get(f"{key_text(key)}.{each}", document.file) for each in lost]
        if lost:
            said = ", ".join(f"{each} ({at})" for each, at in zip(lost, where, strict=True))
            warnings.append(f"account {name}: --data-center {data_center} wins over {said}")
        own = replace(table, data_center=data_center, api_domain=None, accounts_url=None)
        moved[key] = name, own
        options[f"{key_text(key)}.data_center"] = "--data-center"
    return _Moved(replace(document, options=options), moved, tuple(warnings))


def database_password(env: Mapping[str, str]) -> Secret | None:
    """Return the password of the database that hosts share, None where it is not in a variable."""
    password = env.get("BULKFETCH_DATABASE_PASSWORD", "")
    return Secret(password) if password else None


def parquet_of(document: Document[C]) -> ParquetSettings:
    """Return what a file says of Parquet, its path as seen from the working directory."""
    table = document.tables.parquet
    if table.fields is None:
        return table
    return replace(table, fields=document.under(table.fields, ("parquet", "fields")))


def _account_tables(document: Document[Tables]) -> dict[Key, tuple[str, AccountTable]]:
    tables = document.tables
    if tables.account is not None and tables.accounts is not None:
        line = document.lines.get("account", 0)
        raise ConfigError(
            f"{document.file}: both [account] and [accounts.NAME]"
            + (f" (line {line})" if line else ""),
            hint="Give each account a table [accounts.NAME], or use [account] alone.",
        )
    if tables.accounts is not None:
        return {("accounts", name): (name, table) for name, table in tables.accounts.items()}
    return {("account",): ("default", tables.account or AccountTable())}
