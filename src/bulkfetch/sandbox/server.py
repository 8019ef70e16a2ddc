"""The stand-in server: takes requests, counts them, answers as Zoho does, or as a script says.

Every result request is counted at its arrival, before anything else is looked at. The server reads
the clock of its event loop and no other, so a test's virtual clock moves its windows too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import zipfile
from dataclasses import replace
from random import Random
from ssl import SSLContext
from types import TracebackType
from typing import Self

from aiohttp import web

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.accounts import DEFAULT, Account, Accounts
from bulkfetch.sandbox.answers import Answers
from bulkfetch.sandbox.bodies import Body
from bulkfetch.sandbox.faults import Exchange, Fault
from bulkfetch.sandbox.jobs import Job, Jobs
from bulkfetch.sandbox.ledger import Arrival, Ledger, worst_in
from bulkfetch.sandbox.library import Library
from bulkfetch.sandbox.options import JobSpec, SandboxOptions
from bulkfetch.sandbox.scripts import Scripts, check
from bulkfetch.sandbox.wire import Reply, Spoken, Wire

_STOP_S = 0.1  # handlers that stall on purpose are not waited for


class Sandbox:
    """A local Zoho CRM Bulk Read service on a loopback port of the running event loop.

    `async with Sandbox(options) as sandbox:` serves at `sandbox.url` until the block ends. Raises
    ValueError for names of faults that do not exist, OSError where `port` cannot be had.
    """

    def __init__(
        self,
        options: SandboxOptions | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: SSLContext | None = None,
    ) -> None:
        self.options = SandboxOptions() if options is None else options
        self._address = (host, port)
        self._ssl_context = ssl_context
        self._ledger = Ledger()
        self._library = Library(self.options)
        self._jobs = Jobs(self.options)
        self._scripts = Scripts(self.options, self._jobs)
        self._random = Random(f"{self.options.seed}/latency")
        self._foreigners: dict[str, asyncio.Task[None]] = {}
        self._runner: web.ServerRunner | None = None
        self._url: str | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to serve. If cancelled: nothing is left open once `stop` was called."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._accounts = Accounts(self.options, now)
        self._answers = Answers(
            self.options, self._accounts, self._jobs, self._library, self._loop.time
        )
        self._jobs.start_s = now
        if self.options.log_file is not None:
            self._ledger = Ledger(self.options.log_file)
        server = web.Server(self._handle, access_log=None, keepalive_timeout=3600.0)
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_S)
        await self._runner.setup()
        host, port = self._address
        site = web.TCPSite(self._runner, host, port, ssl_context=self._ssl_context)
        await site.start()
        scheme = "http" if self._ssl_context is None else "https"
        self._url = f"{scheme}://{host}:{self._runner.addresses[0][1]}"
        for account, per_period in self.options.foreigners.items():
            self.foreigner(per_period, account)

    async def stop(self) -> None:
        """Stop serving and break what is open. Does nothing when stopped already."""
        for task in self._foreigners.values():
            task.cancel()
        self._foreigners.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._ledger.close()

    @property
    def url(self) -> str:
        """Where the service is, for api domain and accounts URL alike: no slash at the end."""
        if self._url is None:
            raise RuntimeError("the sandbox has not been started")
        return self._url

    @property
    def log(self) -> list[Arrival]:
        """Every request that arrived, in order; grows while the server runs."""
        return self._ledger.arrivals

    @property
    def log_failure(self) -> OSError | None:
        """Why the log file is not whole; None as long as it is."""
        return self._ledger.failure

    def results(self, job_id: str | None = None) -> list[Arrival]:
        """Return the result requests, of one job or of all."""
        return [
            arrival
            for arrival in self.log
            if arrival.kind == "result" and job_id in (None, arrival.job_id)
        ]

    def worst_in(self, period_s: float | None = None, account: str | None = None) -> int:
        """Return the most result requests of one account in any interval of `period_s` seconds.

        None for `period_s`: the window's period; for `account`: the worst of all accounts.
        """
        return worst_in(self.log, self.options.period_s if period_s is None else period_s, account)

    def job(self, job_id: str, account: str = DEFAULT) -> Job:
        """Return a job as an account sees it. Raises KeyError."""
        found = self._jobs.find(job_id, account)
        if found is None:
            raise KeyError(job_id)
        return found

    def zip_of(self, job_id: str) -> Body:
        """Return the ZIP that an honest answer for a job holds. Raises KeyError."""
        return self._library.make(job_id, self._spec_of(job_id))

    def file_of(self, job_id: str) -> bytes:
        """Return the first file inside a job's ZIP, in memory as a whole. Raises KeyError."""
        body = self.zip_of(job_id)
        with zipfile.ZipFile(io.BytesIO(body.read(0, body.length))) as archive:
            return archive.read(archive.namelist()[0])

    def _spec_of(self, job_id: str) -> JobSpec:
        spec = self._jobs.spec_of(job_id)
        if spec is None:
            raise KeyError(job_id)
        return spec

    def put_job(self, job_id: str, spec: JobSpec) -> None:
        """Add a job, or change one, from now on; its script of faults begins anew."""
        check(spec.faults)
        self._jobs.put(job_id, spec)
        self._scripts.restart(job_id)

    def fault(self, key: str, *names: str) -> None:
        """Append faults to the script of a job id, or of "token", "create", "status"."""
        self._scripts.append(key, *names)

    def issue_token(self, account: str = DEFAULT) -> str:
        """Give out an access token of an account."""
        return self._accounts.issue(account, self._loop.time())

    def expire_tokens(self, account: str = DEFAULT) -> None:
        """Let the access tokens of an account be expired from now on."""
        self._accounts.kill_tokens(account)

    def revoke(self, account: str = DEFAULT) -> None:
        """Revoke an account's refresh tokens and expire its access tokens."""
        known = self._accounts.get(account)
        known.spec = replace(known.spec, revoked=True)
        self.expire_tokens(account)

    def foreigner(self, per_period: float, account: str = DEFAULT) -> None:
        """Let somebody else take so many requests per period of an account; 0 sends him away.

        He asks at even intervals and, when refused, waits until the account is free.
        """
        if (task := self._foreigners.pop(account, None)) is not None:
            task.cancel()
        if per_period > 0:
            visits = self._visit(account, self.options.period_s / per_period)
            self._foreigners[account] = self._loop.create_task(visits)

    async def _visit(self, account: str, every_s: float) -> None:
        quota = self._accounts.get(account).quota
        while True:
            arrival = self._ledger.arrive("foreign", account, self._loop.time())
            verdict = quota.arrive(arrival.at_s)
            arrival.counted = verdict.admitted
            arrival.status = 200 if verdict.admitted else 429
            self._ledger.end(arrival)
            await asyncio.sleep(max(every_s, verdict.wait_s))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        route = zoho.route(request.path, self.options.paths)
        authorization = request.headers.get("Authorization")
        name = self._accounts.identify(authorization)
        arrival = self._ledger.arrive(
            "other" if route is None else route.kind,
            name or "",
            self._loop.time(),
            job_id=None if route is None else route.job_id,
            method=request.method,
            range_=request.headers.get("Range"),
        )
        wire = Wire(request, self.options.bandwidth_bytes_per_s)
        account = None if name is None else self._accounts.get(name)
        # The client leaving in the middle is what many tests are about; the ledger has it.
        with contextlib.suppress(ConnectionError):
            try:
                if route is None:
                    await wire.speak(self._answers.error("INVALID_URL_PATTERN"))
                elif route.kind == "result":
                    await self._answer_result(request, wire, arrival, account)
                else:
                    await self._answer_other(request, wire, arrival, account, route)
            finally:
                arrival.status = wire.status
                arrival.sent_bytes = wire.body_bytes
                self._ledger.end(arrival)
        return Spoken(wire.keep_alive and not wire.gone)

    async def _answer_result(
        self, request: web.BaseRequest, wire: Wire, arrival: Arrival, account: Account | None
    ) -> None:
        refusal: Reply | None = None
        if account is not None:
            verdict = account.quota.arrive(arrival.at_s)
            arrival.counted = verdict.admitted
            cap = self.options.concurrency
            if not verdict.admitted:
                refusal = self._answers.too_many(verdict.wait_s)
            elif cap is not None and account.in_flight >= cap:
                refusal = self._answers.too_many(1.0)
        await self._lag()
        if refusal is not None or account is None:
            await wire.speak(refusal or self._answers.error("INVALID_TOKEN"))
            return
        account.in_flight += 1
        try:
            refusal = self._answers.refusal(request, account)
            if refusal is None and request.method != "GET":
                refusal = self._answers.error("INVALID_REQUEST_METHOD")
            if refusal is not None:
                await wire.speak(refusal)
                return
            assert arrival.job_id is not None
            reply = await self._answers.result(arrival.job_id, account, request)
            found = self._scripts.of_result(arrival.job_id, arrival.attempt)
            right = reply.status in (200, 206) and reply.body.length > 0
            await self._speak(wire, arrival, reply, found, right)
        finally:
            account.in_flight -= 1

    async def _answer_other(
        self,
        request: web.BaseRequest,
        wire: Wire,
        arrival: Arrival,
        account: Account | None,
        route: zoho.Route,
    ) -> None:
        body = await request.read()
        await self._lag()
        if route.kind == "token":
            form = {key: str(value) for key, value in request.query.items()}
            form |= {key: str(value) for key, value in (await request.post()).items()}
            arrival.account = self._accounts.owner_of_refresh(form) or ""
            reply = self._answers.token(request, form, self.url)
        elif account is None:
            reply = self._answers.error("INVALID_TOKEN")
        elif (refusal := self._answers.refusal(request, account)) is not None:
            reply = refusal
        elif route.kind == "create":
            reply = self._answers.create(request, body, account, route.version)
        else:
            reply = self._answers.status(request, str(route.job_id), account, route.version)
        found = self._scripts.next(route.kind)
        await self._speak(wire, arrival, reply, found, right=True)

    async def _speak(
        self,
        wire: Wire,
        arrival: Arrival,
        reply: Reply,
        found: tuple[Fault, str] | None,
        right: bool,
    ) -> None:
        try:
            if found is None:
                await wire.speak(reply)
            else:
                fault, arg = found
                arrival.fault = fault.name
                await fault.act(Exchange(wire, reply, arg))
        finally:
            honest = found is None or found[0].delivers
            arrival.whole = wire.complete and honest and right

    async def _lag(self) -> None:
        least, most = self.options.latency_s
        if most > 0:
            await asyncio.sleep(self._random.uniform(least, most))
