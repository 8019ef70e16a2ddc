"""jobs.toml and the environment → Settings: the only reader of either."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bulkfetch.config.account_key import refuse_same_credentials
from bulkfetch.config.bucket import place_of
from bulkfetch.config.complaints import complaint
from bulkfetch.config.entries import check_jobs, checked_exports
from bulkfetch.config.environment import FromEnvironment, read_environment
from bulkfetch.config.misfit import Misfit, misfits
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.config.proxies import Proxies, explicit, from_environment
from bulkfetch.config.proxies import variables as proxy_variables
from bulkfetch.config.regions import REGIONS
from bulkfetch.config.secrets_file import read_secrets
from bulkfetch.config.settings import (
    AccountSettings,
    AccountTable,
    Credentials,
    Settings,
    Tables,
    exceeds_zoho,
)
from bulkfetch.config.toml_lines import Key, key_lines, key_text, nearest_line
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret
from bulkfetch.state_dir import expand_home, state_dir

# Makes a complaint about the file.
Tell = Callable[[Misfit], ConfigError]

_MAX_TOML_BYTES = 64 * 1024**2  # some 700,000 [[jobs]]; longer lists belong into an ids_file


def load_settings(
    path: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    *,
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
        out, keep_zip, wait, overwrite, max_bytes_per_s: win over the file where they are not None.
            `out` is relative to the working directory, paths in the file to the file's folder.

    Raises:
        ConfigError: file, key, line and the nearest right name; never a value.
    """
    env = os.environ if env is None else env
    source = None if path is None else Path(path)
    if out is not None and not os.fspath(out).strip():
        raise ConfigError("out must not be empty", hint='The working directory is ".".')
    text = "" if source is None else _read(source)
    tables, lines = _parse(text, str(source))
    tell = partial(complaint, file=str(source), lines=lines)
    folder = Path() if source is None else source.parent
    origins = {key: f"{source}:{line}" for key, line in lines.items()}
    warnings: list[str] = []

    accounts = []
    for name, table, key in _account_tables(tables, str(source), lines):
        account, found = _account(name, table, folder, env, key, tell)
        warnings += [f"account {name}: {warning}" for warning in found.warnings]
        warnings += _overruled(name, table, found, key_text(key), origins)
        origins |= {f"{key_text(key)}.{setting}": said for setting, said in found.origins.items()}
        if table.proxy is None and not account.is_sandbox:
            named = proxy_variables(env).items()
            origins |= {
                f"{key_text(key)}.proxy.{scheme}": f"environment {v}" for scheme, v in named
            }
        accounts.append(account)
    refuse_same_credentials(accounts, str(source))
    names = [account.name for account in accounts]
    where = partial(_where, str(source), lines)
    places = {each.name: each.publish_to or tables.publish_to for each in accounts}
    urls = {name: url and place_of(url, name).url for name, url in places.items()}
    check_jobs(tables.jobs, names, where, urls)
    exports = checked_exports(tables.exports, names, where)
    if tables.sandbox is not None and not any(a.data_center == "sandbox" for a in accounts):
        raise tell(
            Misfit(
                'is for an account with data_center = "sandbox", and there is none',
                ("sandbox",),
                hint='Set data_center = "sandbox" in [account], or remove [sandbox].',
            )
        )
    if out is not None:
        origins["out"] = "--out"
    limits = tables.limits
    if max_bytes_per_s is not None:
        origins["limits.max_bytes_per_s"] = "--limit-rate"
        limits = replace(limits, max_bytes_per_s=max_bytes_per_s)
    return Settings(
        out=_under(folder, tables.out, ("out",), tell) if out is None else Path(out),
        accounts=tuple(accounts),
        limits=limits,
        window=tables.window,
        database_password=_database_password(env),
        ids_file=tables.ids_file and _under(folder, tables.ids_file, ("ids_file",), tell),
        ids_column=tables.ids_column,
        keep_zip=tables.keep_zip if keep_zip is None else keep_zip,
        overwrite=tables.overwrite if overwrite is None else overwrite,
        sha256=tables.sha256,
        records=tables.records,
        formats=tables.formats,
        publish_to=tables.publish_to,
        destination=tables.destination,
        parquet=_parquet(folder, tables.parquet, tell),
        wait=tables.wait if wait is None else wait,
        jobs=tables.jobs,
        exports=exports,
        sandbox=tuple((tables.sandbox or {}).items()),
        state_dir=state_dir(env),
        source=source,
        origins=tuple(origins.items()),
        warnings=tuple(warnings),
    )


def _database_password(env: Mapping[str, str]) -> Secret | None:
    password = env.get("BULKFETCH_DATABASE_PASSWORD", "")
    return Secret(password) if password else None


def _parquet(folder: Path, table: ParquetSettings, tell: Tell) -> ParquetSettings:
    if table.fields is None:
        return table
    return replace(table, fields=_under(folder, table.fields, ("parquet", "fields"), tell))


def _where(file: str, lines: Mapping[str, int], key: str) -> tuple[str, int]:
    """Return what a sentence about a table begins with, and the table's line, 0 if unknown."""
    line = lines.get(key, 0)
    return f"{file}: {key}" + (f" (line {line})" if line else ""), line


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TOML_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(raw) > _MAX_TOML_BYTES:
        raise ConfigError(f"{path}: too large", hint="Put a long list of ids into an ids_file.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: not UTF-8 (line {line})") from None


def _parse(text: str, file: str) -> tuple[Tables, dict[str, int]]:
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {_without_values(error)}") from None
    lines = {key_text(key): line for key, line in key_lines(text).items()}
    try:
        return TypeAdapter(Tables).validate_python(document), lines
    except ValidationError as error:
        found = min(misfits(error, Tables), key=lambda misfit: _order(misfit, lines))
    # Outside of the handler: pydantic's error holds the value.
    raise complaint(found, file, lines)


def _order(found: Misfit, lines: Mapping[str, int]) -> tuple[bool, int]:
    """Return what sorts misfits: the first in the file, missing keys behind all others."""
    return found.sentence == "is missing", nearest_line(found.path, lines) or 0


def _without_values(error: Exception) -> str:
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error)[:200]
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


def _account_tables(
    tables: Tables, file: str, lines: Mapping[str, int]
) -> list[tuple[str, AccountTable, Key]]:
    if tables.account is not None and tables.accounts is not None:
        line = lines.get("account", 0)
        raise ConfigError(
            f"{file}: both [account] and [accounts.NAME]" + (f" (line {line})" if line else ""),
            hint="Give each account a table [accounts.NAME], or use [account] alone.",
        )
    if tables.accounts is not None:
        return [(name, table, ("accounts", name)) for name, table in tables.accounts.items()]
    return [("default", tables.account or AccountTable(), ("account",))]


def _account(
    name: str, table: AccountTable, folder: Path, env: Mapping[str, str], key: Key, tell: Tell
) -> tuple[AccountSettings, FromEnvironment]:
    """Return an account made of the file's table and of the environment, which wins."""
    given = {field.name: getattr(table, field.name) for field in fields(table)}
    for setting in ("secrets_file", "ca_file"):
        if given[setting] is not None:
            given[setting] = _under(folder, given[setting], (*key, setting), tell)
    if (ca_file := given["ca_file"]) is not None and not ca_file.is_file():
        raise tell(Misfit(f": no such file: {ca_file}", (*key, "ca_file")))
    if table.data_center == "sandbox" and table.api_domain is None:
        # The stand-in has its own credentials: whatever the environment holds is not for it.
        return AccountSettings(name=name, **given), FromEnvironment(Credentials(), {}, {}, ())
    secrets: Mapping[str, str] = {}
    warning = None
    if given["secrets_file"] is not None:
        try:
            secrets, warning = read_secrets(given["secrets_file"])
        except Misfit as error:
            raise tell(error.below(*key, "secrets_file")) from None
    found = read_environment(env, secrets, table.env_prefix, table.token_command is not None)
    if warning:
        found = found._replace(warnings=(*found.warnings, warning))
    account = AccountSettings(
        name=name,
        credentials=found.credentials,
        proxies=_proxies(table, env, key, tell),
        **{**given, **found.servers},
    )
    if (excess := exceeds_zoho(account)) is not None:
        setting, sentence, hint = excess
        raise tell(Misfit(f": {sentence}", (*key, "window", setting), hint=hint))
    return account, found


def _overruled(
    name: str, table: AccountTable, found: FromEnvironment, key: str, origins: Mapping[str, str]
) -> Iterator[str]:
    """Yield warnings where a variable sends tokens and requests elsewhere than the file says."""
    region = None if table.data_center is None else REGIONS.get(table.data_center)
    for setting, won in found.servers.items():
        own, usual = getattr(table, setting), region and getattr(region, setting)
        lost = setting if own is not None else "data_center"
        if (own or usual) not in (None, won):
            yield (
                f"account {name}: {found.origins[setting]} wins over {lost} "
                f"({origins.get(f'{key}.{lost}', 'jobs.toml')}): {setting} is {won}"
            )


def _proxies(table: AccountTable, env: Mapping[str, str], key: Key, tell: Tell) -> Proxies:
    if table.proxy is None:
        return from_environment(env)
    try:
        return explicit(table.proxy.reveal())
    except ValueError as error:
        raise tell(Misfit(str(error), (*key, "proxy"))) from None


def _under(folder: Path, path: Path, key: Key, tell: Tell) -> Path:
    """Return a path of the file as seen from the working directory; `~` is the user's home."""
    try:
        return folder / expand_home(path)
    except RuntimeError:
        raise tell(
            Misfit(f": {path}: no such home", key, hint="Write the path without `~`, or set HOME.")
        ) from None
