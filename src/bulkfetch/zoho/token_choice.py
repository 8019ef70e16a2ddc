"""Which way an account's tokens come, before any of them is asked for. Pure, and quick to import.

`tokens` makes the source that is chosen here; whoever only wants to know whether there is one, and
what it lacks, asks here.
"""

from __future__ import annotations

import os
import shutil
from typing import Literal

from bulkfetch.config.settings import AccountSettings
from bulkfetch.errors import ConfigError, MissingCredentials, TokenCommandFailed
from bulkfetch.zoho.regions import servers

Way = Literal["command", "refresh", "token"]


def token_way(account: AccountSettings) -> Way:
    """Return where an account's tokens come from: its command, its refresh token, its token.

    Raises MissingCredentials where there is nothing to get a token with.
    """
    if account.token_command is not None:
        return "command"
    if account.credentials.can_refresh:
        return "refresh"
    if account.credentials.access_token is not None:
        return "token"
    raise MissingCredentials(f"account {account.name}: no credentials", hint=_missing_hint(account))


def accounts_server(account: AccountSettings) -> str:
    """Return the server that refreshes an account's tokens. Raises ConfigError: it is not known."""
    where = servers(account)
    if where.accounts_url is None:
        raise ConfigError(
            f"account {account.name}: no accounts server is known for {where.api_domain}",
            hint="Set accounts_url, or ZOHO_ACCOUNTS_URL, beside api_domain.",
        )
    return where.accounts_url


def require_program(command: tuple[str, ...]) -> None:
    """Look whether a token_command can be started; nothing is. Raises TokenCommandFailed."""
    program = command[0]
    if shutil.which(program) is not None:
        return
    there = shutil.which(program, mode=os.F_OK)
    problem = f"{program} is not executable" if there else f"no program {program}"
    raise TokenCommandFailed(f"token_command: {problem}")


def _missing_hint(account: AccountSettings) -> str:
    prefix = account.env_prefix
    return (
        f"Set {prefix}ZOHO_ACCESS_TOKEN, or {prefix}ZOHO_CLIENT_ID, {prefix}ZOHO_CLIENT_SECRET "
        f"and {prefix}ZOHO_REFRESH_TOKEN, or token_command in jobs.toml."
    )
