"""The choice of an account's token source, before any token is requested. Quick to import.

`tokens` creates the source; this module only says which one it would be, and what it lacks.
"""

from __future__ import annotations

import os
import shutil
from typing import Literal

from bulkfetch.config.regions import servers
from bulkfetch.config.settings import AccountSettings
from bulkfetch.errors import ConfigError, MissingCredentials, TokenCommandFailed

Way = Literal["command", "refresh", "token"]


def token_way(account: AccountSettings) -> Way:
    """Return where an account's tokens come from: a command, a refresh token or a fixed token.

    Raises MissingCredentials if there is nothing to get a token with.
    """
    if account.token_command is not None:
        return "command"
    if account.credentials.can_refresh:
        return "refresh"
    if account.credentials.access_token is not None:
        return "token"
    raise MissingCredentials(f"account {account.name}: no credentials", hint=_missing_hint(account))


def accounts_server(account: AccountSettings) -> str:
    """Return the server that refreshes an account's tokens. Raises ConfigError if it is unknown."""
    where = servers(account)
    if where.accounts_url is None:
        raise ConfigError(
            f"account {account.name}: no accounts server is known for {where.api_domain}",
            hint="Set accounts_url, or ZOHO_ACCOUNTS_URL, beside api_domain.",
        )
    return where.accounts_url


def require_program(command: tuple[str, ...]) -> None:
    """Raise TokenCommandFailed if a token_command cannot be started; it is not started here."""
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
        f"and {prefix}ZOHO_REFRESH_TOKEN, or token_command in the settings file."
    )
