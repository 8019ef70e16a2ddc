"""Each call on its way: written down, counted, let in or refused, carried out, answered.

Every result request is counted at its arrival, before anything else is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

from aiohttp import web

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.accounts import Account, Accounts
from bulkfetch.sandbox.answers import Answers
from bulkfetch.sandbox.budgets import price
from bulkfetch.sandbox.faults import Exchange, Fault
from bulkfetch.sandbox.jobs import Jobs, SandboxJob
from bulkfetch.sandbox.ledger import Arrival, Ledger
from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.scripts import Scripts
from bulkfetch.sandbox.wire import Reply, Spoken, Wire


class CallTaker:
    """Takes the calls of one sandbox. `clock` gives seconds that never fall, `wall` since 1970.

    `url` is where the service is; `created` is told of each job and the version of its call.
    """

    def __init__(
        self,
        options: SandboxOptions,
        accounts: Accounts,
        answers: Answers,
        jobs: Jobs,
        scripts: Scripts,
        ledger: Ledger,
        clock: Callable[[], float],
        wall: Callable[[], float],
        url: Callable[[], str],
        created: Callable[[SandboxJob, float], None],
    ) -> None:
        self._options, self._accounts, self._answers = options, accounts, answers
        self._jobs, self._scripts, self._ledger = jobs, scripts, ledger
        self._clock, self._wall = clock, wall
        self._url, self._created = url, created
        self._random = Random(f"{options.seed}/latency")

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        route = zoho.route(request.path, self._options.paths)
        name = self._accounts.identify(request.headers.get("Authorization"))
        arrival = self._ledger.arrive(
            "other" if route is None else route.kind,
            name or "",
            self._clock(),
            job_id=None if route is None else route.job_id,
            method=request.method,
            range_=request.headers.get("Range"),
        )
        wire = Wire(request, self._options.bandwidth_bytes_per_s, self._wall())
        account = None if name is None else self._accounts.get(name)
        # The client leaving in the middle is what many tests are about; the ledger has it.
        with contextlib.suppress(ConnectionError):
            try:
                if route is None:
                    await wire.speak(self._answers.error("INVALID_URL_PATTERN"))
                elif route.kind == "token":
                    await self._give_token(request, wire, arrival)
                else:
                    await self._answer(request, wire, arrival, account, route)
            finally:
                arrival.status = wire.status
                arrival.sent_bytes = wire.body_bytes
                self._ledger.end(arrival)
        return Spoken(wire.keep_alive and not wire.gone)

    async def _give_token(self, request: web.BaseRequest, wire: Wire, arrival: Arrival) -> None:
        await request.read()
        await self._lag()
        form = {key: str(value) for key, value in request.query.items()}
        form |= {key: str(value) for key, value in (await request.post()).items()}
        arrival.account = self._accounts.owner_of_refresh(form) or ""
        reply = self._answers.token(request, form, self._url())
        await self._speak(wire, arrival, reply, self._scripts.next("token"), right=True)

    async def _answer(
        self,
        request: web.BaseRequest,
        wire: Wire,
        arrival: Arrival,
        account: Account | None,
        route: zoho.Route,
    ) -> None:
        full = None if account is None else self._full(arrival, account)
        if account is not None and full is None:
            account.in_flight += 1
        try:
            body = b"" if route.kind == "result" else await request.read()
            self._note(arrival, route, request, body)
            await self._lag()
            if account is None or full is not None:
                await wire.speak(full or self._answers.error("INVALID_TOKEN"))
                return
            refusal = self._refusal(request, arrival, account)
            if refusal is not None:
                await wire.speak(refusal)
                return
            await self._carry_out(request, wire, arrival, account, route, body)
        finally:
            if account is not None and full is None:
                account.in_flight -= 1

    def _full(self, arrival: Arrival, account: Account) -> Reply | None:
        """Count an arrival; return the 429 where it is one too many."""
        if arrival.kind == "result":
            verdict = account.quota.arrive(arrival.at_s)
            arrival.counted = verdict.admitted
            if not verdict.admitted:
                return self._answers.too_many(verdict.wait_s)
        cap = self._options.concurrency
        if cap is not None and account.in_flight >= cap:
            return self._answers.too_many(1.0)
        return None

    def _refusal(
        self, request: web.BaseRequest, arrival: Arrival, account: Account
    ) -> Reply | None:
        """Return what is said to a call that is not let in; charge one that is."""
        refusal = self._answers.refusal(request, account, arrival.kind, arrival.module)
        if refusal is not None:
            return refusal
        if arrival.kind == "result" and request.method != "GET":
            return self._answers.error("INVALID_REQUEST_METHOD")
        now = self._clock()
        wait_s = account.budget.admit(arrival.kind, now)
        if wait_s is not None:
            return self._answers.too_many(wait_s).but(*account.budget.told(now))
        arrival.credits = price(arrival.kind)
        return None

    async def _carry_out(
        self,
        request: web.BaseRequest,
        wire: Wire,
        arrival: Arrival,
        account: Account,
        route: zoho.Route,
        body: bytes,
    ) -> None:
        if route.kind == "result":
            found = self._scripts.of_result(str(arrival.job_id), arrival.attempt)
        else:
            found = self._scripts.of_call(route.kind, arrival.module)
        if found is not None and found[0].before:
            reply, right = self._answers.error("INTERNAL_ERROR"), False
        elif route.kind == "result":
            reply = await self._answers.result(str(arrival.job_id), account, request)
            right = reply.status in (200, 206) and reply.body.length > 0
        else:
            reply, right = await self._reply(request, arrival, account, route, body), True
        reply = reply.but(*account.budget.told(self._clock()))
        await self._speak(wire, arrival, reply, found, right)

    async def _reply(
        self,
        request: web.BaseRequest,
        arrival: Arrival,
        account: Account,
        route: zoho.Route,
        body: bytes,
    ) -> Reply:
        if route.kind == "status":
            return self._answers.status(request, str(route.job_id), account, route.version)
        if route.kind != "create":
            return self._answers.directory(request, route.kind, arrival.module)
        reply, job = await self._answers.create(request, body, account, route.version)
        if job is not None:
            arrival.job_id, arrival.module, arrival.page = job.id, job.module, job.page
            self._created(job, route.version)
        return reply

    def _note(
        self, arrival: Arrival, route: zoho.Route, request: web.BaseRequest, body: bytes
    ) -> None:
        """Write down what a call asks for."""
        arrival.module = route.module
        if route.kind == "fields":
            arrival.module = request.query.get("module")
        elif route.kind == "create":
            query = _query(body)
            module = query.get("module")
            module = module.get("api_name") if isinstance(module, dict) else module
            arrival.module = module if isinstance(module, str) else None
            page, token = query.get("page"), query.get("page_token")
            arrival.page = page if isinstance(page, int) else None
            arrival.page_token = token if isinstance(token, str) else None
        elif route.job_id is not None and (job := self._jobs.job_of(route.job_id)) is not None:
            arrival.module = job.module

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
        least, most = self._options.latency_s
        if most > 0:
            await asyncio.sleep(self._random.uniform(least, most))


def _query(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    query = asked.get("query") if isinstance(asked, dict) else None
    return query if isinstance(query, dict) else {}
