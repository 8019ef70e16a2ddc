"""Two accounts must not be one: each would have a window of its own, and Zoho counts them as one.

The likeliest way there is to forget `env_prefix`, or to share a secrets file without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bulkfetch.config.hosts import server_key
from bulkfetch.config.settings import AccountSettings
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

Source = Secret | tuple[str, ...]


def refuse_same_credentials(accounts: Sequence[AccountSettings], file: str = "") -> None:
    """Raise ConfigError where two of these accounts get their tokens from the same source.

    That is the same refresh token, access token or token_command. A Zoho token belongs to one
    organisation in one data centre, so the same one at two of Zoho's servers is the same slip;
    servers on this machine take any token, and two of them are two accounts. `file` goes before
    the sentence. No secret is told.
    """
    for one, other in combinations(accounts, 2):
        if _same(one, other):
            prefix = "".join(c if c.isalnum() else "_" for c in other.name).upper()
            raise ConfigError(
                f"{file}{': ' if file else ''}accounts {one.name} and {other.name} have the same "
                "credentials",
                hint="Together they would exceed the limit of their one Zoho account. "
                + (
                    "Give each its own token_command, or use one account for all ids."
                    if other.token_command is not None
                    else f'Give each its own: env_prefix = "{prefix}_" in the table of '
                    f"{other.name} has it take {prefix}_ZOHO_… variables."
                ),
            )


def _same(one: AccountSettings, other: AccountSettings) -> bool:
    if one.is_sandbox or other.is_sandbox:  # its credentials are made for each account
        return False
    if (one.is_local or other.is_local) and _server(one) != _server(other):
        return False
    used, held = _sources(one)
    others_used, others_held = _sources(other)
    return bool((used & others_held) | (held & others_used))


def _server(account: AccountSettings) -> str | None:
    return None if account.api_domain is None else server_key(account.api_domain)


def _sources(account: AccountSettings) -> tuple[set[Source], set[Source]]:
    """Return what the account's tokens come from, and that with what could also give them."""
    if account.token_command is not None:
        command: Source = account.token_command
        return {command}, {command}
    credentials = account.credentials
    refresh = {credentials.refresh_token} if credentials.can_refresh else set()
    held: set[Source] = {s for s in (*refresh, credentials.access_token) if s is not None}
    used: set[Source] = {s for s in refresh or {credentials.access_token} if s is not None}
    return used, held
