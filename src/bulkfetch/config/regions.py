"""Zoho's data centres: where an account's API and its accounts server are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bulkfetch.config.hosts import host_of, is_loopback, server_key
from bulkfetch.config.settings import AccountSettings
from bulkfetch.errors import ConfigError


class Servers(NamedTuple):
    """The two servers of an account, without trailing slash. `accounts_url` None: not known."""

    api_domain: str
    accounts_url: str | None


# Source: Zoho's multi-DC page; `uk` and `ae` accounts servers by analogy, so they can be set.
REGIONS: Mapping[str, Servers] = {
    "us": Servers("https://www.zohoapis.com", "https://accounts.zoho.com"),
    "eu": Servers("https://www.zohoapis.eu", "https://accounts.zoho.eu"),
    "in": Servers("https://www.zohoapis.in", "https://accounts.zoho.in"),
    "au": Servers("https://www.zohoapis.com.au", "https://accounts.zoho.com.au"),
    "jp": Servers("https://www.zohoapis.jp", "https://accounts.zoho.jp"),
    "cn": Servers("https://www.zohoapis.com.cn", "https://accounts.zoho.com.cn"),
    "ca": Servers("https://www.zohoapis.ca", "https://accounts.zohocloud.ca"),
    "sa": Servers("https://www.zohoapis.sa", "https://accounts.zoho.sa"),
    "uk": Servers("https://www.zohoapis.uk", "https://accounts.zoho.uk"),
    "ae": Servers("https://www.zohoapis.ae", "https://accounts.zoho.ae"),
}
DEFAULT_REGION = "us"
# The server of results that any server here has given, since the built-in sandbox has another port
# in each run.
THIS_MACHINE = "this machine"


def servers(account: AccountSettings) -> Servers:
    """Return an account's servers: those set explicitly, else its data centre's.

    For an `api_domain` alone, the accounts server is known if the host is one of Zoho's
    (`sandbox.zohoapis.eu` too) or on this machine. Raises ConfigError for a sandbox that is not
    running.
    """
    if account.is_sandbox:
        raise ConfigError(f"account {account.name}: its sandbox is not running")
    if account.api_domain is None:
        region = REGIONS[account.data_center or DEFAULT_REGION]
        return Servers(region.api_domain, account.accounts_url or region.accounts_url)
    accounts_url = account.accounts_url
    if accounts_url is None and (named := REGIONS.get(account.data_center or "")) is not None:
        accounts_url = named.accounts_url
    return Servers(account.api_domain, accounts_url or _accounts_url_of(account.api_domain))


def results_servers(accounts: Iterable[AccountSettings]) -> dict[str, str]:
    """Return what tells the server of each account's results from others, also for people."""
    return {
        each.name: THIS_MACHINE if each.is_local else server_key(servers(each).api_domain)
        for each in accounts
    }


def _accounts_url_of(api_domain: str) -> str | None:
    if is_loopback(api_domain):
        return api_domain
    prefix, _, top = host_of(api_domain).partition(".zohoapis.")
    if prefix not in ("www", "sandbox", "developer"):
        return None
    for region in REGIONS.values():
        if region.api_domain == f"https://www.zohoapis.{top}":
            return region.accounts_url
    return None
