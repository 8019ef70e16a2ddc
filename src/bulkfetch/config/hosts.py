"""Which servers may be named in settings, and what tells one from another.

A server is scheme, host and port as they are used. There are many spellings of each, and where two
of them were taken for two servers, one account would have two windows. So every address that comes
from settings passes `server_url`, and what must tell servers apart asks `server_key`.
"""

from __future__ import annotations

import ipaddress
import re

# Scheme, host, port and nothing else: user names, queries and paths have no place in the address
# of a server, and each has been used to make a token go elsewhere.
_SERVER = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]{1,254}|\[[0-9a-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# A host whose last part is a number is taken for an IPv4 address by who connects, in forms that
# nobody means to write: 127.1, 0x7f.1, 2130706433. Only the plain form with four parts is taken.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r":[0-9]+\Z")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


def server_url(text: str) -> str:
    """Return the address of a server as it is used: in lower case without a trailing slash.

    The dot at the end of a host's name goes, IP addresses get their shortest form, and an IPv4
    address within IPv6 (`::ffff:…`) its own. Raises ValueError unless it is https, or http to a
    loopback host, without user name, path or query.
    """
    match = _SERVER.fullmatch(text.lower()) if text.isascii() else None
    host = None if match is None else _one_spelling(match["host"])
    if match is None or host is None or not 0 < int(match["port"] or 443) < 65536:
        raise ValueError(
            "must be the address of a server such as https://www.zohoapis.com, "
            "without user name, path or query"
        )
    url = f"{match['scheme']}://{host}" + (f":{int(match['port'])}" if match["port"] else "")
    if match["scheme"] == "http" and not is_loopback(url):
        raise ValueError("must begin with https://, since a token goes there")
    return url


def server_key(url: str) -> str:
    """Return what tells a server, given as by `server_url`, from all others.

    The port that its scheme stands for is not told. All loopback addresses and `localhost` are one
    host: a server of this machine may listen on several of them, and its port tells it apart.
    """
    scheme, _, authority = url.partition("://")
    host, port = authority, ""
    if match := _PORT.search(authority):
        host, port = authority[: match.start()], match[0]
    if is_loopback(url):
        host = "localhost"
    return f"{scheme}://{host}" + ("" if port == _DEFAULT_PORTS[scheme] else port)


def host_of(url: str) -> str:
    """Return the host of an http address in lower case without brackets, "" if none."""
    authority = url.lower().partition("://")[2].partition("/")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def is_loopback(url: str) -> bool:
    """Return whether an address stays on this machine: localhost, 127.0.0.0/8 or ::1.

    Strict: a spelling that `server_url` would not give out, such as 127.1, is not believed.
    """
    host = host_of(url).removesuffix(".")
    if host == "localhost":
        return True
    try:
        return _unmapped(ipaddress.ip_address(host)).is_loopback
    except ValueError:
        return False


def _one_spelling(host: str) -> str | None:
    """Return a host's one spelling, None for what is none; lower case, IPv6 in brackets."""
    try:
        if host.startswith("["):
            address = _unmapped(ipaddress.IPv6Address(host[1:-1]))
        else:
            host = host.removesuffix(".")
            labels = host.split(".")
            if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
                return None
            if _NUMBER.fullmatch(labels[-1]) is None:
                return host
            address = ipaddress.IPv4Address(host)
    except ValueError:
        return None
    if address.is_unspecified:  # it leads to this machine, and looks as if it did not
        return None
    return str(address) if address.version == 4 else f"[{address}]"


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that a mapped IPv6 address leads to, any other one as it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
