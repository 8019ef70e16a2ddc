"""The one door to a result: whatever asks the server for a file goes through `Door.fetch`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from bulkfetch.disk import disk_error, require_room
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ConnectionLost,
    NotAZip,
    TokenRejected,
    TooLarge,
    TooManyRequests,
    Truncated,
)
from bulkfetch.secret import Secret
from bulkfetch.text import escape
from bulkfetch.transfer.attempt import Attempt, Partial
from bulkfetch.transfer.body import READ_BUFFER_BYTES, ParsedBody
from bulkfetch.transfer.direct import DirectBody, take_over
from bulkfetch.transfer.gate import gate
from bulkfetch.transfer.turn import Turn
from bulkfetch.transfer.watchdog import Watchdog
from bulkfetch.zoho.redact import redacted
from bulkfetch.zoho.responses import (
    ERROR_BODY_BYTES,
    ZIP_MAGIC,
    Head,
    is_whole_limit,
    range_response_error,
    read_head,
    response_error,
)
from bulkfetch.zoho.urls import result_url

if TYPE_CHECKING:
    from bulkfetch.ratelimit import RateLimiter
    from bulkfetch.zoho.tokens import TokenSource


@dataclass(frozen=True, slots=True)
class Remote:
    """Where an account's results are; `proxy` None means a direct connection."""

    api_domain: str
    result_path: str
    version: str
    proxy: str | None = field(default=None, repr=False)  # may hold a password


class Guards(NamedTuple):
    """Bounds of one attempt; bytes and seconds as in [limits] of jobs.toml.

    Bodies of `held_bytes` or less are held in memory: their caller sees to the disk, of which
    `free_bytes` are left free.
    """

    zip_bytes: int
    idle_s: float
    min_bytes_per_s: float
    connect_s: float
    headers_s: float
    held_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body that came whole: its size, and how much of it an earlier attempt had left.

    `body` is all of it where it is held in memory, None where it is on disk.
    """

    zip_bytes: int
    resumed_bytes: int = 0
    body: bytes | None = field(default=None, repr=False)


class Door:
    """Fetches results of one account. Safe for any number of concurrent calls."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        remote: Remote,
        window: RateLimiter,
        tokens: TokenSource,
        guards: Guards,
        *,
        turn: Turn | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`turn` is shared by the doors of a process, see `direct`; None: this one's own."""
        self._session = session
        self._remote = remote
        self._window = window
        self._tokens = tokens
        self._guards = guards
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=guards.connect_s)
        self._turn = turn or Turn()
        self._clock = clock  # wall time, for Retry-After dates only
        userinfo, _, _ = (remote.proxy or "").partition("://")[2].rpartition("@")
        password = userinfo.partition(":")[2]
        self._proxy_password = Secret(password) if password else None

    async def fetch(self, job_id: str, part: Path, attempt: Attempt) -> Fetched:
        """Ask once for a result and stream it to `part`, which lies in an existing folder.

        With `attempt.partial` the request is a conditional Range request and `part` holds what it
        says; a server that answers with the whole file is taken at its word.

        Returns when the whole body is in the file, not yet synced, or held in memory; its first
        bytes are seen to be a ZIP's. Raises BulkfetchError; `attempt.partial` then says what may be
        resumed.
        If cancelled: `part` holds what was written so far; the slot is settled.
        """
        failure: BulkfetchError
        try:
            return await self._ask(job_id, part, attempt)
        except BulkfetchError as error:
            failure = error
        except aiohttp.ClientError as error:
            failure = ConnectionLost(escape(str(error), 200))
        except OSError as error:
            failure = disk_error(error)
        finally:
            if attempt.permit is not None:  # no request came about
                attempt.permit.unused()
                attempt.permit = None
            if attempt.answer is not None:  # given up before its words were read
                attempt.answer.taken()
                attempt.answer = None
        again = failure.retryable or isinstance(failure, TokenRejected)
        attempt.partial = _left(part, attempt) if again else None
        if attempt.token is not None:
            failure = redacted(failure, attempt.token)
        if self._proxy_password is not None:
            failure = redacted(failure, self._proxy_password)
        # The frames it came through hold the server's words as they were.
        raise failure.with_traceback(None)

    async def _ask(self, job_id: str, part: Path, attempt: Attempt) -> Fetched:
        remote, guards, partial = self._remote, self._guards, attempt.partial
        headers = {}
        if partial is not None:
            headers = {"Range": f"bytes={partial.bytes}-", "If-Range": partial.validator}
        response = await self._session.get(
            result_url(remote.api_domain, remote.result_path, remote.version, job_id),
            headers=headers,
            allow_redirects=False,
            read_bufsize=READ_BUFFER_BYTES,
            proxy=remote.proxy,
            timeout=self._timeout,
            trace_request_ctx=attempt,
            middlewares=(gate(self._window, self._tokens, attempt, guards.headers_s),),
        )
        try:
            head = read_head(response.status, response.headers, self._clock())
            async with Watchdog(attempt, guards.idle_s, guards.min_bytes_per_s) as watchdog:
                fetched = await self._take(response, watchdog, head, part, attempt)
        except BaseException:
            response.close()
            raise
        response.release()
        return fetched

    async def _take(
        self,
        response: aiohttp.ClientResponse,
        watchdog: Watchdog,
        head: Head,
        part: Path,
        attempt: Attempt,
    ) -> Fetched:
        guards, partial = self._guards, attempt.partial
        cap = guards.zip_bytes
        validator: str | None
        refused: BulkfetchError | None
        first, refused, resumes = b"", None, head.status == 206 and partial is not None
        if partial is not None and resumes:
            refused = range_response_error(head, partial.bytes, partial.total)
            if refused is None and head.validator not in (None, partial.validator):
                refused = BadResponse("the rest of another file", http=head.status)
        if not resumes or refused is not None:
            first = await _beginning(response.content, watchdog, head)
            judged = response_error(head, first)
            if refused is None or isinstance(judged, TooManyRequests):
                refused = judged
        _settle(attempt, head, refused)
        if partial is not None and head.status in (206, 416) and refused is not None:
            attempt.partial = None
            if head.status == 416 and not isinstance(refused, TooManyRequests):
                raise BadResponse(f"no bytes from {partial.bytes} on", http=head.status)
        if refused is not None:
            attempt.retry_after_s = head.retry_after_s
            raise refused
        attempt.begun()
        if partial is not None and resumes:
            offset, total, validator = partial.bytes, partial.total, partial.validator
        else:
            offset, total = 0, head.length
            validator = head.validator if head.resumable else None
        if head.length is not None and offset + head.length > cap:
            raise TooLarge(f"{offset + head.length} bytes announced, {cap} allowed")
        if head.length is not None and head.length > guards.held_bytes:
            _require_room(part, offset, head.length, guards.free_bytes)
        # From here on the file holds this reply's bytes, and no earlier one's.
        attempt.partial = Partial(offset, total, validator) if validator is not None else None
        rest = None if head.length is None else head.length - len(first)
        body: DirectBody | ParsedBody | None = None
        held: bytes | None = None
        if self._remote.proxy is None:
            body = await take_over(response, watchdog, first, rest, self._turn)
        if body is None:
            body = ParsedBody(response.content, watchdog, first, cap - offset)
            if not offset and guards.held_bytes:
                held = await body.whole(guards.held_bytes)
        size = await body.save(part, offset=offset) if held is None else len(held)
        if total is not None and size != total:
            raise Truncated(f"{size} of {total} bytes")
        if size < len(ZIP_MAGIC):
            raise NotAZip(f"{size} bytes in place of a ZIP", http=head.status)
        return Fetched(zip_bytes=size, resumed_bytes=offset, body=held)


def _settle(attempt: Attempt, head: Head, refused: BulkfetchError | None) -> None:
    """Tell the window how the request was answered, now that its words are known."""
    answer, attempt.answer = attempt.answer, None
    if answer is None:
        return
    if isinstance(refused, TooManyRequests):
        answer.refused(head.retry_after_s)
    else:
        answer.taken()


async def _beginning(content: aiohttp.StreamReader, watchdog: Watchdog, head: Head) -> bytes:
    """Read as much of a body as it takes to judge it: two bytes of a ZIP, the whole of an error."""
    data = b""
    success = head.status == 200
    while len(data) < ERROR_BODY_BYTES:
        if success and len(data) >= len(ZIP_MAGIC) and data.startswith(ZIP_MAGIC):
            break
        if is_whole_limit(data):
            break  # whatever length was announced: to wait for the rest may be to wait for ever
        try:
            piece = await watchdog.read(content)
        except (aiohttp.ClientError, OSError):  # the network's: no file is open yet
            if success:
                raise Truncated("the body broke off at its beginning") from None
            break  # the status alone has to do
        if not piece:
            break
        data += piece
    return data


def _require_room(part: Path, offset: int, size: int, reserve: int) -> None:
    """Raise DiskFull where `size` bytes more do not fit; what they are written over gives room."""
    try:
        written_over = part.stat().st_size - offset
    except FileNotFoundError:
        written_over = 0
    require_room(part.parent, max(0, size - written_over), "downloaded", reserve)


def _left(part: Path, attempt: Attempt) -> Partial | None:
    """Say what of a broken transfer is on disk and may be resumed."""
    if attempt.partial is None or not part.exists():
        return None
    written = part.stat().st_size
    return attempt.partial._replace(bytes=written) if written else None
