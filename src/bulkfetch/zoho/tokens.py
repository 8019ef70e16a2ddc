"""Access tokens: their sources and their renewal.

One source per account serves all its workers. However many of them find their token refused at the
same time, only one refresh happens: a worker that reports an outdated token gets the current one.
Tokens travel as Secret, and no error raised here contains one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

import aiohttp
import anyio

from bulkfetch.config.hosts import host_of, is_loopback
from bulkfetch.config.settings import AccountSettings, Credentials
from bulkfetch.errors import (
    AccountError,
    CertificateRefused,
    InvalidToken,
    TokenThrottled,
    TokenUnavailable,
)
from bulkfetch.secret import Secret
from bulkfetch.zoho.connect_errors import connect_error
from bulkfetch.zoho.regions import servers
from bulkfetch.zoho.token_cache import (
    CachedToken,
    FileCache,
    KeyringCache,
    NoCache,
    RefreshingCache,
    TokenCache,
    cache_key,
)
from bulkfetch.zoho.token_choice import accounts_server, token_way
from bulkfetch.zoho.token_command import TIMEOUT_S, run_token_command
from bulkfetch.zoho.token_response import Grant, read_token_response

# Renewed this long before its expiry (or at nine tenths of a short lifetime), so that no token
# expires during a request.
EARLY_S = 60.0
# Pause after a failed early renewal, while the old token is still valid.
_AGAIN_S = 15.0
# Zoho issues ten tokens in ten minutes, and each try may have used one.
REFRESH_TRIES = 4
BACKOFF_BASE_S = 1.0
REQUEST_TIMEOUT_S = 30.0
_MAX_BODY_BYTES = 64 * 1024


class TokenSource(Protocol):
    """Provides an account's access tokens."""

    async def token(self) -> Secret:
        """Return the current token, or a fresh one if it is about to expire.

        Raises AccountError. If cancelled: a refresh in progress is dropped.
        """
        ...

    async def renew(self, refused: Secret) -> Secret:
        """Return another token after the server refused this one (401).

        If the current token is already another one, it is returned without a request. The refused
        token is not used again, as with `refuse`. Raises InvalidToken if there can be no other
        token, else as `token`. If cancelled: as `token`.
        """
        ...

    async def refuse(self, refused: Secret) -> None:
        """Never use this token again, also in later runs: the server refused it.

        If cancelled: a later run may use it once more.
        """
        ...


def token_source(
    account: AccountSettings,
    session: Callable[[], aiohttp.ClientSession],
    state_dir: Path | None,
    note: Callable[[str], None] = lambda _: None,
    *,
    anew: bool = False,
) -> TokenSource:
    """Return an account's source: its token_command, else its refresh token, else its token.

    Args:
        session: returns the session for the accounts server when it is first needed. It must trust
            the account's ca_file; proxies, redirects and middlewares are set here. Not closed.
        state_dir: where processes share tokens; None: not shared.
        note: gets, in one sentence without secrets, what a user should know and no error says.
        anew: request a new token instead of loading the shared one.

    Raises:
        MissingCredentials: there is nothing to get a token with.
        ConfigError: the accounts server is unknown, or the keyring is not installed.
    """
    credentials = account.credentials
    way = token_way(account)
    if account.token_command is not None:
        return CommandToken(account.token_command)
    if credentials.access_token is not None and way == "token":
        return StaticToken(credentials.access_token)
    url = accounts_server(account)
    refresh = Refresh(url, credentials, session, account.proxies.url_for(url))
    cache = _cache(account, url, state_dir, note)
    watched = _Watch(refresh, servers(account).api_domain, note)
    return RefreshedToken(watched, RefreshingCache(cache) if anew else cache)


class _Turn:
    """A lock whose waiters fail with the error of the holder they waited for, if it failed.

    Otherwise ten workers would run a hanging command ten times, or keep asking a throttled server.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._failures = 0
        self._failure = AccountError()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        before = self._failures
        async with self._lock:
            if self._failures != before:
                last = self._failure
                raise type(last)(last.message, hint=last.hint, http=last.http)
            try:
                yield
            except AccountError as error:
                self._failures += 1
                self._failure = error
                raise


class StaticToken:
    """A fixed token from the environment."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def token(self) -> Secret:
        return self._secret

    async def renew(self, refused: Secret) -> Secret:
        raise InvalidToken("the server refused the access token, and there is no refresh token")

    async def refuse(self, refused: Secret) -> None:
        return None


class CommandToken:
    """Tokens from a program, which is run again when its token is refused."""

    def __init__(self, command: tuple[str, ...], timeout_s: float = TIMEOUT_S) -> None:
        self._command, self._timeout_s = command, timeout_s
        self._secret: Secret | None = None
        self._refused: set[Secret] = set()
        self._turn = _Turn()

    async def token(self) -> Secret:
        async with self._turn():
            return self._secret or await self._next()

    async def renew(self, refused: Secret) -> Secret:
        async with self._turn():
            await self.refuse(refused)
            return self._secret or await self._next()

    async def refuse(self, refused: Secret) -> None:
        self._refused.add(refused)
        if self._secret == refused:
            self._secret = None

    async def _next(self) -> Secret:
        """Return a new token from the command. Needs the turn."""
        fresh = await run_token_command(self._command, self._timeout_s)
        if fresh in self._refused:
            raise InvalidToken("token_command prints a token that the server refuses")
        self._secret = fresh
        return fresh


class _Held(NamedTuple):
    """The current token. Times on the loop's clock, in seconds."""

    secret: Secret
    renew_at: float
    ends_at: float


class Refresher(Protocol):
    """Requests a new access token. Raises AccountError."""

    async def __call__(self) -> Grant: ...


class RefreshedToken:
    """Tokens for a refresh token, shared with other processes through `cache`."""

    def __init__(
        self, refresh: Refresher, cache: TokenCache, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._refresh, self._cache, self._wall_clock = refresh, cache, wall_clock
        self._held: _Held | None = None
        # For a cache that cannot be written: a refused token that it still holds is not used.
        self._refused: set[Secret] = set()
        # A refused token that the accounts server issued again: it is tried once more, as a new one
        # would be, and other workers that report it start no further refresh.
        self._same: Secret | None = None
        self._turn = _Turn()

    async def token(self) -> Secret:
        held = self._held
        if held is not None and anyio.current_time() < held.renew_at:
            return held.secret
        async with self._turn():
            held = self._held
            if held is not None and anyio.current_time() < held.renew_at:
                return held.secret
            try:
                return await self._next()
            except (TokenThrottled, TokenUnavailable):
                # The renewal was early: the old token is still valid.
                now = anyio.current_time()
                if held is None or held.secret in self._refused or now >= held.ends_at:
                    raise
                self._held = _Held(held.secret, min(now + _AGAIN_S, held.ends_at), held.ends_at)
                return held.secret

    async def renew(self, refused: Secret) -> Secret:
        self._refused.add(refused)
        if refused != self._same:
            self._put_away(refused)
        async with self._turn():
            if self._held is not None:
                return self._held.secret
            if refused == self._same:
                raise InvalidToken("the accounts server issues a token that the API server refuses")
            return await self._next()

    async def refuse(self, refused: Secret) -> None:
        self._refused.add(refused)
        self._put_away(refused)
        async with self._cache.exclusive():
            await self._forget_refused()

    def _put_away(self, refused: Secret) -> None:
        if self._held is not None and self._held.secret == refused:
            self._held = None

    async def _next(self) -> Secret:
        """Return the token that another process has stored, else refresh. Needs the turn."""
        async with self._cache.exclusive():
            # Before the refresh, which may fail: the next run must not start with a refused token.
            kept = await self._forget_refused()
            if kept is not None:
                left_s = kept.left_s(self._wall_clock())
                if left_s > _early_s(kept.lifetime_s):
                    return self._hold(kept.secret, left_s, kept.lifetime_s)
            grant = await self._refresh()
            ends_at = self._wall_clock() + grant.lifetime_s
            self._same = grant.secret if grant.secret in self._refused else None
            if grant.secret not in self._refused:
                await self._cache.store(CachedToken(grant.secret, ends_at, grant.lifetime_s))
            return self._hold(grant.secret, grant.lifetime_s, grant.lifetime_s)

    async def _forget_refused(self) -> CachedToken | None:
        """Return the cached token, None and forgotten if it was refused."""
        kept = await self._cache.load()
        if kept is None or kept.secret not in self._refused:
            return kept
        await self._cache.forget()
        return None

    def _hold(self, secret: Secret, left_s: float, lifetime_s: float) -> Secret:
        ends_at = anyio.current_time() + left_s
        self._held = _Held(secret, ends_at - _early_s(lifetime_s), ends_at)
        return secret


def _early_s(lifetime_s: float) -> float:
    return min(EARLY_S, lifetime_s / 10)


class Refresh:
    """Requests an access token from the accounts server, with a few retries."""

    def __init__(
        self,
        accounts_url: str,
        credentials: Credentials,
        session: Callable[[], aiohttp.ClientSession],
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
            async with self._session().post(
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


class _Watch:
    """Reports once if the accounts server names another API domain than the settings.

    That domain is never used: a token goes only where the settings say.
    """

    def __init__(self, refresh: Refresher, api_domain: str, note: Callable[[str], None]) -> None:
        self._refresh, self._api_domain, self._note = refresh, api_domain, note
        self._told = False

    async def __call__(self) -> Grant:
        grant = await self._refresh()
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


def _cache(
    account: AccountSettings,
    accounts_url: str,
    state_dir: Path | None,
    note: Callable[[str], None],
) -> TokenCache:
    credentials = account.credentials
    if credentials.client_id is None or credentials.refresh_token is None:
        return NoCache()
    key = cache_key(accounts_url, credentials.client_id, credentials.refresh_token)
    folder = None if state_dir is None else state_dir / "tokens"
    if account.token_cache == "keyring":
        return KeyringCache(folder, key, note)
    if not account.token_cache or folder is None:
        return NoCache()
    return FileCache(folder, key, note)
