"""The stand-in server, and what tests do with it while it runs.

It reads the clock of its event loop and no other, so a test's virtual clock moves its windows and
its stamps too.
"""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, Self

from aiohttp import web

from bulkfetch.sandbox.accounts import DEFAULT, Accounts
from bulkfetch.sandbox.answers import Answers
from bulkfetch.sandbox.bodies import Body
from bulkfetch.sandbox.callbacks import CallbackPost, post_callback
from bulkfetch.sandbox.calls import CallTaker
from bulkfetch.sandbox.creating import JobMaker
from bulkfetch.sandbox.directory import Directory
from bulkfetch.sandbox.jobs import Jobs, SandboxJob
from bulkfetch.sandbox.ledger import Arrival, Ledger, worst_in
from bulkfetch.sandbox.library import Library
from bulkfetch.sandbox.options import JobSpec, SandboxOptions
from bulkfetch.sandbox.org.org import Org
from bulkfetch.sandbox.org.specs import FieldSpec, JobPlan
from bulkfetch.sandbox.scripts import Scripts, check

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
        options = self.options
        records = options.records if options.module_records is None else options.module_records
        self.org = Org(
            options.modules, options.seed, records, options.ics_records, options.query_lag_s
        )
        self.callbacks: list[CallbackPost] = []
        self._maker = JobMaker(options, self.org, self._jobs, self._wall)
        self._telling: set[asyncio.Task[None]] = set()
        self._foreigners: dict[str, asyncio.Task[None]] = {}
        self._runner: web.ServerRunner | None = None
        self._url: str | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to serve. If cancelled: nothing is left open once `stop` was called."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._accounts = Accounts(self.options, now)
        self._jobs.start_s = now
        epoch = self.options.epoch
        if epoch is not None and epoch.tzinfo is None:
            epoch = epoch.replace(tzinfo=UTC)
        self._epoch_s = time.time() if epoch is None else epoch.timestamp()
        clock = self._loop.time

        def wall() -> float:
            return self._wall(clock())

        self._answers = Answers(
            self.options,
            self._accounts,
            self._jobs,
            self._library,
            self._maker,
            Directory(self.options, self.org, wall),
            clock,
        )
        if self.options.log_file is not None:
            self._ledger = Ledger(self.options.log_file)
        calls = CallTaker(
            self.options,
            self._accounts,
            self._answers,
            self._jobs,
            self._scripts,
            self._ledger,
            clock,
            wall,
            lambda: self.url,
            self._job_created,
        )
        server = web.Server(calls.take, access_log=None, keepalive_timeout=3600.0)
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
        for task in self._telling:
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

    def job(self, job_id: str, account: str = DEFAULT) -> SandboxJob:
        """Return a job as an account sees it. Raises KeyError."""
        found = self._jobs.find(job_id, account)
        if found is None:
            raise KeyError(job_id)
        return found

    def zip_of(self, job_id: str) -> Body:
        """Return the ZIP that an honest answer for a job holds. Raises KeyError."""
        job = self._jobs.job_of(job_id)
        if job is None:
            raise KeyError(job_id)
        return self._library.zip_made(job)

    def file_of(self, job_id: str) -> bytes:
        """Return the first file inside a job's ZIP, in memory as a whole. Raises KeyError."""
        body = self.zip_of(job_id)
        with zipfile.ZipFile(io.BytesIO(body.read(0, body.length))) as archive:
            return archive.read(archive.namelist()[0])

    def put_job(self, job_id: str, spec: JobSpec) -> None:
        """Add a job, or change one, from now on; its script of faults begins anew."""
        check(spec.faults)
        self._jobs.put(job_id, spec)
        self._scripts.restart(job_id)

    def fault(self, key: str, *names: str) -> None:
        """Append faults to a script: of a job id, or of a kind of call as in the options."""
        self._scripts.append(key, *names)

    # --- the org, while the server runs; all on its clock

    @property
    def now(self) -> datetime:
        """The time of day on the server's clock."""
        return datetime.fromtimestamp(self._wall(self._loop.time()), UTC)

    def insert(self, module: str, record: Mapping[str, Any]) -> str:
        """Add a record and return its id. Raises KeyError, ValueError."""
        return str(self.org.store(module).insert(record, self.now.timestamp()))

    def modify(
        self, module: str, record_id: str, changes: Mapping[str, Any], *, touch: bool = True
    ) -> None:
        """Change a record; without `touch` its Modified_Time stays, as when a formula changes.

        Raises KeyError, ValueError.
        """
        store = self.org.store(module)
        store.modify(int(record_id), changes, self.now.timestamp(), touch=touch)

    def delete(self, module: str, record_id: str, *, permanent: bool = False) -> None:
        """Delete a record, or for good one that is in the bin. Raises KeyError."""
        store = self.org.store(module)
        store.delete(int(record_id), self.now.timestamp(), permanent=permanent)

    def rows(self, module: str, fields: Sequence[str] | None = None) -> list[dict[str, str]]:
        """Return a module's records as they are now, each as a reader of its CSV would have it."""
        return self.org.rows(module, fields, self.options.csv_zone)

    def put_field(self, module: str, spec: FieldSpec) -> None:
        """Add a field to a module, or let one be another from now on. Raises KeyError."""
        self.org.store(module).put_field(spec)

    def drop_field(self, module: str, name: str) -> None:
        """Take a field away from a module. Raises KeyError."""
        self.org.store(module).drop_field(name)

    def plan(self, module: str, *plans: JobPlan) -> None:
        """Say what is to become of the next jobs that are created of a module."""
        self._maker.plan(module, *plans)

    def forget_page_tokens(self) -> None:
        """Let no page token that was given out be good any more."""
        self._maker.forget_tokens()

    def arrivals(self, *kinds: str, module: str | None = None) -> list[Arrival]:
        """Return the calls of some kinds (none: of all), of one module or of all."""
        return [
            each
            for each in self.log
            if (not kinds or each.kind in kinds) and module in (None, each.module)
        ]

    def created(self, module: str | None = None) -> list[SandboxJob]:
        """Return the jobs that were created, of one module or of all, in order."""
        return [job for job in self._jobs.created if module in (None, job.module)]

    def credits_spent(self, account: str = DEFAULT) -> int:
        """Return what all calls of an account have cost in credits."""
        return self._accounts.get(account).budget.spent

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

    def _wall(self, at_s: float) -> float:
        """Return seconds since 1970 for a time of the loop's clock."""
        return self._epoch_s + at_s - self._jobs.start_s

    def _job_created(self, job: SandboxJob, version: float) -> None:
        if job.callback is not None:
            task = self._loop.create_task(self._tell_end(job, job.callback, version))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell_end(self, job: SandboxJob, url: str, version: float) -> None:
        await asyncio.sleep(job.prepare_s)
        told = self._answers.told(job, version)
        if told is not None:
            self.callbacks.append(await post_callback(job.id, url, told))
