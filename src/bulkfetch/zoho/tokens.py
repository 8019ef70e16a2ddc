"""Access tokens: their sources and their renewal.

One source per account serves all its workers. However many of them find their token refused at the
same time, only one refresh happens: a worker that reports an outdated token gets the current one.
Tokens travel as Secret, and no error raised here contains one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp
import anyio

from bulkfetch.config.regions import servers
from bulkfetch.config.settings import AccountSettings
from bulkfetch.errors import AccountError, InvalidToken, TokenThrottled, TokenUnavailable
from bulkfetch.secret import Secret
from bulkfetch.zoho.token_cache import (
    CachedToken,
    FileCache,
    KeyringCache,
    NoCache,
    TokenCache,
    cache_key,
)
from bulkfetch.zoho.token_choice import accounts_server, token_way
from bulkfetch.zoho.token_command import TIMEOUT_S, run_token_command
from bulkfetch.zoho.token_provider import TokenProvider, ask_provider
from bulkfetch.zoho.token_refresh import Refresh, Refresher, WatchedRefresh

# Renewed this long before its expiry (or at nine tenths of a short lifetime), so that no token
# expires during a request.
EARLY_S = 60.0
# Pause after a failed early renewal, while the old token is still valid.
_AGAIN_S = 15.0


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
    session: aiohttp.ClientSession,
    state_dir: Path | None,
    note: Callable[[str], None] = lambda _: None,
    *,
    anew: bool = False,
    issued: Callable[[str], None] = lambda _: None,
    wall_clock: Callable[[], float] = time.time,
) -> TokenSource:
    """Return an account's source: its token_command, else its refresh token, else its token.

    Args:
        session: for the accounts server. It must trust the account's ca_file; proxies, redirects
            and middlewares are set here. Not closed.
        state_dir: where processes share tokens; None: not shared.
        note: gets, in one sentence without secrets, what a user should know and no error says.
        anew: request a new token instead of loading the shared one.
        issued: is called after each token that was issued, with the name of the issuer.
        wall_clock: says when a shared token ends.

    Raises:
        MissingCredentials: there is nothing to get a token with.
        ConfigError: the accounts server is unknown, or the keyring is not installed.
    """
    credentials = account.credentials
    way = token_way(account)
    if account.token_command is not None:
        return command_token(account.token_command, issued=issued)
    if credentials.access_token is not None and way == "token":
        return StaticToken(credentials.access_token)
    url = accounts_server(account)
    refresh = Refresh(url, credentials, session, account.proxies.url_for(url))
    cache = _cache(account, url, state_dir, note)
    watched = WatchedRefresh(refresh, servers(account).api_domain, note, issued)
    return RefreshedToken(watched, cache, wall_clock, anew=anew)


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


class StaticToken(TokenSource):
    """A fixed token from the environment."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def token(self) -> Secret:
        return self._secret

    async def renew(self, refused: Secret) -> Secret:
        raise InvalidToken("the server refused the access token, and there is no refresh token")

    async def refuse(self, refused: Secret) -> None:
        return None


class AskedToken(TokenSource):
    """Tokens from a function that is called again when its token is refused.

    `ask` gets the token that was refused last, None at first; `by` is what messages call it.
    """

    def __init__(
        self,
        ask: Callable[[Secret | None], Awaitable[Secret]],
        by: str,
        issued: Callable[[str], None],
    ) -> None:
        self._ask, self._by, self._issued = ask, by, issued
        self._secret: Secret | None = None
        self._refused: set[Secret] = set()
        self._refused_last: Secret | None = None
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
        self._refused_last = refused
        if self._secret == refused:
            self._secret = None

    async def _next(self) -> Secret:
        """Return a new token. Needs the turn."""
        fresh = await self._ask(self._refused_last)
        if fresh in self._refused:
            raise InvalidToken(f"the {self._by} gives a token that the server refuses")
        self._secret = fresh
        self._issued(self._by)
        return fresh


def command_token(
    command: tuple[str, ...],
    timeout_s: float = TIMEOUT_S,
    issued: Callable[[str], None] = lambda _: None,
) -> AskedToken:
    """Return tokens from a program, which is run again when its token is refused."""
    return AskedToken(lambda _: run_token_command(command, timeout_s), "token_command", issued)


def provided_token(
    provider: TokenProvider, account: str, issued: Callable[[str], None]
) -> AskedToken:
    """Return tokens from the program that this library is part of."""
    return AskedToken(partial(ask_provider, provider, account), "token provider", issued)


class _Held(NamedTuple):
    """The current token. Times on the loop's clock, in seconds."""

    secret: Secret
    renew_at: float
    ends_at: float


class RefreshedToken(TokenSource):
    """Tokens for a refresh token, shared with other processes through `cache`.

    `anew`: a new one is requested, whatever is there.
    """

    def __init__(
        self,
        refresh: Refresher,
        cache: TokenCache,
        wall_clock: Callable[[], float] = time.time,
        *,
        anew: bool = False,
    ) -> None:
        self._refresh, self._cache, self._wall_clock = refresh, cache, wall_clock
        self._anew = anew
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
            if kept is not None and not self._anew:
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
