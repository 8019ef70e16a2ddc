"""The only way to a result: every request for a file goes through `Downloader.fetch`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from yarl import URL

from bulkfetch.clock import MACHINE_CLOCK, Clock
from bulkfetch.disk import StrPath, disk_error, require_room
from bulkfetch.download.attempt import Attempt, Partial
from bulkfetch.download.bandwidth import Bandwidth, Read
from bulkfetch.download.body import READ_BUFFER_BYTES, Watchdog, save_body
from bulkfetch.download.middleware import rate_limit_middleware
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ConnectionLost,
    InvalidJobId,
    NotAZip,
    TokenRejected,
    TooLarge,
    TooManyRequests,
    Truncated,
)
from bulkfetch.models import is_job_id
from bulkfetch.secret import Secret
from bulkfetch.text import escape
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

if TYPE_CHECKING:
    from bulkfetch.ratelimit import SlotLimiter
    from bulkfetch.zoho.tokens import TokenSource


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account's results are; `proxy` None means a direct connection."""

    api_domain: str
    result_path: str
    version: str
    proxy: str | None = field(default=None, repr=False)  # may hold a password

    @property
    def proxy_password(self) -> Secret | None:
        """The password in the proxy's address."""
        userinfo = (self.proxy or "").partition("://")[2].rpartition("@")[0]
        password = userinfo.partition(":")[2]
        return Secret(password) if password else None

    def url(self, job_id: str) -> URL:
        """Return the address of a job's result.

        Raises InvalidJobId for an id that is not 1 to 20 ASCII digits: anything else could change
        the address.
        """
        if not is_job_id(job_id):
            raise InvalidJobId(f"not a job id: {job_id[:40]!a}")
        path = self.result_path.format(version=self.version, job_id=job_id)
        return URL(self.api_domain).join(URL(path))


class TransferLimits(NamedTuple):
    """Bounds of one attempt; bytes and seconds as in [limits] of jobs.toml.

    `free_bytes` of the disk are left free.
    """

    zip_bytes: int
    idle_s: float
    min_bytes_per_s: float
    connect_s: float
    headers_s: float
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Download:
    """A body that is whole on disk: its size, and how much of it an earlier attempt had left."""

    zip_bytes: int
    resumed_bytes: int = 0


class Downloader:
    """Fetches results of one account. Safe for any number of concurrent calls."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        limiter: SlotLimiter,
        tokens: TokenSource,
        limits: TransferLimits,
        *,
        bandwidth: Bandwidth | None = None,
        clock: Clock = MACHINE_CLOCK,
    ) -> None:
        """Take what requests are made with; bodies share `bandwidth`, None for no limit."""
        self._bandwidth = bandwidth
        self._session = session
        self._endpoint = endpoint
        self._limiter = limiter
        self._tokens = tokens
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s)
        self._clock = clock

    async def fetch(self, job_id: str, part: StrPath, attempt: Attempt) -> Download:
        """Request a result once and stream it to `part`, which lies in an existing folder.

        With `attempt.partial` the request is a conditional Range request and `part` holds what it
        says; a server that answers with the whole file is taken at its word.

        Returns when the whole body is in the file, not yet synced; its first bytes are those of a
        ZIP. Raises BulkfetchError; `attempt.partial` then says what may be resumed.
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
            attempt.settle()  # where it was given up before its words were read
        again = failure.retryable or isinstance(failure, TokenRejected)
        attempt.partial = _left(part, attempt) if again else None
        if attempt.token is not None:
            failure = redacted(failure, attempt.token)
        if (password := self._endpoint.proxy_password) is not None:
            failure = redacted(failure, password)
        # The frames it came through hold the server's words as they were.
        raise failure.with_traceback(None)

    async def _ask(self, job_id: str, part: StrPath, attempt: Attempt) -> Download:
        endpoint, limits, partial = self._endpoint, self._limits, attempt.partial
        headers = {}
        if partial is not None:
            headers = {"Range": f"bytes={partial.bytes}-", "If-Range": partial.validator}
        response = await self._session.get(
            endpoint.url(job_id),
            headers=headers,
            allow_redirects=False,
            read_bufsize=READ_BUFFER_BYTES,
            proxy=endpoint.proxy,
            timeout=self._timeout,
            trace_request_ctx=attempt,
            middlewares=(
                rate_limit_middleware(
                    self._limiter, self._tokens, attempt, limits.headers_s, self._clock
                ),
            ),
        )
        try:
            head = read_head(response.status, response.headers, self._clock.time())
            if attempt.tell is not None:
                length = {} if head.length is None else {"length": head.length}
                attempt.tell("head", f"HTTP {head.status}", {"status": head.status, **length})
            watchdog = Watchdog(response.content, attempt, limits.idle_s, limits.min_bytes_per_s)
            download = await self._take(watchdog, head, part, attempt)
        except BaseException:
            response.close()
            raise
        response.release()
        return download

    async def _take(
        self, watchdog: Watchdog, head: Head, part: StrPath, attempt: Attempt
    ) -> Download:
        """Judge a response, which settles its slot, and bring its body to `part`."""
        first, refused = await _judge(watchdog, head, attempt.partial)
        limited = isinstance(refused, TooManyRequests)
        attempt.settle(refused=limited, retry_after_s=head.retry_after_s)
        if refused is not None:
            if head.status in (206, 416):
                attempt.partial = None  # the server has not the rest of what is on disk
            attempt.retry_after_s = head.retry_after_s
            raise refused
        attempt.begun()
        limits = self._limits
        validator: str | None
        if attempt.partial is not None and head.status == 206:
            offset, total, validator = attempt.partial
        else:
            offset, total, validator = 0, head.length, head.validator if head.resumable else None
        if head.length is not None and offset + head.length > limits.zip_bytes:
            raise TooLarge(f"{offset + head.length} bytes announced, {limits.zip_bytes} allowed")
        if attempt.tell is not None:
            attempt.tell("first_byte", "the file's first byte is here", {"offset": offset})
        if head.length is not None:
            _require_room(part, offset, head.length, limits.free_bytes)
        attempt.offset, attempt.total = offset, total
        # From here on the file holds this response's bytes, and no earlier one's.
        attempt.partial = None if validator is None else Partial(offset, total, validator)
        read: Read = watchdog.read
        if self._bandwidth is not None:
            read = self._bandwidth.bounding(read, attempt, len(first))
        size = await save_body(read, first, part, offset=offset, cap_bytes=limits.zip_bytes)
        if total is not None and size != total:
            raise Truncated(f"{size} of {total} bytes")
        if size < len(ZIP_MAGIC):
            raise NotAZip(f"{size} bytes instead of a ZIP", http=head.status)
        if attempt.tell is not None:
            figures = {"bytes": size, "received_bytes": attempt.received}
            attempt.tell("last_byte", f"all {size} bytes are here", figures)
        return Download(zip_bytes=size, resumed_bytes=offset)


async def _judge(
    watchdog: Watchdog, head: Head, partial: Partial | None
) -> tuple[bytes, BulkfetchError | None]:
    """Return what was read of a body in order to judge it, and the error, None for a file.

    Of a body that goes on with `partial`, nothing is read.
    """
    mismatch: BulkfetchError | None = None
    if partial is not None and head.status == 206:
        mismatch = range_response_error(head, partial.bytes, partial.total)
        if mismatch is None and head.validator not in (None, partial.validator):
            mismatch = BadResponse("the rest of another file", http=head.status)
        if mismatch is None:
            return b"", None
    elif partial is not None and head.status == 416:
        mismatch = BadResponse(f"no bytes from {partial.bytes} on", http=head.status)
    first = await _beginning(watchdog, head)
    error = response_error(head, first)
    if isinstance(error, TooManyRequests):  # whatever else is wrong
        return first, error
    return first, mismatch or error


async def _beginning(watchdog: Watchdog, head: Head) -> bytes:
    """Read as much of a body as it takes to judge it: two bytes of a ZIP, the whole of an error."""
    data = b""
    success = head.status == 200
    while len(data) < ERROR_BODY_BYTES:
        try:
            piece = await watchdog.read()
        except (ConnectionLost, Truncated):
            if success:
                raise Truncated("the body broke off at its beginning") from None
            break  # the status alone has to do
        if not piece:
            break
        data += piece
        if success and data.startswith(ZIP_MAGIC):
            break
        if is_whole_limit(data):
            break  # whatever length was announced: to wait for the rest may be to wait for ever
    return data


def _require_room(part: StrPath, offset: int, size: int, reserve: int) -> None:
    """Raise DiskFull where `size` bytes more do not fit; what they are written over gives room."""
    try:
        written_over = os.stat(part).st_size - offset
    except FileNotFoundError:
        written_over = 0
    require_room(os.path.dirname(part), max(0, size - written_over), "downloaded", reserve)


def _left(part: StrPath, attempt: Attempt) -> Partial | None:
    """Return what of a broken transfer is on disk and may be resumed."""
    if attempt.partial is None or not os.path.exists(part):
        return None
    written = os.stat(part).st_size
    return attempt.partial._replace(bytes=written) if written else None
