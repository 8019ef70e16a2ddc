"""What an honest Zoho says to each call."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from aiohttp import web

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.accounts import Account, Accounts
from bulkfetch.sandbox.jobs import BadCreate, Jobs
from bulkfetch.sandbox.library import Library
from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.wire import Reply, json_reply, resumed


class Answers:
    """The honest answers of one sandbox. `clock` gives seconds that never fall."""

    def __init__(
        self,
        options: SandboxOptions,
        accounts: Accounts,
        jobs: Jobs,
        library: Library,
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._accounts = accounts
        self._jobs = jobs
        self._library = library
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
        body = await self._library.zip_of(job_id, job.spec)
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
        state = None if job is None else job.state(self._clock(), self._options.keep_s)
        if job is None or state is None or job.spec.error == "RESOURCE_NOT_FOUND":
            return self.error("RESOURCE_NOT_FOUND")
        details = zoho.Details(
            job_id=job.id,
            state=state,
            file_type=job.spec.kind,
            query=job.query,
            created_time=job.created_time,
            version=version,
            page=job.page,
            per_page=self._options.per_page,
            count=self._library.records_of(job.spec),
            next_page_token=job.next_page_token,
        )
        return json_reply(200, details.body())

    def create(
        self, request: web.BaseRequest, body: bytes, account: Account, version: float
    ) -> Reply:
        """Answer a create call."""
        if request.method != "POST":
            return self.error("INVALID_REQUEST_METHOD")
        if request.content_type != "application/json":
            return self.error("MEDIA_TYPE_NOT_SUPPORTED")
        try:
            asked = json.loads(body)
        except ValueError:
            return self.error("INVALID_DATA")
        try:
            if not isinstance(asked, dict):
                raise BadCreate("INVALID_DATA", {})
            job = self._jobs.create(account.name, asked, version, self._clock())
        except BadCreate as bad:
            status, _ = zoho.ERRORS[bad.code]
            return json_reply(status, {"data": [zoho.error(bad.code, details=bad.details)]})
        return json_reply(201, zoho.created(job.id, job.created_time))

    def token(self, request: web.BaseRequest, form: dict[str, str], api_domain: str) -> Reply:
        """Answer a call of the token endpoint; its errors have status 200, as Zoho's have."""
        if request.method != "POST":
            return self.error("INVALID_REQUEST_METHOD")
        return json_reply(*self._accounts.answer_refresh(form, self._clock(), api_domain))

    def refusal(self, request: web.BaseRequest, account: Account) -> Reply | None:
        """Return what to say to a token that is no good; None where it is good."""
        code = self._accounts.refusal(request.headers.get("Authorization"), self._clock())
        code = code or account.spec.error
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
