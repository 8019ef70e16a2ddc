"""What an honest Zoho says to each call."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.accounts import Account, Accounts
from bulkfetch.sandbox.creating import JobMaker
from bulkfetch.sandbox.directory import Directory
from bulkfetch.sandbox.jobs import Jobs, SandboxJob
from bulkfetch.sandbox.library import Library
from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.org.query import callback_of, query_part
from bulkfetch.sandbox.org.refusal import BadCreate
from bulkfetch.sandbox.scopes import allowed
from bulkfetch.sandbox.statuses import status_told
from bulkfetch.sandbox.wire import Reply, json_reply, resumed


class Answers:
    """The honest answers of one sandbox. `clock` gives seconds that never fall."""

    def __init__(
        self,
        options: SandboxOptions,
        accounts: Accounts,
        jobs: Jobs,
        library: Library,
        maker: JobMaker,
        directory: Directory,
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._accounts = accounts
        self._jobs = jobs
        self._library = library
        self._maker = maker
        self._directory = directory
        self._clock = clock

    async def result(self, job_id: str, account: Account, request: web.BaseRequest) -> Reply:
        """Answer a result request of an account that may ask."""
        job = self._jobs.find(job_id, account.name)
        state = None if job is None else job.state(self._clock(), self._options.keep_s)
        if job is None or state is None or state == "FAILURE":
            return self.error("RESOURCE_NOT_FOUND")
        if job.spec.error is not None:
            return self.error(job.spec.error)
        if state != "COMPLETED":
            return self._not_ready()
        body = await self._library.zip_of(job)
        reply = Reply(
            200,
            (
                ("Content-Type", self._options.content_type),
                ("Content-Disposition", f'attachment; filename="{job_id}.zip"'),
            ),
            body,
            self._options.framing,
        )
        if self._options.etag:
            mark = zlib.crc32(f"{self._options.seed}/{job_id}/{job.spec}".encode())
            reply = reply.but(("ETag", f'"{mark:08x}-{body.length:x}"'))
        if self._options.ranges:
            reply = reply.but(("Accept-Ranges", "bytes"))
            headers = request.headers
            reply = resumed(reply, headers.get("Range"), headers.get("If-Range"))
        return reply

    def _not_ready(self) -> Reply:
        kind = self._options.not_ready
        if kind == "not_found":
            return self.error("RESOURCE_NOT_FOUND")
        return Reply({"202": 202, "204": 204, "empty": 200}[kind])

    def status(
        self, request: web.BaseRequest, job_id: str, account: Account, version: float
    ) -> Reply:
        """Answer a status request."""
        if request.method != "GET":
            return self.error("INVALID_REQUEST_METHOD")
        job = self._jobs.find(job_id, account.name)
        told = None if job is None else self.told(job, version)
        if job is None or told is None or job.spec.error == "RESOURCE_NOT_FOUND":
            return self.error("RESOURCE_NOT_FOUND")
        return json_reply(200, told)

    def told(self, job: SandboxJob, version: float) -> dict[str, Any] | None:
        """Return what the status of a job tells now; None where it is no more."""
        state = job.state(self._clock(), self._options.keep_s)
        if state is None:
            return None
        return status_told(job, state, self._library.count_of(job), version, self._options)

    async def create(
        self, request: web.BaseRequest, body: bytes, account: Account, version: float
    ) -> tuple[Reply, SandboxJob | None]:
        """Answer a create call; with the job where there is one."""
        if request.method != "POST":
            return self.error("INVALID_REQUEST_METHOD"), None
        if request.content_type != "application/json":
            return self.error("MEDIA_TYPE_NOT_SUPPORTED"), None
        try:
            asked = _read(body)
            callback = callback_of(asked)
            try:
                job = await self._maker.create(account.name, asked, version, self._clock())
            except RecursionError:  # groups in groups in groups
                raise BadCreate("REQUEST_BODY_NOT_READABLE") from None
        except BadCreate as bad:
            told = zoho.error(bad.code, details=bad.details)
            within = self._options.create_errors == "data"
            return json_reply(zoho.status_of(bad.code), {"data": [told]} if within else told), None
        job.callback = callback
        return json_reply(201, zoho.created(job.id, job.created_time)), job

    def directory(self, request: web.BaseRequest, kind: str, module: str | None) -> Reply:
        """Answer a call for metadata, a count, or deleted records."""
        if request.method != "GET":
            return self.error("INVALID_REQUEST_METHOD")
        found = self._directory.answer(kind, module or "", request.query, request.headers)
        return self.error(found) if isinstance(found, str) else found

    def token(self, request: web.BaseRequest, form: dict[str, str], api_domain: str) -> Reply:
        """Answer a call of the token endpoint; its errors have status 200, as Zoho's have."""
        if request.method != "POST":
            return self.error("INVALID_REQUEST_METHOD")
        return json_reply(*self._accounts.answer_refresh(form, self._clock(), api_domain))

    def refusal(
        self, request: web.BaseRequest, account: Account, kind: str, module: str | None
    ) -> Reply | None:
        """Return what to say to a token that is no good for a call; None where it is good."""
        code = self._accounts.refusal(request.headers.get("Authorization"), self._clock())
        code = code or account.spec.error
        if code is None and self._options.check_scopes:
            code = None if allowed(kind, module, account.spec.scope) else "OAUTH_SCOPE_MISMATCH"
        return None if code is None else self.error(code)

    def error(self, code: str, *headers: tuple[str, str]) -> Reply:
        """Return the answer that says an error of Zoho's."""
        status = zoho.ERRORS[code][0]
        if code == "RESOURCE_NOT_FOUND":
            status = self._options.not_found_status
        name = ("Content-Disposition", "attachment; filename=response.json")
        return json_reply(status, zoho.error(code), name, *headers)

    def too_many(self, wait_s: float) -> Reply:
        """Return the 429 of an account that is free after `wait_s` seconds."""
        form = self._options.retry_after
        if form is None:
            return self.error("TOO_MANY_REQUESTS")
        if form == "seconds":
            form = str(int(wait_s) + (wait_s % 1 > 0))
        elif form == "date":
            when = datetime.now(UTC) + timedelta(seconds=wait_s + 1)
            form = format_datetime(when, usegmt=True)
        return self.error("TOO_MANY_REQUESTS", ("Retry-After", form))


def _read(body: bytes) -> Mapping[str, Any]:
    """Read a create call's body. Raises BadCreate."""
    if not body.strip():
        raise BadCreate("REQUEST_BODY_IS_EMPTY")
    try:
        asked = json.loads(body)
        query_part(asked)
    except (ValueError, RecursionError):
        raise BadCreate("REQUEST_BODY_NOT_READABLE") from None
    return asked  # type: ignore[no-any-return]  # as query_part has found
