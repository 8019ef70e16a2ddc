"""What the accounts of a client are asked through, each thing made once and shared by all that ask.

Imported when a client first has something to ask: it takes tenths of a second.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import anyio
import anyio.to_thread

from bulkfetch.clock import MACHINE_CLOCK
from bulkfetch.config import AccountSettings, Credentials, Settings
from bulkfetch.config.account_key import key_in_process
from bulkfetch.config.bounds import Limits
from bulkfetch.config.regions import Servers, servers
from bulkfetch.config.sandbox_table import read_sandbox_options
from bulkfetch.download.bandwidth import Bandwidth
from bulkfetch.download.downloader import Downloader, Endpoint, TransferLimits
from bulkfetch.download.session import open_session
from bulkfetch.download.tls import shared_context
from bulkfetch.errors import ConfigError
from bulkfetch.events import Emit, Event, EventKind
from bulkfetch.pipeline.active_job import AccountAccess
from bulkfetch.ratelimit import (
    OnEvent,
    RateLimit,
    SlotLimiter,
    WindowEvent,
    open_limiter,
    this_process,
)
from bulkfetch.secret import Secret
from bulkfetch.services import CommonWindows, Services
from bulkfetch.zoho.tokens import TokenSource, provided_token, token_source

if TYPE_CHECKING:
    from bulkfetch.control.budget import ControlBudget
    from bulkfetch.control.client import ControlClient
    from bulkfetch.control.sender import CallTimes
    from bulkfetch.ratelimit.postgres.database import WindowDatabase

_WINDOW_NEWS: dict[str, EventKind] = {
    "closed": "window_closed",
    "shared": "window_shared",
    "crowded": "window_crowded",
    "restored": "window_restored",
    "fallback": "window_fallback",
    "held": "window_held",
}


@dataclass(frozen=True, slots=True)
class AccountSession:
    """What every request of an account goes through, whatever it asks for.

    `settings` and `servers` of an account of the built-in sandbox are those of the running one, and
    `is_alone` says that nobody else asks its server. Processes share what they know of the account
    in `state_dir`; None: they share nothing. `window_news` tells what its windows have to tell, and
    once where several things wait for their database.
    """

    settings: AccountSettings
    servers: Servers
    http: aiohttp.ClientSession
    tokens: TokenSource
    state_dir: Path | None
    is_alone: bool
    window_news: OnEvent

    @property
    def key(self) -> str:
        """What the account is called in `state_dir`, and in this process."""
        return key_in_process(self.settings, self.servers.api_domain)


class AccountOpener:
    """The accounts of one client, each opened when it is first asked for. To be closed."""

    def __init__(self, settings: Settings, emit: Emit, services: Services | None = None) -> None:
        """Open nothing yet; `emit` gets what is told of tokens and windows."""
        self._settings = settings
        self._emit = emit
        self._services = services or Services()
        self._clock = self._services.clock or MACHINE_CLOCK
        self._stack = AsyncExitStack()
        self._opening = anyio.Lock()  # for two that ask at once
        self._http_sessions: dict[tuple[Path | None, bool], aiohttp.ClientSession] = {}
        self._sessions: dict[str, AccountSession] = {}
        self._results: dict[str, AccountAccess] = {}
        self._budgets: dict[str, ControlBudget] = {}
        self._sandbox_url: str | None = None
        self._database: WindowDatabase | None = None
        rate = settings.limits.max_bytes_per_s
        self._bandwidth = None if rate is None else Bandwidth(rate)

    async def results(self, name: str) -> AccountAccess:
        """Return what an account's result requests need. Raises AccountError, ConfigError."""
        async with self._opening:
            if name not in self._results:
                self._results[name] = await self._open_results(await self._session(name))
            return self._results[name]

    async def control(self, name: str) -> ControlClient:
        """Return a new client for an account's control calls, with a count of credits of its own.

        All of them share the account's budget. Raises AccountError, ConfigError.
        """
        # late here and below: a plain run makes no such call
        from bulkfetch.control.client import ControlClient
        from bulkfetch.control.sender import CallTimes, ControlEndpoint

        async with self._opening:
            session = await self._session(name)
            limits, account = self._settings.limits, session.settings
            api_domain = session.servers.api_domain
            times = CallTimes(limits.connect_s, limits.headers_s)
            if name not in self._budgets:
                self._budgets[name] = await self._open_budget(session, times)
            endpoint = ControlEndpoint(
                api_domain, account.version, account.proxies.url_for(api_domain)
            )
            budget = self._budgets[name]
            return ControlClient(
                name, session.http, endpoint, session.tokens, budget, times, clock=self._clock
            )

    async def _open_budget(self, session: AccountSession, times: CallTimes) -> ControlBudget:
        from bulkfetch.control.allowance import ControlLimits
        from bulkfetch.control.budget import ControlBudget

        figures, name = session.settings.control, session.settings.name

        def note(message: str) -> None:
            self._emit(Event("note", message, name))

        limits = ControlLimits(
            figures.concurrency,
            figures.creates_per_minute,
            figures.polls_per_minute,
            figures.credits_per_day,
            figures.credits_reserve,
        )
        if (windows := await self._shared_windows(session)) is not None:
            from bulkfetch.control.hosts_ledger import HostsLedger  # late: few share with hosts

            ledger = HostsLedger(
                windows.name_of(session.settings),
                windows.store,
                on_away=session.window_news,
                clock=self._clock.boottime,
            )
            budget = ControlBudget(
                limits, session.key, ledger, times.lease_s, note, generation=windows.generation
            )
        else:
            budget = await ControlBudget.open(
                limits,
                session.key,
                session.state_dir,
                lease_s=times.lease_s,
                alone=session.is_alone,
                note=note,
            )
        self._stack.push_async_callback(budget.aclose)
        return budget

    async def aclose(self) -> None:
        """Close all that was opened, once nobody asks any more."""
        await self._stack.aclose()

    def let_go(self) -> None:
        """Close the sessions where nobody can await it, perhaps after their loop."""
        for http in self._http_sessions.values():
            closing = http.close()
            with suppress(Exception):  # StopIteration among them
                closing.send(None)
            closing.close()

    async def _session(self, name: str) -> AccountSession:
        """Return what all requests of an account share; of one caller at a time."""
        if name not in self._sessions:
            account = self._settings.account(name)
            alone = account.is_sandbox
            if alone:
                # The stand-in takes any token, and counts each one for an account of its own.
                token = Secret("sandbox" if name == "default" else f"sandbox-{name}")
                account = account.at(await self._sandbox(), Credentials(access_token=token))
            self._sessions[name] = await self._open_session(account, alone)
        return self._sessions[name]

    async def _open_session(self, account: AccountSettings, alone: bool) -> AccountSession:
        def note(message: str) -> None:
            self._emit(Event("note", message, account.name))

        def issued(by: str) -> None:
            text = f"an access token was issued by the {by}"
            self._emit(Event("token_issued", text, account.name, data={"by": by}))

        def window_news(event: WindowEvent) -> None:
            figures = {
                "for_s": event.for_s,
                "capacity": event.capacity,
                "in_flight_cap": event.in_flight_cap,
            }
            data = {key: value for key, value in figures.items() if value is not None}
            self._emit(Event(_WINDOW_NEWS[event.kind], event.message, account.name, data=data))

        where = servers(account)
        http = await self._http(account, where)
        # Times of a clock that others do not have mean nothing to them.
        apart = alone or self._services.clock is not None
        state_dir = None if apart else self._settings.state_dir
        tokens: TokenSource
        if self._services.tokens is not None and not alone:
            tokens = provided_token(self._services.tokens, account.name, issued)
        else:
            tokens = token_source(
                account, http, state_dir, note, issued=issued, wall_clock=self._clock.time
            )
        return AccountSession(account, where, http, tokens, state_dir, alone, window_news)

    async def _open_results(self, session: AccountSession) -> AccountAccess:
        limits, account = self._settings.limits, session.settings
        window, api_domain = account.window, session.servers.api_domain
        news = session.window_news
        pace = pace_of(account, limits)
        if (windows := await self._shared_windows(session)) is not None:
            # late: few share a window between hosts
            from bulkfetch.ratelimit.postgres.limiter import open_database_limiter

            limiter = await open_database_limiter(
                pace,
                windows.name_of(account),
                session.key,
                windows.store,
                generation=windows.generation,
                on_event=news,
                clock=self._clock.boottime,
            )
        elif session.is_alone:
            limiter = SlotLimiter(pace, on_event=news)
        elif self._services.clock is not None:
            slots = this_process(self._clock.boottime).slots(session.key)
            limiter = SlotLimiter(pace, slots=slots, on_event=news)
        else:
            limiter = await open_limiter(pace, session.key, session.state_dir, on_event=news)
        self._stack.push_async_callback(limiter.aclose)
        self._emit(_opened(account.name, pace, window.concurrency))
        endpoint = Endpoint(
            api_domain, account.result_path, account.version, account.proxies.url_for(api_domain)
        )
        bounds = TransferLimits(
            limits.zip_bytes,
            limits.idle_s,
            limits.min_bytes_per_s,
            limits.connect_s,
            pace.headers_timeout_s,
            free_bytes=limits.free_bytes,
        )
        tokens = session.tokens
        clock = self._clock
        downloader = Downloader(
            session.http, endpoint, limiter, tokens, bounds, bandwidth=self._bandwidth, clock=clock
        )
        return AccountAccess(
            account.name, downloader, limiter, tokens, window.concurrency, limits.tries, clock
        )

    async def _shared_windows(self, session: AccountSession) -> CommonWindows | None:
        """Return what an account shares with all hosts; None where the machine's own counts."""
        url = self._settings.window.shared
        if session.is_alone:
            return None
        if self._services.windows is not None or url is None:
            return self._services.windows
        from bulkfetch.ratelimit.postgres.database import WindowDatabase  # late: as above

        if self._database is None:
            self._database = await WindowDatabase.open(url, self._settings.database_password)
            self._stack.push_async_callback(self._database.aclose)
        return CommonWindows(self._database)

    async def _http(self, account: AccountSettings, where: Servers) -> aiohttp.ClientSession:
        """Return the session of those that trust the same authorities."""
        ca_file, connector = account.ca_file, self._services.connector
        secure = connector is None and (ca_file is not None or _speaks_tls(account, where))
        if (ca_file, secure) not in self._http_sessions:
            try:
                if secure:
                    await anyio.to_thread.run_sync(shared_context, ca_file)
                http = open_session(
                    ca_file,
                    connect_s=self._settings.limits.connect_s,
                    secure=secure,
                    connector=connector,
                )
            except OSError as error:
                raise ConfigError(f"ca_file {ca_file} cannot be used: {error}") from None
            self._http_sessions[ca_file, secure] = await self._stack.enter_async_context(http)
        return self._http_sessions[ca_file, secure]

    async def _sandbox(self) -> str:
        """Start the stand-in for Zoho, in a thread of its own; once. Gives its address."""
        from bulkfetch.sandbox import SandboxThread  # late: it brings a server along

        if self._sandbox_url is None:
            options = read_sandbox_options(self._settings)
            # To its end even if the run is: a thread that nobody has could not be ended.
            with anyio.CancelScope(shield=True):
                server = await self._stack.enter_async_context(SandboxThread(options))
            self._sandbox_url = server.sandbox.url
        return self._sandbox_url


def pace_of(account: AccountSettings, limits: Limits) -> RateLimit:
    """Return the window of an account, with the time that its requests may take."""
    window = account.window
    return RateLimit(
        window.requests,
        window.period_s,
        window.margin_s,
        headers_timeout_s=limits.connect_s + limits.headers_s,
    )


def _opened(account: str, pace: RateLimit, connections: int) -> Event:
    """Return the news of an account with its window and connections."""
    text = f"{pace.requests} requests in {pace.period_s:g} s, {connections} at once"
    data: dict[str, int | float] = {
        "requests": pace.requests,
        "period_s": pace.period_s,
        "margin_s": pace.margin_s,
        "connections": connections,
    }
    return Event("account_opened", text, account, data=data)


def _speaks_tls(account: AccountSettings, where: Servers) -> bool:
    """Say whether any server that the account's requests may go to is spoken to over TLS."""
    urls = [where.api_domain, where.accounts_url]
    urls += [account.proxies.url_for(url) for url in urls if url is not None]
    return any(url is not None and url.lower().startswith("https:") for url in urls)
