"""The meaning of a response to a result request. Pure.

A `Head` and the first bytes of the body go in, an error (as a value) or None comes out. The error
table follows Zoho's documentation of Bulk Read; undocumented answers are accepted in every variant.
The bytes tell a file from an error, never Content-Type or Content-Disposition, since JSON errors
come as `attachment` and real ZIPs as `x-download`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from bulkfetch.errors import (
    AuthenticationFailure,
    AuthorizationFailed,
    BadResponse,
    BulkfetchError,
    EncodedBody,
    InvalidOauthToken,
    InvalidRequestMethod,
    InvalidToken,
    InvalidUrlPattern,
    NoPermission,
    NotAZip,
    NotReady,
    Redirected,
    ResourceNotFound,
    ScopeMismatch,
    ServerError,
    TooManyRequests,
    UnexpectedStatus,
)
from bulkfetch.text import escape

ZIP_MAGIC = b"PK"
# An error body is a few hundred bytes; more than this is not read for a code.
ERROR_BODY_BYTES = 64 * 1024

_ERRORS: Mapping[str, type[BulkfetchError]] = {
    cls.code: cls
    for cls in (
        InvalidUrlPattern,
        ScopeMismatch,
        InvalidOauthToken,
        InvalidToken,
        AuthenticationFailure,
        NoPermission,
        AuthorizationFailed,
        InvalidRequestMethod,
        ResourceNotFound,
        ServerError,
        TooManyRequests,
    )
}
# Codes that mean the same as one above: spellings of the SDK and of the create endpoint, and those
# that other products and gateways use for a rate limit. Downloads have no other limit, and an
# account that gets no other answer ends within the hour.
_ALIASES: Mapping[str, type[BulkfetchError]] = {
    "INTERNAL_SERVER_ERROR": ServerError,
    "OAUTH_SCOPE_MISSING": ScopeMismatch,
    **dict.fromkeys(
        (
            "API_LIMIT_EXCEEDED",
            "API_LIMIT_REACHED",
            "API_RATE_LIMIT_EXCEEDED",
            "CONCURRENCY_LIMIT_EXCEEDED",
            "LIMIT_EXCEEDED",
            "RATE_LIMIT",
            "RATE_LIMITED",
            "RATE_LIMIT_EXCEEDED",
            "RATE_LIMIT_REACHED",
            "REQUEST_LIMIT_EXCEEDED",
            "THRESHOLD_EXCEEDED",
            "TOO_MANY_REQUEST",
            "429",
        ),
        TooManyRequests,
    ),
}
_BY_STATUS: Mapping[int, type[BulkfetchError]] = {
    401: AuthenticationFailure,
    403: NoPermission,
    404: ResourceNotFound,
    405: InvalidRequestMethod,
    410: ResourceNotFound,
    429: TooManyRequests,
}
# Values of Content-Encoding that mean no compression.
_NOT_PACKED = frozenset({"", "identity"})
# The other 3xx are no redirects.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_ZOHO = "The answer is not in Zoho's format: it may come from a proxy."
_BOM = b"\xef\xbb\xbf"
# The rate limit in a body that is not Zoho's: text, a page, XML, other or truncated JSON. The
# constant takes precedence over every code, the phrase only over unknown ones.
_LIMIT_CODE = b"TOO_MANY_REQUESTS"
_LIMIT_WORDS = re.compile(rb"too[\s_-]{1,3}many[\s_-]{1,3}requests?", re.IGNORECASE)
# Keys of an error body whose objects may contain a code, as the body itself may.
_HOLDERS = ("data", "error", "errors", "details")
_BETWEEN_WORDS = re.compile(r"[\s-]+")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)", re.ASCII)


class Head(NamedTuple):
    """The parts of a response head that matter.

    `length` is the announced size of the body in bytes, None if it is not announced.
    `validator` is a strong ETag that a resumed request can be made conditional on, else None.
    `ranges` says whether the server offers byte ranges. `retry_after_s` as `retry_after`.
    """

    status: int
    length: int | None = None
    encoding: str = "identity"
    location: str | None = None
    retry_after_s: float | None = None
    validator: str | None = None
    ranges: bool = False
    content_range: str | None = None

    @property
    def resumable(self) -> bool:
        """Whether a broken transfer of this response can be resumed with a Range request."""
        return self.ranges and self.validator is not None


class ZohoError(NamedTuple):
    """The code and the message of an error body, escaped for printing."""

    code: str
    message: str


def read_head(status: int, headers: Mapping[str, str], now: float) -> Head:
    """Return the parts of a response head that matter. `now` is wall time in epoch seconds."""
    etag = headers.get("ETag", "")
    length = headers.get("Content-Length", "")
    return Head(
        status=status,
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None,
        encoding=_encoding(headers),
        location=headers.get("Location"),
        retry_after_s=_longest(headers, now),
        # It is sent back in a header: with other characters that request could never be sent.
        validator=etag if etag.startswith('"') and len(etag) <= 256 and _plain(etag) else None,
        ranges=headers.get("Accept-Ranges", "").strip().lower() == "bytes",
        content_range=headers.get("Content-Range"),
    )


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Return every value of a header, which may have been sent more than once."""
    every = getattr(headers, "getall", None)  # of aiohttp's; a plain mapping has one value each
    found: list[str] = every(name, []) if every else [headers[name]] if name in headers else []
    return found


def _encoding(headers: Mapping[str, str]) -> str:
    """Return the declared encoding of the body, `identity` for none."""
    words = ",".join(_values(headers, "Content-Encoding")).lower().split(",")
    packed = [word for each in words if (word := each.strip()) not in _NOT_PACKED]
    return ", ".join(packed) or "identity"


def _longest(headers: Mapping[str, str], now: float) -> float | None:
    """Return the longest wait of all Retry-After headers in seconds, None without a usable one."""
    date = headers.get("Date")
    waits = [retry_after(value, date, now) for value in _values(headers, "Retry-After")]
    return max((wait for wait in waits if wait is not None), default=None)


def retry_after(value: str | None, date: str | None, now: float) -> float | None:
    """Return the wait that a Retry-After header asks for in seconds, None if it is not usable.

    A date is compared with the response's own Date header, if there is one, so that a wrong clock
    on either side does not matter. Never negative; the rate limiter caps it.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    at, sent = _epoch(text), _epoch(date) if date else None
    return None if at is None else max(0.0, at - (now if sent is None else sent))


def _epoch(text: str) -> float | None:
    try:
        when = parsedate_to_datetime(text)
        # Every HTTP date is in GMT. The forms without a zone (asctime, `-0000`) would otherwise be
        # read as local time.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def error_body(body: bytes) -> ZohoError | None:
    """Return Zoho's error code of a body, at top level or one below; None if there is none.

    A known code takes precedence over an unknown one. Accepts any bytes and never raises.
    """
    body = body.removeprefix(_BOM)
    if len(body) > ERROR_BODY_BYTES or body.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        top = json.loads(body)
    except (ValueError, RecursionError):
        return None
    said = None
    for holder in _holders(top):
        code, message = holder.get("code"), holder.get("message")
        # Gateways send the status as a numeric code. (`true` is an int to Python.)
        if isinstance(code, str) or type(code) is int:
            words = escape(message, 300) if isinstance(message, str) else ""
            found = ZohoError(escape(str(code)[:200], 60), words)
            if _meaning(found) is not None:
                return found
            said = said or found
    return said


def _holders(top: object) -> Iterator[dict[str, object]]:
    """Yield the objects of a body that may contain a code."""
    for outer in top if isinstance(top, list) else (top,):
        if isinstance(outer, dict):
            yield outer
            for name in _HOLDERS:
                below = outer.get(name)
                for each in below if isinstance(below, list) else (below,):
                    if isinstance(each, dict):
                        yield each


def _tells_limit(body: bytes, meant: type[BulkfetchError] | None) -> bool:
    """Return whether a body that is not a ZIP reports the rate limit, in any form."""
    if meant is TooManyRequests:
        return True
    text = body[:ERROR_BODY_BYTES].replace(b"\0", b"")  # UTF-16 is read as well
    if text.startswith(ZIP_MAGIC):
        return False
    return _LIMIT_CODE in text or (meant is None and _LIMIT_WORDS.search(text) is not None)


def is_whole_limit(body: bytes) -> bool:
    """Return whether the first bytes of a body are a complete error that reports the rate limit."""
    whole = body.rstrip()[-1:] in (b"}", b"]")
    return whole and _meaning(error_body(body)) is TooManyRequests


def _meaning(said: ZohoError | None) -> type[BulkfetchError] | None:
    """Return the meaning of a code in any spelling, None for an unknown one."""
    if said is None:
        return None
    code = _BETWEEN_WORDS.sub("_", said.code.strip()).upper()
    return _ERRORS.get(code) or _ALIASES.get(code)


def response_error(head: Head, body: bytes) -> BulkfetchError | None:
    """Return the error of a response, None if its body begins like a ZIP.

    `body` is the beginning of the body: at least two bytes of a ZIP, up to ERROR_BODY_BYTES of
    anything else. For the response to a Range request use `range_response_error`.
    """
    status = head.status
    if status == 200 and body.startswith(ZIP_MAGIC):
        # Whatever Content-Encoding says: no compression was requested, nothing is decompressed, and
        # the structure shows later whether it is a ZIP.
        return None
    said = error_body(body)
    meant = _meaning(said)
    if _tells_limit(body, meant):
        # Whatever the status: a gateway may report the limit with 200, 403, 503 or a redirect.
        return TooManyRequests(said.message if said else "", http=status)
    if status in _REDIRECTS:
        return Redirected(f"HTTP {status} to {_host(head.location)}", http=status)
    if status == 206:
        return BadResponse("HTTP 206 although no range was requested", http=status)
    if said is not None and meant is not None:
        return meant(said.message, http=status)
    if status in (202, 204) or (status == 200 and not body):
        return NotReady(f"HTTP {status} without a file", http=status)
    if status >= 500 or status == 408:
        return ServerError(_words(status, said), http=status)
    if cls := _BY_STATUS.get(status):
        hint = None if said or not body else f"{cls.default_hint} {_NOT_ZOHO}"
        return cls(_words(status, said), hint=hint, http=status)
    if status == 200 and head.encoding != "identity":
        return EncodedBody(f"Content-Encoding {escape(head.encoding, 40)}", http=status)
    if status == 200:
        kind = "JSON" if body.lstrip()[:1] in (b"{", b"[") else "text or HTML"
        looks = kind if _is_text(body) else "unknown bytes"
        return NotAZip(f"HTTP 200 with {_words(0, said) or looks} instead of a ZIP", http=status)
    return UnexpectedStatus(_words(status, said), http=status)


def range_response_error(head: Head, offset: int, total: int | None) -> BulkfetchError | None:
    """Return the error of a response to `Range: bytes={offset}-`, None if it continues there.

    `total` is the size that the first response announced, None if it did not.
    """
    match = _CONTENT_RANGE.fullmatch((head.content_range or "").strip())
    if match is None:
        return BadResponse("HTTP 206 without a usable Content-Range", http=206)
    first, last, size = int(match[1]), int(match[2]), match[3] and int(match[3])
    whole = last + 1
    if (
        first != offset
        or last < first
        or (size and size != whole)
        or (total is not None and whole != total)
        or (head.length is not None and head.length != whole - first)
    ):
        return BadResponse(f"asked for bytes from {offset}, got {match[0]}", http=206)
    return None


def _words(status: int, said: ZohoError | None) -> str:
    if said is not None:
        return f"{said.code}: {said.message}" if said.message else said.code
    if not status:
        return ""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _host(location: str | None) -> str:
    if not location:
        return "nowhere (no Location)"
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return escape(host, 100) if host else "the same host"


def _is_text(body: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in body[:200])
