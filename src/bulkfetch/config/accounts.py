"""The accounts of a file of settings: each table with what the environment adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bulkfetch.config.document import Document, T
from bulkfetch.config.environment import FromEnvironment, read_environment
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.proxies import Proxies, explicit, from_environment
from bulkfetch.config.proxies import variables as proxy_variables
from bulkfetch.config.regions import REGIONS
from bulkfetch.config.secrets_file import read_secrets
from bulkfetch.config.settings import AccountSettings, AccountTable, Credentials, exceeds_zoho
from bulkfetch.config.tables import fields_of
from bulkfetch.config.toml_lines import Key, key_text


class FoundAccounts(NamedTuple):
    """The accounts, where their settings came from beside the file, and what is to be told once."""

    accounts: tuple[AccountSettings, ...]
    origins: dict[str, str]
    warnings: tuple[str, ...]


def read_accounts(
    document: Document[T], tables: Mapping[Key, tuple[str, AccountTable]], env: Mapping[str, str]
) -> FoundAccounts:
    """Return the accounts of a document, whose tables are given by their keys with their names.

    Raises ConfigError.
    """
    accounts: list[AccountSettings] = []
    origins: dict[str, str] = {}
    warnings: list[str] = []
    for key, (name, table) in tables.items():
        account, found = _account(document, name, table, env, key)
        warnings += [f"account {name}: {warning}" for warning in found.warnings]
        warnings += _overruled(name, table, found, key_text(key), document.origins)
        origins |= {f"{key_text(key)}.{setting}": said for setting, said in found.origins.items()}
        if table.proxy is None and not table.is_sandbox:
            named = proxy_variables(env).items()
            origins |= {
                f"{key_text(key)}.proxy.{scheme}": f"environment {v}" for scheme, v in named
            }
        accounts.append(account)
    return FoundAccounts(tuple(accounts), origins, tuple(warnings))


def _account(
    document: Document[T], name: str, table: AccountTable, env: Mapping[str, str], key: Key
) -> tuple[AccountSettings, FromEnvironment]:
    """Return an account made of the file's table and of the environment, which wins."""
    given = fields_of(AccountTable, table)
    for setting in ("secrets_file", "ca_file"):
        if given[setting] is not None:
            given[setting] = document.under(given[setting], (*key, setting))
    if (ca_file := given["ca_file"]) is not None and not ca_file.is_file():
        raise document.tell(Misfit(f": no such file: {ca_file}", (*key, "ca_file")))
    if table.is_sandbox:
        # The stand-in has its own credentials: whatever the environment holds is not for it.
        return AccountSettings(name=name, **given), FromEnvironment(Credentials(), {}, {}, ())
    secrets: Mapping[str, str] = {}
    warning = None
    if given["secrets_file"] is not None:
        try:
            secrets, warning = read_secrets(given["secrets_file"])
        except Misfit as error:
            raise document.tell(error.below(*key, "secrets_file")) from None
    found = read_environment(env, secrets, table.env_prefix, table.token_command is not None)
    if warning:
        found = found._replace(warnings=(*found.warnings, warning))
    account = AccountSettings(
        name=name,
        credentials=found.credentials,
        proxies=_proxies(document, table, env, key),
        **{**given, **found.servers},
    )
    if (excess := exceeds_zoho(account)) is not None:
        setting, sentence, hint = excess
        raise document.tell(Misfit(f": {sentence}", (*key, "window", setting), hint=hint))
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


def _proxies(
    document: Document[T], table: AccountTable, env: Mapping[str, str], key: Key
) -> Proxies:
    if table.proxy is None:
        return from_environment(env)
    try:
        return explicit(table.proxy.reveal())
    except ValueError as error:
        raise document.tell(Misfit(str(error), (*key, "proxy"))) from None
