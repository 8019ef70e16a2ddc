"""Create calls: a checked query becomes a job, alone or as a page of a chain. Time is passed in."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.jobs import Jobs, SandboxJob
from bulkfetch.sandbox.library import off_loop
from bulkfetch.sandbox.options import JobSpec, SandboxOptions
from bulkfetch.sandbox.org.org import Org
from bulkfetch.sandbox.org.pages import OrgPage, first_page, next_page, numbered_page
from bulkfetch.sandbox.org.query import OrgQuery, query_part, read_query
from bulkfetch.sandbox.org.refusal import BadCreate
from bulkfetch.sandbox.org.specs import JobPlan
from bulkfetch.sandbox.org.values import stamp

_ICS_PER_PAGE = 20_000  # Zoho's own bound
_SMALL = 20_000  # of so many records a query is answered in the event loop


@dataclass(slots=True)
class PageToken:
    """What a page token stands for: whose it is, since when, and the page that it follows."""

    account: str
    born_s: float
    after: OrgPage
    used: bool = False


class JobMaker:
    """Makes the jobs of one sandbox. `wall` gives seconds since 1970 for a time of the loop."""

    def __init__(
        self, options: SandboxOptions, org: Org, jobs: Jobs, wall: Callable[[float], float]
    ) -> None:
        self._options, self._org, self._jobs, self._wall = options, org, jobs, wall
        self._tokens: dict[str, PageToken] = {}
        self._plans = {module: deque(plans) for module, plans in options.plans.items()}

    def plan(self, module: str, *plans: JobPlan) -> None:
        """Say what is to become of the next jobs of a module."""
        self._plans.setdefault(module, deque()).extend(plans)

    async def create(
        self, account: str, body: Mapping[str, Any], version: float, now: float
    ) -> SandboxJob:
        """Add a job out of a create call's body. Raises BadCreate.

        If cancelled: no job has been added.
        """
        token = query_part(body).get("page_token") if version >= zoho.PAGE_TOKENS_SINCE else None
        if token is not None:
            page = await self._following(str(token), len(body["query"]), account, now)
        else:
            page = await self._numbered(body, version, now)
        query = page.query
        waiting = self._plans.get(query.module)
        plan = waiting.popleft() if waiting else JobPlan()
        prepare_s = self._org.specs[query.module].prepare_s
        prepare_s = self._options.prepare_s if prepare_s is None else prepare_s
        job = SandboxJob(
            self._jobs.new_id(),
            JobSpec(query.file_type, account=account, state=plan.state, faults=plan.faults),
            now,
            stamp(self._wall(now)),
            {**query.told, "page": page.number},
            page.number,
            prepare_s if plan.prepare_s is None else plan.prepare_s,
            plan.keep_s,
            page,
            plan,
            None if token is None else str(token),
        )
        job.next_page_token = self._token_after(job, page, account, now)
        self._jobs.add(job)
        return job

    async def _numbered(self, body: Mapping[str, Any], version: float, now: float) -> OrgPage:
        org, options = self._org.query_view(self._wall(now)), self._options
        query = read_query(body, version, org, self._org.specs, options.joins_max)
        number = body["query"].get("page", 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise BadCreate("INVALID_DATA", {"api_name": "page"})
        if number > options.pages_max:
            raise BadCreate("PAGE_RANGE_EXCEEDED", {"max_limit": options.pages_max})
        rows = org[query.module].end if query.conditions else 0
        per_page = self._per_page(query)
        if number > 1 and version >= zoho.PAGE_TOKENS_SINCE:
            if options.page_on_v7 == "refused":
                raise BadCreate("PAGE_NOT_SUPPORTED", {"api_name": "page"})
            number = 1 if options.page_on_v7 == "same" else number
        if number > 1:
            return await off_loop(rows > _SMALL, numbered_page, query, org, per_page, number)
        return await off_loop(rows > _SMALL, first_page, query, org, per_page, options.pages)

    async def _following(self, token: str, keys: int, account: str, now: float) -> OrgPage:
        known = self._tokens.get(token)
        if (
            known is None
            or keys > 1
            or known.account != account
            or now - known.born_s >= self._options.page_token_life_s
            or (known.used and not self._options.token_reuse)
        ):
            raise BadCreate(self._options.page_token_error, {"api_name": "page_token"})
        known.used = True
        before, org = known.after, self._org.query_view(self._wall(now))
        rows = org[before.query.module].end if before.query.conditions else 0
        per_page = self._per_page(before.query)
        return await off_loop(rows > _SMALL, next_page, before, org, per_page, self._options.pages)

    def _per_page(self, query: OrgQuery) -> int:
        most = _ICS_PER_PAGE if query.file_type == "ics" else self._options.per_page
        return min(most, self._options.per_page)

    def _token_after(self, job: SandboxJob, page: OrgPage, account: str, now: float) -> str | None:
        kind = job.plan.next_page
        if kind == "none" or not page.more:
            return None
        token = hashlib.sha256(f"{job.id}/{job.page}/{kind}".encode()).hexdigest()
        if kind == "same_token" and job.made_by is not None:
            return job.made_by
        if kind != "bad_token":
            self._tokens[token] = PageToken(account, now, page)
        return token

    def forget_tokens(self) -> None:
        """Let no page token that was given out be good any more."""
        self._tokens.clear()
