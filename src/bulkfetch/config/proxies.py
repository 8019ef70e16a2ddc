"""Which proxy a request goes through."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from bulkfetch.config.hosts import host_of, is_loopback
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

_PROXY = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)


class Proxies(NamedTuple):
    """The proxies for https and for http addresses, None for a direct connection.

    Secret, since the address of a proxy may hold a password. `bypass` are the hosts of NO_PROXY.
    """

    https: Secret | None = None
    http: Secret | None = None
    bypass: tuple[str, ...] = ()

    def url_for(self, url: str) -> str | None:
        """Give the proxy for an address, None for a direct connection. Loopback is always direct.

        The answer may hold a password: it is for the HTTP library only.
        """
        if is_loopback(url) or _bypassed(url, self.bypass):
            return None
        proxy = self.http if url.lower().startswith("http:") else self.https
        return None if proxy is None else proxy.reveal()


def explicit(address: str) -> Proxies:
    """Use one proxy for everything but loopback; "" means none, whatever the environment says.

    Raises ValueError for an address that is not http:// or https://.
    """
    if not address:
        return Proxies()
    _check(address)
    return Proxies(https=Secret(address), http=Secret(address))


def from_environment(env: Mapping[str, str]) -> Proxies:
    """Read HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as curl does.

    The lower-case name wins; HTTP_PROXY counts in lower case only, since a CGI server fills the
    other one from a request header. Raises ConfigError for a proxy that cannot be used (socks):
    going round it in silence would be worse.
    """
    found: dict[str, Secret] = {}
    for scheme, name in variables(env).items():
        address = env[name].strip()
        if "://" not in address:
            address = f"http://{address}"
        try:
            _check(address)
        except ValueError as error:
            raise ConfigError(
                f"environment variable {name} {error}",
                hint='Unset it, or set proxy = "" in [account] to connect directly.',
            ) from None
        found[scheme] = Secret(address)
    bypass = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return Proxies(
        https=found.get("https"),
        http=found.get("http"),
        bypass=tuple(host.strip().lower() for host in bypass.split(",") if host.strip()),
    )


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Say which variable names the proxy for https and for http addresses, where there is one."""
    found = {}
    for scheme, names in (
        ("https", ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")),
        ("http", ("http_proxy", "all_proxy", "ALL_PROXY")),
    ):
        name = next((name for name in names if env.get(name, "").strip()), None)
        if name is not None:
            found[scheme] = name
    return found


def _check(address: str) -> None:
    try:
        usable = urlsplit(address).port != 0
    except ValueError:
        usable = False
    if not usable or _PROXY.fullmatch(address) is None or not host_of(address):
        raise ValueError("should be a proxy's address such as http://proxy.example:3128")


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
