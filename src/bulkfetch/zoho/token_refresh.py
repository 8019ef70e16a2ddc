"""Asking the accounts server for an access token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import aiohttp
import anyio

from bulkfetch.config.hosts import host_of, is_loopback
from bulkfetch.config.settings import Credentials
from bulkfetch.errors import AccountError, CertificateRefused, TokenUnavailable
from bulkfetch.zoho.connect_errors import connect_error
from bulkfetch.zoho.token_response import Grant, read_token_response

# Zoho issues ten tokens in ten minutes, and each try may have used one.
REFRESH_TRIES = 4
BACKOFF_BASE_S = 1.0
REQUEST_TIMEOUT_S = 30.0
_MAX_BODY_BYTES = 64 * 1024


# Requests a new access token. Raises AccountError.
Refresher = Callable[[], Awaitable[Grant]]


class Refresh:
    """Requests an access token from the accounts server, with a few retries."""

    def __init__(
        self,
        accounts_url: str,
        credentials: Credentials,
        session: aiohttp.ClientSession,
        proxy: str | None = None,
        backoff_base_s: float = BACKOFF_BASE_S,
        random: Random | None = None,
    ) -> None:
        self._url = f"{accounts_url}/oauth/v2/token"
        self._host = host_of(accounts_url)
        self._credentials, self._session, self._proxy = credentials, session, proxy
        self._backoff_base_s, self._random = backoff_base_s, random or Random()

    async def __call__(self) -> Grant:
        """Return a grant. Raises TokenRefused, TokenThrottled, TokenUnavailable.

        If cancelled: the server may have issued a token that is lost; it expires within the hour.
        """
        attempt = 1
        while not isinstance(answer := await self._ask(), Grant):
            if not isinstance(answer, TokenUnavailable) or attempt == REFRESH_TRIES:
                raise answer
            await anyio.sleep(self._random.uniform(0, self._backoff_base_s * 2**attempt))
            attempt += 1
        return answer

    async def _ask(self) -> Grant | AccountError:
        parts = {
            "refresh_token": self._credentials.refresh_token,
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
        }
        form = {name: part.reveal() for name, part in parts.items() if part is not None}
        try:
            async with self._session.post(
                self._url,
                data={"grant_type": "refresh_token", **form},
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                allow_redirects=False,
                middlewares=(),  # those for results would take a slot and add a token
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            ) as response:
                body = b""
                while len(body) <= _MAX_BODY_BYTES and (
                    chunk := await response.content.read(_MAX_BODY_BYTES)
                ):
                    body += chunk
                return read_token_response(response.status, body, parts.values())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(failed := connect_error(error), CertificateRefused):
                return failed
            # Else only the type: foreign messages may contain what was sent, or a proxy's password.
            why = type(error).__name__ if failed is None else failed.message
            return TokenUnavailable(f"the accounts server {self._host} cannot be reached: {why}")


class WatchedRefresh:
    """Tells of each token, and once if the server names another API domain than the settings.

    That domain is never used: a token goes only where the settings say.
    """

    def __init__(
        self,
        refresh: Refresher,
        api_domain: str,
        note: Callable[[str], None],
        issued: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._refresh, self._api_domain, self._note = refresh, api_domain, note
        self._issued = issued
        self._told = False

    async def __call__(self) -> Grant:
        grant = await self._refresh()
        self._issued("accounts server")
        if (
            grant.api_domain is not None
            and not is_loopback(self._api_domain)
            and _top(grant.api_domain) != _top(self._api_domain)
            and not self._told
        ):
            self._told = True
            self._note(
                f"the accounts server says that this account belongs to {grant.api_domain}, the "
                f"settings say {self._api_domain}: check data_center"
            )
        return grant


def _top(api_domain: str) -> str:
    """Return what distinguishes data centres: sandbox.zohoapis.eu and www.zohoapis.eu are one."""
    return host_of(api_domain).rpartition("zohoapis.")[2]
