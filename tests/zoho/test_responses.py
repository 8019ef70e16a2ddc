"""What replies mean, as values: heads and first bytes in, errors out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bulkfetch import errors
from bulkfetch.zoho.responses import (
    Head,
    error_body,
    range_response_error,
    read_head,
    response_error,
    retry_after,
)


def _body(code: str, message: str = "some words") -> bytes:
    return json.dumps({"code": code, "message": message, "details": {}, "status": "error"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"PK\x03\x04", None),
        (404, _body("INVALID_URL_PATTERN"), errors.InvalidUrlPattern),
        (401, _body("OAUTH_SCOPE_MISMATCH"), errors.ScopeMismatch),
        (401, _body("INVALID_TOKEN"), errors.InvalidToken),
        (401, _body("AUTHENTICATION_FAILURE"), errors.AuthenticationFailure),
        (401, b"", errors.AuthenticationFailure),
        (403, _body("NO_PERMISSION"), errors.NoPermission),
        (400, _body("AUTHORIZATION_FAILED"), errors.AuthorizationFailed),
        (400, _body("INVALID_REQUEST_METHOD"), errors.InvalidRequestMethod),
        (404, _body("RESOURCE_NOT_FOUND"), errors.ResourceNotFound),
        (400, _body("RESOURCE_NOT_FOUND"), errors.ResourceNotFound),
        (404, b"<html>", errors.ResourceNotFound),
        (410, b"", errors.ResourceNotFound),
        (500, _body("INTERNAL_ERROR"), errors.ServerError),
        (500, b"<html>", errors.ServerError),
        (502, b"", errors.ServerError),
        (503, b"", errors.ServerError),
        (504, b"", errors.ServerError),
        (429, b"", errors.TooManyRequests),
        (429, _body("TOO_MANY_REQUESTS"), errors.TooManyRequests),
        (202, b"", errors.NotReady),
        (204, b"", errors.NotReady),
        (200, b"", errors.NotReady),
        (200, b"<html>login</html>", errors.NotAZip),
        (200, b'{"any": "thing"}', errors.NotAZip),
        (200, b"P", errors.NotAZip),
        (200, _body("RESOURCE_NOT_FOUND"), errors.ResourceNotFound),
        (200, _body("INTERNAL_ERROR"), errors.ServerError),
        (200, json.dumps({"data": [{"code": "NO_PERMISSION"}]}).encode(), errors.NoPermission),
        (206, b"PK\x03\x04", errors.BadResponse),
        (304, b"", errors.UnexpectedStatus),
        (300, b"<html>", errors.UnexpectedStatus),
        (302, b"", errors.Redirected),
        (418, b"", errors.UnexpectedStatus),
        (400, _body("SOMETHING_NEW"), errors.UnexpectedStatus),
        (999, b"", errors.ServerError),
    ],
)
def test_a_reply_means_what_zoho_says_it_means(
    status: int, body: bytes, expected: type[errors.BulkfetchError] | None
) -> None:
    """Each documented reply, and each undocumented variant, has one meaning."""
    error = response_error(Head(status), body)
    assert type(error) is (expected or type(None))
    if error is not None:
        assert error.http == status


ENCODINGS = (
    "none", "UTF-8", "binary", "zip", "identity, identity", "aws-chunked", "rot13",
    "gzip", "x-gzip", "deflate", "br", "zstd", "compress",
)  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_that_begins_as_a_zip_is_taken_whatever_its_encoding_is_called(
    encoding: str,
) -> None:
    """Bytes decide: under every Content-Encoding PK is a ZIP; nothing is ever unpacked."""
    for spelt in (encoding, encoding.upper(), f" {encoding} "):
        head = read_head(200, {"Content-Encoding": spelt}, 0.0)
        assert response_error(head, b"PK\x03\x04") is None


@pytest.mark.parametrize("encoding", ["gzip", "br", "UTF-8", "gzip, identity"])
def test_an_encoded_body_that_is_no_zip_is_told_as_encoded(encoding: str) -> None:
    """Under a name of an encoding other bytes are refused with that name; Zoho's words are read."""
    head = read_head(200, {"Content-Encoding": encoding}, 0.0)
    error = response_error(head, b"\x1f\x8b\x08\x00")
    assert isinstance(error, errors.EncodedBody)
    assert encoding.partition(",")[0].lower() in error.message
    assert isinstance(response_error(head, _body("NO_PERMISSION")), errors.NoPermission)


def test_an_encoding_changes_nothing_of_what_a_status_says() -> None:
    """A packed page under 503 or 404 is what it would be unpacked."""
    packed = b"\x1f\x8b\x08\x00"
    for status, expected in ((503, errors.ServerError), (404, errors.ResourceNotFound)):
        assert isinstance(response_error(Head(status, encoding="gzip"), packed), expected)


def test_all_headers_of_one_name_count() -> None:
    """Several Content-Encoding headers are one list, and of several waits the longest holds."""
    several = CIMultiDict(
        [("Content-Encoding", "identity"), ("content-encoding", "GZIP"),
         ("Retry-After", "1"), ("Retry-After", "soon"), ("Retry-After", "30")]
    )  # fmt: skip
    head = read_head(200, several, 0.0)
    assert head.encoding == "gzip"
    assert head.retry_after_s == 30.0
    assert read_head(200, CIMultiDict(), 0.0).retry_after_s is None


LIMITS = (
    _body("TOO_MANY_REQUESTS"),
    _body("too_many_requests"),
    _body("Too Many Requests"),
    _body("LIMIT_EXCEEDED"),
    _body("API_LIMIT_EXCEEDED"),
    b"\xef\xbb\xbf" + _body("TOO_MANY_REQUESTS"),
    b"[" + _body("TOO_MANY_REQUESTS") + b"]",
    json.dumps({"data": [{"code": "TOO_MANY_REQUESTS", "status": "error"}]}).encode(),
    json.dumps({"data": [{"code": "SUCCESS"}, {"code": "TOO_MANY_REQUESTS"}]}).encode(),
    json.dumps({"code": "ERROR", "data": [{"code": "TOO_MANY_REQUESTS"}]}).encode(),
    json.dumps({"data": {"code": "TOO_MANY_REQUESTS", "status": "error"}}).encode(),
    json.dumps({"error": {"code": "TOO_MANY_REQUESTS"}}).encode(),
    json.dumps({"errors": [{"code": "RATE_LIMITED"}]}).encode(),
    json.dumps({"error": {"code": 429, "message": "slow down"}}).encode(),
    json.dumps({"error": "TOO_MANY_REQUESTS"}).encode(),
    json.dumps({"errorCode": "TOO_MANY_REQUESTS"}).encode(),
    json.dumps({"code": "ERROR", "details": {"reason": "TOO_MANY_REQUESTS"}}).encode(),
    json.dumps({"code": "AUTHENTICATION_FAILURE", "message": "TOO_MANY_REQUESTS"}).encode(),
    _body("TOO_MANY_REQUESTS")[:-4],
    _body("TOO_MANY_REQUESTS").replace(b"{", b"while(1);{", 1),
    json.dumps({"code": "TOO_MANY_REQUESTS"}).encode("utf-16"),
    json.dumps({"code": "TOO_MANY_REQUESTS", "message": "x" * 70_000}).encode(),
    b"TOO_MANY_REQUESTS",
    b"<response><error><code>TOO_MANY_REQUESTS</code></error></response>",
    b"<html><title>429 Too Many Requests</title></html>",
)


@pytest.mark.parametrize("status", [200, 202, 206, 302, 400, 401, 403, 404, 418, 429, 500, 503])
@pytest.mark.parametrize("body", LIMITS)
def test_a_limit_is_known_by_its_words_under_any_status(status: int, body: bytes) -> None:
    """However TOO_MANY_REQUESTS is spelt and wherever it stands, it is the limit."""
    error = response_error(Head(status), body)
    assert type(error) is errors.TooManyRequests
    assert error.http == status


def test_the_words_of_the_limit_are_looked_for_in_no_file_and_under_no_other_code() -> None:
    """A ZIP may hold them, and beside a code that is known the phrase says nothing."""
    assert response_error(Head(200), b"PK\x03\x04TOO_MANY_REQUESTS") is None
    aside = json.dumps({"code": "NO_PERMISSION", "message": "not for too many requests"}).encode()
    assert type(response_error(Head(403), aside)) is errors.NoPermission


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (_body("INVALID_OAUTHTOKEN"), "INVALID_OAUTHTOKEN"),
        (_body("INVALID_OAUTH"), "AUTHENTICATION_FAILURE"),
        (b"<html>", "AUTHENTICATION_FAILURE"),
        (_body("invalid_token"), "INVALID_TOKEN"),
    ],
)
def test_any_401_may_mean_an_old_token(body: bytes, code: str) -> None:
    """Whatever a 401 says it is the token's, but for the scope; its code is kept where known."""
    error = response_error(Head(401), body)
    assert isinstance(error, errors.TokenRejected)
    assert error.code == code
    assert not isinstance(
        response_error(Head(401), _body("OAUTH_SCOPE_MISMATCH")), errors.TokenRejected
    )


_ZONES = """
import sys, time
from bulkfetch.zoho.responses import retry_after
for line in sys.stdin:
    value, date = line.rstrip("\\n").split("|")
    print(retry_after(value, date or None, now=784111777.0))
"""
_DATES = [  # 1994-11-06 08:50:07 GMT is thirty seconds after `now`
    ("Sun, 06 Nov 1994 08:50:07 GMT", "", 30.0),
    ("sun, 06 nov 1994 08:50:07 gmt", "", 30.0),
    ("Sunday, 06-Nov-94 08:50:07 GMT", "", 30.0),
    ("Sun Nov  6 08:50:07 1994", "", 30.0),
    ("Sun, 06 Nov 1994 08:50:07 -0000", "", 30.0),
    ("Sun, 06 Nov 1994 08:50:07", "", 30.0),
    ("Sun, 06 Nov 1994 09:50:07 +0100", "", 30.0),
    ("Sun Nov  6 08:50:17 1994", "Sun Nov  6 08:49:37 1994", 40.0),
    ("Sun Nov  6 08:50:17 1994", "Sun, 06 Nov 1994 08:49:37 GMT", 40.0),
    ("Sun, 06 Nov 1994 08:50:17 GMT", "Sun Nov  6 08:49:37 1994", 40.0),
    ("Sun, 06 Nov 1994 08:50:17 -0000", "garbage", 40.0),
    ("Sun Nov  6 08:00:00 1994", "", 0.0),
    ("1.5", "", None),
    ("3, 5", "", None),
    ("-30", "", None),
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def test_dates_of_retry_after_are_utc_wherever_this_machine_is(zone: str) -> None:
    """asctime, `-0000` and a missing zone mean GMT, as in every date of HTTP, in both headers."""
    lines = "".join(f"{value}|{date}\n" for value, date, _ in _DATES)
    done = subprocess.run(
        [sys.executable, "-c", _ZONES],
        input=lines,
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(seconds) for _, _, seconds in _DATES]


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://evil.example/steal?x=1", "evil.example"),
        ("//other.example/x", "other.example"),
        ("/login", "the same host"),
        (None, "nowhere (no Location)"),
        ("http://[broken", "the same host"),
    ],
)
def test_a_redirect_names_its_target_host(location: str | None, named: str) -> None:
    """A redirect's message names the host that it leads to, and nothing else of it."""
    error = response_error(Head(302, location=location), b"")
    assert error is not None
    assert error.message == f"HTTP 302 to {named}"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("60", None, 60.0),
        (" 7 ", None, 7.0),
        ("-5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("1e9", None, None),
        ("٣", None, None),
        ("9" * 40, None, 999_999_999_999.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", None, 20.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", None, 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", "Thu, 01 Jan 1970 00:01:00 GMT", 60.0),
        ("Thu, 99 Foo 1970", None, None),
    ],
)
def test_retry_after_is_read_in_every_form(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    """Seconds and dates are understood, dates against the reply's own clock; the rest is None."""
    assert retry_after(value, date, now=100.0) == seconds


@given(st.text(max_size=60), st.none() | st.text(max_size=60))
def test_retry_after_takes_any_text(value: str, date: str | None) -> None:
    """No text whatever makes Retry-After raise or go negative."""
    seconds = retry_after(value, date, now=0.0)
    assert seconds is None or seconds >= 0


@given(st.binary(max_size=300))
def test_an_error_body_may_hold_anything(body: bytes) -> None:
    """No bytes whatever make the search for an error code raise."""
    error_body(body)
    response_error(Head(200), body)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_body(value: object) -> None:
    """No JSON whatever makes the search for an error code raise."""
    error_body(json.dumps({"code": value, "message": value, "data": value}).encode())


def test_deeply_nested_json_is_no_error_code() -> None:
    """JSON nested beyond the parser's depth is taken for any other text."""
    assert error_body(b'{"a":' * 9000) is None


@pytest.mark.parametrize(
    ("content_range", "length", "fine"),
    [
        ("bytes 10-19/20", 10, True),
        ("bytes 10-19/*", None, True),
        ("bytes 10-19/20", 9, False),
        ("bytes 0-19/20", 20, False),
        ("bytes 10-18/20", 9, False),
        ("bytes 10-29/30", 20, False),
        ("bytes */20", None, False),
        ("items 10-19/20", 10, False),
        (None, 10, False),
    ],
)
def test_a_continued_body_must_continue_exactly(
    content_range: str | None, length: int | None, fine: bool
) -> None:
    """A 206 is taken only when it runs from the byte asked for to the known end."""
    head = Head(206, length=length, content_range=content_range)
    assert (range_response_error(head, 10, 20) is None) is fine


@given(st.dictionaries(st.sampled_from(["ETag", "Content-Length", "Retry-After"]), st.text()))
def test_any_header_values_make_a_head(headers: dict[str, str]) -> None:
    """No header values whatever make a head raise."""
    read_head(200, headers, now=0.0)


def test_only_a_strong_validator_with_ranges_allows_resuming() -> None:
    """A weak ETag, or ranges without an ETag, offer no resumption."""
    offered = {"ETag": '"abc"', "Accept-Ranges": "bytes"}
    assert read_head(200, offered, 0.0).resumable
    assert not read_head(200, offered | {"ETag": 'W/"abc"'}, 0.0).resumable
    assert not read_head(200, {"ETag": '"abc"'}, 0.0).resumable


@pytest.mark.parametrize("etag", ['"\udcff"', '"é"', '"a\x00"', '"a\x01b"', '"a\tb"'])
def test_a_validator_that_cannot_be_sent_back_is_none(etag: str) -> None:
    """A request with it would never leave, and would be counted all the same."""
    assert read_head(206, {"ETag": etag, "Accept-Ranges": "bytes"}, 0.0).validator is None
    assert not read_head(200, {"Accept-Ranges": "bytes"}, 0.0).resumable


_HEADERS = st.dictionaries(
    st.sampled_from(
        ["ETag", "Content-Length", "Retry-After", "Location", "Content-Encoding", "Accept-Ranges",
         "Content-Range", "Date"]
    ),
    st.text(max_size=400) | st.sampled_from(["bytes 10-19/20", "bytes", '"x"', "gzip", "//h/x"]),
)  # fmt: skip
_BODIES = st.binary(max_size=200) | st.sampled_from([b"PK\x03\x04", b"{}", b"[", _body("X" * 999)])


@given(st.integers(100, 999), _HEADERS, _BODIES, st.integers(0, 30))
def test_any_reply_is_judged_in_one_clean_line(
    status: int, headers: dict[str, str], body: bytes, offset: int
) -> None:
    """Only 200 with a ZIP's first bytes is let in; all else is an error of one printable line."""
    head = read_head(status, headers, now=0.0)
    error = response_error(head, body)
    fine = status == 200 and body.startswith(b"PK")
    assert (error is None) is fine
    for each in (error, range_response_error(head, offset, 20)):
        if each is not None:
            assert each.message.isprintable()
            assert 0 < len(each.message) <= 400
            assert each.hint
