"""Which proxy a request goes through."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from bulkfetch.config.hosts import host_of, is_loopback
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

_PROXY = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)
# With underscores, which proxies have where containers are named so.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_SHOULD_BE = (
    "must be a proxy's address such as http://proxy.example:3128, without a path; special "
    "characters of a password are percent-encoded"
)


class Proxies(NamedTuple):
    """The proxies for https and for http addresses, None for a direct connection.

    Secret, since the address of a proxy may hold a password. `bypass` are the hosts of NO_PROXY.
    """

    https: Secret | None = None
    http: Secret | None = None
    bypass: tuple[str, ...] = ()

    def url_for(self, url: str) -> str | None:
        """Return the proxy for an address, None for a direct connection. Loopback is always direct.

        The answer may hold a password: it is for the HTTP library only.
        """
        if is_loopback(url) or _bypassed(url, self.bypass):
            return None
        proxy = self.http if url.lower().startswith("http:") else self.https
        return None if proxy is None else proxy.reveal()


def explicit(address: str) -> Proxies:
    """Return one proxy for everything but loopback; "" means none, whatever the environment says.

    Raises ValueError for an address that cannot be used; see `check_proxy`.
    """
    if not address:
        return Proxies()
    check_proxy(address)
    return Proxies(https=Secret(address), http=Secret(address))


def from_environment(env: Mapping[str, str]) -> Proxies:
    """Read HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as curl does.

    The lower-case name wins; HTTP_PROXY counts in lower case only, since a CGI server fills the
    other one from a request header. Hosts in NO_PROXY are divided by commas or blanks.

    Raises ConfigError for a proxy that cannot be used (socks): going round it in silence would be
    worse. The address is not told.
    """
    found: dict[str, Secret] = {}
    for scheme, name in variables(env).items():
        address = env[name].strip()
        if "://" not in address:
            address = f"http://{address}"
        try:
            check_proxy(address)
        except ValueError as error:
            raise ConfigError(
                f"environment variable {name} {error}",
                hint='Unset it, or set proxy = "" for the account to connect directly.',
            ) from None
        found[scheme] = Secret(address)
    bypass = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return Proxies(
        https=found.get("https"),
        http=found.get("http"),
        bypass=tuple(bypass.replace(",", " ").lower().split()),
    )


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return which variable names the proxy for https and for http addresses, if any."""
    found = {}
    for scheme, names in (
        ("https", ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")),
        ("http", ("http_proxy", "all_proxy", "ALL_PROXY")),
    ):
        name = next((name for name in names if env.get(name, "").strip()), None)
        if name is not None:
            found[scheme] = name
    return found


def check_proxy(address: str) -> None:
    """Raise ValueError where no request can be sent through a proxy of this address.

    No character of it is in the message: it may hold a password. User name and password go into a
    header (RFC 7617): percent-encoded as UTF-8 in the address, of Latin-1 once they are decoded,
    without control characters; the user name without a colon.
    """
    try:
        parts = urlsplit(address)
        usable = parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:
        raise ValueError(_SHOULD_BE) from None
    if not usable or _PROXY.fullmatch(address) is None:
        raise ValueError(_SHOULD_BE)
    if parts.path not in ("", "/") or "?" in address or "#" in address:
        raise ValueError(_SHOULD_BE)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if not _can_be_sent(user) or ":" in unquote(user) or not _can_be_sent(password):
        raise ValueError(
            "has a user name or a password that no header can carry: characters outside Latin-1, "
            "control characters or, in the user name, a colon"
        )


def _is_host(host: str) -> bool:
    """Return whether a host, without brackets, can be looked up or connected to."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).scope_id is None
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(map(_LABEL.fullmatch, labels))


def _can_be_sent(quoted: str) -> bool:
    """Return whether a header can carry what this percent-encoded text stands for."""
    try:
        text = unquote_to_bytes(quoted).decode()
        text.encode("latin-1")
    except UnicodeError:
        return False
    return not any(unicodedata.category(char) == "Cc" for char in text)


def _bypassed(url: str, bypass: tuple[str, ...]) -> bool:
    host = host_of(url)
    for entry in bypass:
        if entry == "*":
            return True
        if "/" in entry:
            if _in_network(host, entry):
                return True
            continue
        suffix = entry.removeprefix("*").lstrip(".")
        if suffix and (host == suffix or host.endswith(f".{suffix}")):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
