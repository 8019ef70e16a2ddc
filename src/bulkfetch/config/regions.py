"""Zoho's data centres and the servers of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


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
