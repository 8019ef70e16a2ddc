"""Which accounts are one: what each is called where its window is kept, and two that are the same.

Zoho counts per account, and an account cannot be told from a token. Two accounts of the settings
that are one would have a window each; the likeliest way there is to forget `env_prefix`, or to
share a secrets file without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bulkfetch.config.hosts import server_key
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from bulkfetch.config.settings import AccountSettings

# What the accounts of this process are called, by each thing that shows two of them to be one:
# their name, and what their tokens come from. Digests only.
_keys: dict[str, str] = {}


def account_key(account: AccountSettings, api_domain: str) -> str:
    """Return what all processes of this machine call an account.

    Processes with the same refresh token share a window; those with a plain token or a
    token_command share it where server and account name are the same, since their tokens change
    while the account does not.
    """
    credentials = account.credentials
    if credentials.can_refresh and credentials.refresh_token and account.token_command is None:
        return _digest(api_domain, credentials.refresh_token.reveal())
    return _digest(api_domain, f"account {account.name}")


def key_in_process(account: AccountSettings, api_domain: str) -> str:
    """Return what this process calls an account: the name under which it was first asked for.

    Settings of several clients may give one account several names. Where they were seen to have the
    same plain token or token_command once, they are one from then on, other tokens or not.
    """
    own = account_key(account, api_domain)
    source = _token_source(account)
    if source is None:
        return own
    origin = _digest(api_domain, source)
    key = _keys.get(origin) or _keys.get(own) or own
    return _keys.setdefault(own, _keys.setdefault(origin, key))


def _token_source(account: AccountSettings) -> str | None:
    """Return what an account's tokens come from where that is no refresh token."""
    if account.token_command is not None:
        return "\0".join(("command", *account.token_command))
    token = account.credentials.access_token
    return None if token is None or account.credentials.can_refresh else f"token {token.reveal()}"


def _digest(api_domain: str, identity: str) -> str:
    import hashlib  # late: it loads OpenSSL's

    return hashlib.sha256(f"{server_key(api_domain)}\0{identity}".encode()).hexdigest()


Source = Secret | tuple[str, ...]


def refuse_same_credentials(accounts: Sequence[AccountSettings], file: str = "") -> None:
    """Raise ConfigError where two of these accounts get their tokens from the same source.

    That is the same refresh token, access token or token_command. A Zoho token belongs to one
    organisation in one data centre, so the same one at two of Zoho's servers is the same slip;
    servers on this machine take any token, and two of them are two accounts. `file` goes before
    the sentence. No secret is told.
    """
    # Whoever is the first with a source, as what its tokens come from or could also come from.
    users: dict[tuple[str | None, Source], AccountSettings] = {}
    holders: dict[tuple[str | None, Source], AccountSettings] = {}
    for account in accounts:
        if account.is_sandbox:  # its credentials are made for each account
            continue
        local = account.api_domain if account.is_local else None
        server = None if local is None else server_key(local)
        used, held = ({(server, each) for each in sources} for sources in _sources(account))
        for mine, others in ((used, holders), (held, users)):
            if (shared := next(filter(others.__contains__, mine), None)) is not None:
                raise _the_same(others[shared], account, file)
        for mine, others in ((used, users), (held, holders)):
            for each in mine:
                others.setdefault(each, account)


def _the_same(one: AccountSettings, other: AccountSettings, file: str) -> ConfigError:
    prefix = "".join(c if c.isalnum() else "_" for c in other.name).upper()
    return ConfigError(
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
