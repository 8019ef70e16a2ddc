"""What a sandbox is told: plain frozen values, also as JSON for a sandbox in its own process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from bulkfetch.sandbox.org.specs import (
    CONFIG,
    Above0,
    Count,
    JobPlan,
    ModuleSpec,
    Positive,
    Seconds,
    Share,
)

State = Literal["ADDED", "QUEUED", "IN PROGRESS", "COMPLETED", "FAILURE"]
Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job whose result the sandbox knows without its having been created.

    What is served, first that is set: `content` (the ZIP itself), `path` (a ZIP file),
    `payload_bytes` (a ZIP of about that many bytes which does not compress any further, made while
    it is sent, in flat memory), else `records` × `columns` of realistic data (None: the sandbox's
    default). `member` names the file inside the ZIP, None is `{id}.csv` or `{id}.ics`.

    `state` is what the job is from `ready_after_s` (seconds after the server's start) on; before
    that it is IN PROGRESS. `expired`: completed, but its day is over. `account` restricts it to one
    account, None is all. `error` is a code of Zoho's answered to every result request. `faults` are
    names out of `FAULTS`, one used up by each attempt.
    """

    __pydantic_config__ = CONFIG

    kind: Literal["csv", "ics"] = "csv"
    records: Count | None = None
    columns: Positive | None = None
    content: bytes | None = None
    path: Path | None = None
    payload_bytes: Positive | None = None
    payload_method: Literal["stored", "deflated"] = "stored"
    member: str | None = None
    state: State = "COMPLETED"
    ready_after_s: Seconds = 0.0
    expired: bool = False
    account: str | None = None
    error: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def made(self) -> bool:
        """Say whether its records are made up."""
        return self.content is None and self.path is None and self.payload_bytes is None


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Faults by chance, the same ones in every run.

    Whether an attempt is hit, and by which of `faults`, depends on nothing but `seed`, job id and
    the number of the attempt, so concurrency does not change it. `share` is 0…1. `attempts` limits
    the rule to the first so many attempts of a job, None is all.
    """

    __pydantic_config__ = CONFIG

    share: Share
    faults: tuple[str, ...]
    seed: int = 0
    attempts: Positive | None = None


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """One account, known by its tokens.

    `client_id` and `client_secret` None take anything. `revoked`: refresh tokens are no longer
    honoured. `error` is a code of Zoho's (say OAUTH_SCOPE_MISMATCH) answered to every call.
    """

    __pydantic_config__ = CONFIG

    access_tokens: tuple[str, ...] = ()
    refresh_tokens: tuple[str, ...] = ()
    client_id: str | None = None
    client_secret: str | None = None
    scope: str = "ZohoCRM.bulk.read"
    revoked: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How the sandbox behaves; the defaults are Zoho as documented.

    The window: `requests` per `period_s` seconds, `rolling` or `fixed` (cut at multiples of the
    period after the start). The request that crosses it locks the account out for `lockout_s`
    (None: one period; 0: only that request is refused); `reject_prolongs` starts the lock-out anew
    at each refusal. `whole_seconds`: the server's stamps have no fraction and both ends of the
    window count. `retry_after`: None sends no such header, `seconds` and `date` tell the truth in
    that form, any other text is sent as it stands. `foreigners`: account → requests per period that
    somebody else takes. `concurrency`: calls at once per account, downloads and all others alike,
    None is no cap.

    The data: ids that are neither in `jobs` nor created are served out of `seed` and the id when
    `implicit`; `named_ids` gives some of them behaviours (`NAMED_IDS`). `cache_dir` keeps what was
    generated for other processes, None keeps it in memory only.

    The org: `modules` changes standard modules by name (`org.standard`) or adds others; one has
    `module_records` records where it says nothing else (None: `records`), Events `ics_records`.
    Generated records are of 2021 to 2024. `joins_max` lookups may be joined in one job;
    `count_lag_s` is how old a count is, `query_lag_s` how old what a query finds. `csv_zone`:
    date-times of a CSV in several offsets, in the org's (-07:00), or in UTC. `create_errors`:
    refusals stand inside `data`, or at the top.

    Jobs: a created one is prepared for `prepare_s`, its result kept for `keep_s`; `plans` maps a
    module to what becomes of its jobs, one plan for each create. `unfinished_result`: the status of
    a job that is not ready has a result too, with `token_on_unfinished` its next token.

    Pages: of `per_page` records (a calendar's: 20,000 at most), further ones by number up to
    `pages_max`, from version 7 on by a token, good for `page_token_life_s` and, without
    `token_reuse`, once; one that is not good gets `page_token_error`. `page_on_v7`: what `page: 2`
    gives there, page 1 again, the next page, or an error. `pages`: how they see data that changes
    (`org.pages`).

    Budgets: `credits_per_day` in a rolling day (a create takes 50, deleted ids 2, all else 1), told
    in a header once half are spent, and `creates_per_minute`; None is no limit. Beyond: 429.

    The clock: stamps begin at `epoch` when the server starts (None: at the time of day; without an
    offset: in UTC) and go on with its event loop's clock.

    Tokens: with `auth` off every token is good and stands for an account of its own, no token for
    the account "default". An access token lives `token_life_s` seconds and at most
    `token_life_requests` API calls (None: no such end). `token_requests` per `token_period_s` for
    each refresh token, None lifts it; beyond, the answer has HTTP `token_throttle_status`.

    The wire: `framing` of results; `ranges` and `etag` offer resumption; `bandwidth_bytes_per_s` is
    for each download; `latency_s` = (least, most) before an answer. `paths` says which forms of the
    URL exist: `/crm/bulk/v8/read/…` and `/crm/v8/read/…`.

    Faults: `faults` maps a job id, or "token", "create", "status", "modules", "fields", "count",
    "deleted", or one of the latter five with a colon and a module, to names out of `FAULTS`, one
    used up by each attempt ("" is none). They strike when the call has been carried out: a job is
    created, its answer lost; not so those that `unaccepted:` stands before. `rules` add faults by
    chance to results. `log_file` gets the server's log as JSON lines.
    """

    __pydantic_config__ = CONFIG

    requests: Positive = 10
    period_s: Above0 = 60.0
    window: Literal["rolling", "fixed"] = "rolling"
    lockout_s: Seconds | None = None
    reject_prolongs: bool = False
    whole_seconds: bool = False
    retry_after: str | None = None
    foreigners: Mapping[str, Seconds] = field(default_factory=dict)
    concurrency: Positive | None = None

    seed: int = 0
    records: Count = 200_000
    columns: Positive = 20
    ics_records: Count = 2_000
    implicit: bool = True
    named_ids: bool = True
    jobs: Mapping[str, JobSpec] = field(default_factory=dict)
    cache_dir: Path | None = None
    prepare_s: Seconds = 1.0
    keep_s: Seconds = 86_400.0
    per_page: Positive = 200_000
    module_records: Count | None = None

    modules: Mapping[str, ModuleSpec] = field(default_factory=dict)
    plans: Mapping[str, tuple[JobPlan, ...]] = field(default_factory=dict)
    pages: Literal["snapshot", "live", "shifting"] = "snapshot"
    pages_max: Positive = 50
    page_token_life_s: Seconds = 86_400.0
    page_token_error: str = "INVALID_DATA"
    token_reuse: bool = True
    page_on_v7: Literal["same", "next", "refused"] = "next"
    unfinished_result: bool = False
    token_on_unfinished: bool = False
    joins_max: Count = 10
    create_errors: Literal["data", "top"] = "data"
    count_lag_s: Seconds = 0.0
    query_lag_s: Seconds = 0.0
    csv_zone: Literal["mixed", "org", "utc"] = "mixed"
    credits_per_day: Count | None = None
    creates_per_minute: Positive | None = None
    epoch: datetime | None = None

    auth: bool = False
    accounts: Mapping[str, AccountSpec] = field(default_factory=dict)
    token_life_s: Seconds = 3600.0
    token_life_requests: Count | None = None
    token_requests: Count | None = 10
    token_period_s: Above0 = 600.0
    token_throttle_status: int = 400
    tokens_alive: Positive = 15
    check_scopes: bool = False

    framing: Framing = "length"
    ranges: bool = False
    etag: bool = False
    content_type: str = "application/zip"
    bandwidth_bytes_per_s: Above0 | None = None
    latency_s: tuple[Seconds, Seconds] = (0.0, 0.0)
    paths: Literal["bulk", "plain", "both"] = "both"
    not_found_status: Literal[400, 404] = 404
    not_ready: Literal["not_found", "202", "204", "empty"] = "not_found"

    faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: tuple[FaultRule, ...] = ()
    log_file: Path | None = None

    def to_json(self) -> str:
        """Write the options as one line that `from_json` reads."""
        return _adapter().dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> SandboxOptions:
        """Read options; what is not given has its default. Raises ValueError."""
        return _adapter().validate_json(text, strict=True)


@cache
def _adapter() -> TypeAdapter[SandboxOptions]:
    return TypeAdapter(SandboxOptions)
