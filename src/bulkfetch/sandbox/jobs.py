"""Which jobs there are, and what has become of each. Time is passed in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from bulkfetch.sandbox.options import JobSpec, SandboxOptions, State

#: Ids that end so have a behaviour of their own wherever ids are served without a list.
NAMED_IDS: Mapping[str, JobSpec] = {
    "990777": JobSpec(kind="ics"),
    "990000": JobSpec(records=0),
    "990202": JobSpec(state="IN PROGRESS"),
    "990400": JobSpec(error="AUTHORIZATION_FAILED"),
    "990403": JobSpec(error="NO_PERMISSION"),
    "990404": JobSpec(error="RESOURCE_NOT_FOUND"),
    "990410": JobSpec(expired=True),
    "990429": JobSpec(faults=("limit_429",)),
    "990500": JobSpec(faults=("INTERNAL_ERROR",)),
    "990555": JobSpec(state="FAILURE"),
    "990600": JobSpec(faults=("close_in_body",)),
    "990666": JobSpec(faults=("zip_bit_flip",) * 100),
}

_FIRST_CREATED_ID = 5_725_767_000_000_859_031


@dataclass(slots=True)
class Job:
    """A job as the server knows it. `born_s` is None where it was there before the server."""

    id: str
    spec: JobSpec
    born_s: float
    created_time: str
    query: Mapping[str, Any] = field(default_factory=lambda: {"module": {"api_name": "Leads"}})
    page: int = 1
    prepare_s: float = 0.0
    next_page_token: str | None = None

    def state(self, now: float, keep_s: float) -> State | None:
        """Return the job's state at `now`; None where it is no more."""
        age = now - self.born_s
        if self.spec.expired or age >= self.prepare_s + keep_s:
            return None
        if self.prepare_s and age < self.prepare_s:
            return "ADDED" if age < self.prepare_s / 3 else "IN PROGRESS"
        return self.spec.state


class Jobs:
    """All jobs: those of the options, those created, and, if so set, one for any id at all."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self.start_s = 0.0  # when the server began to serve
        self._listed = dict(options.jobs)
        self._created: dict[str, Job] = {}
        self._pages: dict[str, tuple[str, Mapping[str, Any], int]] = {}

    def find(self, job_id: str, account: str) -> Job | None:
        """Return the job that `account` sees under an id; None where there is none."""
        spec = self.spec_of(job_id)
        if spec is None or spec.account not in (None, account):
            return None
        return self._created.get(job_id) or self._there_before(job_id, spec)

    def spec_of(self, job_id: str) -> JobSpec | None:
        """Return what an id stands for; None where it stands for nothing."""
        if job_id in self._created:
            return self._created[job_id].spec
        spec = self._listed.get(job_id)
        if spec is None and self._options.implicit and job_id.isdecimal():
            spec = NAMED_IDS.get(job_id[-6:]) if self._options.named_ids else None
            spec = spec or JobSpec()
        return spec

    def put(self, job_id: str, spec: JobSpec) -> None:
        """Add or replace a job that was there before the server."""
        self._listed[job_id] = spec

    def _there_before(self, job_id: str, spec: JobSpec) -> Job:
        module = "Events" if spec.kind == "ics" else "Leads"
        return Job(
            job_id,
            spec,
            self.start_s,
            "2021-07-25T02:13:17-07:00",
            {"module": {"api_name": module}, "page": 1},
            prepare_s=spec.ready_after_s,
        )

    def create(self, account: str, request: Mapping[str, Any], version: float, now: float) -> Job:
        """Add a job out of a create call's body. Raises BadCreate."""
        query = request.get("query")
        if not isinstance(query, Mapping):
            raise BadCreate("MANDATORY_NOT_FOUND", {"api_name": "query"})
        page = query.get("page", 1)
        if "page_token" in query:
            _, query, page = self._page(query, account)
        file_type = request.get("file_type", "csv")
        module = _module_of(query, version)
        if file_type not in ("csv", "ics") or (file_type == "ics" and module != "Events"):
            raise BadCreate("INVALID_DATA", {"api_name": "file_type"})
        if not isinstance(page, int) or page < 1:
            raise BadCreate("INVALID_DATA", {"api_name": "page"})
        spec = self._page_spec(JobSpec(kind=file_type, account=account), page)
        job = Job(
            str(_FIRST_CREATED_ID + 1000 * len(self._created)),
            spec,
            now,
            _now_as_text(),
            {**query, "module": {"id": "4150868000000002175", "api_name": module}, "page": page},
            page,
            self._options.prepare_s,
        )
        if self._total(spec) > page * self._options.per_page:
            job.next_page_token = hashlib.sha256(f"{job.id}/{page}".encode()).hexdigest()
            self._pages[job.next_page_token] = (account, query, page + 1)
        self._created[job.id] = job
        return job

    def _page(self, query: Mapping[str, Any], account: str) -> tuple[str, Mapping[str, Any], int]:
        known = self._pages.get(str(query["page_token"]))
        if known is None or known[0] != account or len(query) > 1:
            raise BadCreate("INVALID_DATA", {"api_name": "page_token"})
        return known

    def _total(self, spec: JobSpec) -> int:
        if spec.kind == "ics":
            return min(self._options.ics_records, 20_000)
        known = self._options.module_records
        return self._options.records if known is None else known

    def _page_spec(self, spec: JobSpec, page: int) -> JobSpec:
        per_page = self._options.per_page
        left = max(0, self._total(spec) - (page - 1) * per_page)
        return replace(spec, records=min(per_page, left))


class BadCreate(Exception):
    """A create call that Zoho would refuse: its code and details."""

    def __init__(self, code: str, details: Mapping[str, Any]) -> None:
        self.code, self.details = code, details
        super().__init__(code)


def _module_of(query: Mapping[str, Any], version: float) -> str:
    module = query.get("module")
    name = module if version < 2.1 else module.get("api_name") if isinstance(module, dict) else None
    if isinstance(name, Mapping):  # a page's query, kept from another version
        name = name.get("api_name")
    if not isinstance(name, str) or not name:
        raise BadCreate("MANDATORY_NOT_FOUND", {"api_name": "module"})
    return name


def _now_as_text() -> str:
    return datetime.now(timezone(timedelta(hours=-7))).isoformat(timespec="seconds")
