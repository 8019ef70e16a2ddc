"""The control calls of one account, as the rest of the package makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import anyio

from bulkfetch.clock import MACHINE_CLOCK, Clock
from bulkfetch.control import calls
from bulkfetch.control.budget import ControlBudget
from bulkfetch.control.create_errors import created_or_error
from bulkfetch.control.refusals import EMPTY, answer_error
from bulkfetch.control.responses import (
    Created,
    DeletedPage,
    DeletedRecord,
    JobStatus,
    Module,
    ModuleField,
    read_count,
    read_deleted,
    read_fields,
    read_json,
    read_modules,
    read_status,
)
from bulkfetch.control.retry import again_in_s
from bulkfetch.control.sender import CallSender, CallTimes, ControlEndpoint
from bulkfetch.errors import BadResponse, BulkfetchError, ControlPaused
from bulkfetch.zoho.responses import Head

if TYPE_CHECKING:
    from bulkfetch.zoho.tokens import TokenSource

T = TypeVar("T")


class ControlClient:
    """Creates exports of one account, asks for their state, for metadata, counts and deletions.

    Safe for any number of concurrent calls. Every one may raise ControlPaused or CreditsSpent
    (nothing was done, `retry_after_s` says when it may be) and AccountError.
    """

    def __init__(
        self,
        account: str,
        session: aiohttp.ClientSession,
        endpoint: ControlEndpoint,
        tokens: TokenSource,
        budget: ControlBudget,
        times: CallTimes | None = None,
        clock: Clock = MACHINE_CLOCK,
    ) -> None:
        """Use what the account's downloads use too; `session` is one of `open_session`."""
        self.account = account
        self._version = endpoint.version
        self._budget = budget
        self._sender = CallSender(
            session, endpoint, tokens, budget, times or CallTimes(), clock.time
        )
        self._random = Random()

    @property
    def credits(self) -> int:
        """The credits that this client has spent, by Zoho's price list."""
        return self._sender.credits

    @property
    def credits_remaining(self) -> int | None:
        """What the service last said remains of the org's credits; None while it does not say."""
        return self._sender.credits_remaining

    @property
    def creates_wait_for(self) -> str:
        """The setting that create calls of the account wait for now; "" if for none."""
        return self._budget.waits_for("create")

    async def create(
        self, body: Mapping[str, Any], *, before: Callable[[], Awaitable[None]] | None = None
    ) -> Created:
        """Create an export, with one request.

        `before` is awaited when the call may leave, just before it does: a create that waits for
        its minute is not under way yet.

        Raises CreateUnknown where the export may exist or not: the answer was lost, is of a failing
        server, or cannot be read. After every other error it does not exist: CreateRefused (with
        Zoho's code, permanent), NoPermission and the like, ControlPaused, LimitReached,
        CreditsSpent, ConnectFailed and TlsFailed (nothing was sent), AccountError.
        If cancelled: it may exist or not.
        """
        call = calls.create_call(self._version, body)
        return await self._sender.ask(call, created_or_error, before)

    async def status(self, job_id: str) -> JobStatus:
        """Return how far a job is.

        Raises InvalidJobId, ResourceNotFound; JobError where several tries came to nothing.
        """
        call = calls.status_call(self._version, job_id)
        return await self._get(call, lambda answer: read_status(answer, job_id))

    async def modules(self) -> tuple[Module, ...]:
        """Return the modules of the org. Raises JobError."""
        call = calls.modules_call(self._version)
        return await self._get(call, lambda answer: () if answer is None else read_modules(answer))

    async def fields(self, module: str) -> tuple[ModuleField, ...] | None:
        """Return the fields of a module, None where the service tells of none.

        Raises ConfigError for a name that no module can have, JobError.
        """
        call = calls.fields_call(self._version, module)
        return await self._get(call, lambda answer: None if answer is None else read_fields(answer))

    async def count(self, module: str) -> int:
        """Return about how many records a module has, as of some minutes ago.

        Raises ConfigError for a name that no module can have, JobError.
        """
        call = calls.count_call(self._version, module)
        return await self._get(call, lambda answer: 0 if answer is None else read_count(answer))

    async def deleted(self, module: str, since: datetime) -> AsyncIterator[DeletedRecord]:
        """Yield what was deleted since then, page by page; a record may come twice.

        Raises ConfigError for a name that no module can have, ValueError for a time without a zone,
        JobError. Zoho keeps the ids of deleted records for 60 days.
        """
        page, token = 1, None
        seen: set[str] = set()
        while True:
            call = calls.deleted_call(self._version, module, since, page, token)
            found = await self._get(call, _deleted_page)
            for record in found.records:
                yield record
            if not found.more_records:
                return
            page, token = page + 1, found.next_page_token
            if not found.records or token in seen:
                raise BadResponse("the pages of deleted records do not end")
            if token is not None:
                seen.add(token)

    async def window_refused(self) -> bool:
        """Take note that a result got a 429 just now; return whether the credits are spent.

        They are where a control call gets one within a minute of it: then no call leaves for a
        while, in no process of this machine. If cancelled: it may not have been noted.
        """
        return await self._sender.window_refused()

    async def _get(self, call: calls.Call, read: Callable[[Any], T]) -> T:
        """Ask what changes nothing, several times if need be. `read` gets None for no content."""
        retry_after_s: float | None = None

        def judge(head: Head, body: bytes) -> T | BulkfetchError:
            nonlocal retry_after_s
            retry_after_s = head.retry_after_s
            error = answer_error(head, body)
            return error or read(None if head.status in EMPTY else read_json(body))

        failures = refusals = 0
        while True:
            retry_after_s = None
            try:
                return await self._sender.ask(call, judge)
            except BulkfetchError as error:
                if isinstance(error, ControlPaused):
                    refusals += 1
                else:
                    failures, refusals = failures + 1, 0
                again_s = again_in_s(
                    error, failures, refusals, retry_after_s, self._random.random()
                )
                if again_s is None:
                    raise
            await anyio.sleep(again_s)


def _deleted_page(answer: Any) -> DeletedPage:
    return DeletedPage((), False, None) if answer is None else read_deleted(answer)
