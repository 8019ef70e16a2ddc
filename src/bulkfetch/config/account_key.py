"""What an account is called where its window is kept, without telling anything of it.

Zoho counts per account, and an account cannot be told from a token.
"""

from __future__ import annotations

from bulkfetch.config.hosts import server_key
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
