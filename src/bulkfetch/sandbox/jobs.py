"""Which jobs there are, and what has become of each. Time is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bulkfetch.sandbox.options import JobSpec, SandboxOptions, State
from bulkfetch.sandbox.org.pages import OrgPage
from bulkfetch.sandbox.org.specs import JobPlan

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
class SandboxJob:
    """A job as the server knows it. `found` is what a created one's query found.

    `made_by` is the page token that it was created with, `next_page_token` the one of the page
    after it, `callback` who is to be told of its end; None where there is none.
    """

    id: str
    spec: JobSpec
    born_s: float
    created_time: str
    query: Mapping[str, Any] = field(default_factory=lambda: {"module": {"api_name": "Leads"}})
    page: int = 1
    prepare_s: float = 0.0
    keep_s: float | None = None
    found: OrgPage | None = None
    plan: JobPlan = field(default_factory=JobPlan)
    made_by: str | None = None
    next_page_token: str | None = None
    callback: str | None = None

    @property
    def module(self) -> str:
        """The api name of its module."""
        return str(self.query["module"]["api_name"])

    def state(self, now: float, keep_s: float) -> State | None:
        """Return the job's state at `now`; None where it is no more."""
        age = now - self.born_s
        keep_s = keep_s if self.keep_s is None else self.keep_s
        if self.spec.expired or age >= self.prepare_s + keep_s:
            return None
        if self.prepare_s and age < self.prepare_s:
            step = age / self.prepare_s * 6
            return "ADDED" if step < 1 else "QUEUED" if step < 2 else "IN PROGRESS"
        return self.spec.state


class Jobs:
    """All jobs: those of the options, those created, and, if so set, one for any id at all."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self.start_s = 0.0  # when the server began to serve
        self._listed = dict(options.jobs)
        self._created: dict[str, SandboxJob] = {}

    def find(self, job_id: str, account: str) -> SandboxJob | None:
        """Return the job that `account` sees under an id; None where there is none."""
        spec = self.spec_of(job_id)
        if spec is None or spec.account not in (None, account):
            return None
        return self.job_of(job_id)

    def job_of(self, job_id: str) -> SandboxJob | None:
        """Return the job under an id, whoever may see it; None where there is none."""
        spec = self.spec_of(job_id)
        if spec is None:
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
        """Add a job that was there before the server, or let any job be another from now on."""
        if job_id in self._created:
            self._created[job_id].spec = spec
        self._listed[job_id] = spec

    @property
    def created(self) -> list[SandboxJob]:
        """The jobs that were created, in order."""
        return list(self._created.values())

    def new_id(self) -> str:
        """Return the id of the next job to be created."""
        return str(_FIRST_CREATED_ID + 1000 * len(self._created))

    def add(self, job: SandboxJob) -> None:
        """Add a job that was created."""
        self._created[job.id] = job

    def _there_before(self, job_id: str, spec: JobSpec) -> SandboxJob:
        module = "Events" if spec.kind == "ics" else "Leads"
        return SandboxJob(
            job_id,
            spec,
            self.start_s,
            "2021-07-25T02:13:17-07:00",
            {"module": {"api_name": module}, "page": 1},
            prepare_s=spec.ready_after_s,
        )
