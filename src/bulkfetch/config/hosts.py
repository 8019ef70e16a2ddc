"""Which servers may be named in settings."""

from __future__ import annotations

import ipaddress
import re

# Scheme, host, port and nothing else: user names, queries and paths have no place in the address
# of a server, and each has been used to make a token go elsewhere.
_SERVER = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)


def server_url(text: str) -> str:
    """Check the address of a server and give it in lower case without a trailing slash.

    Raises ValueError unless it is https, or http to a loopback host, without user name, path or
    query.
    """
    match = _SERVER.fullmatch(text.lower())
    if match is None or not 0 < int(match["port"] or 443) < 65536:
        raise ValueError(
            "should be the address of a server such as https://www.zohoapis.com, "
            "without user name, path or query"
        )
    if match["scheme"] == "http" and not is_loopback(text):
        raise ValueError("should begin with https://, since a token goes there")
    return text.lower().rstrip("/")


def host_of(url: str) -> str:
    """Give the host of an http address in lower case, without brackets; "" where there is none."""
    authority = url.lower().partition("://")[2].partition("/")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def is_loopback(url: str) -> bool:
    """Say whether an address stays on this machine: localhost, 127.0.0.0/8 or ::1."""
    host = host_of(url)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
