"""Answers of another kind than the one due: errors, pages, redirects, refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from bulkfetch.sandbox.bodies import Segments
from bulkfetch.sandbox.faults.registry import Act, Exchange, add, before, fault, lookup
from bulkfetch.sandbox.wire import Reply, json_reply, text_reply
from bulkfetch.sandbox.zoho import ERRORS, error, status_of

_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


def _zoho_error(code: str) -> Act:
    async def act(exchange: Exchange) -> None:
        name = ("Content-Disposition", "attachment; filename=response.json")
        await exchange.wire.speak(json_reply(ERRORS[code][0], error(code), name))

    return act


for _code, (_status, _) in ERRORS.items():
    add(_code, f"Answers {_status} with Zoho's error {_code}.", _zoho_error(_code))


@fault
async def zoho_error(exchange: Exchange) -> None:
    """Answers with the error of Zoho's that its argument names (LIMIT_REACHED)."""
    code = exchange.arg or "LIMIT_REACHED"
    await exchange.wire.speak(json_reply(status_of(code), error(code)))


@before
async def unaccepted(exchange: Exchange) -> None:
    """Does nothing of what was asked, and answers with the fault that its argument names (500)."""
    named, arg = lookup(exchange.arg or "INTERNAL_ERROR")
    await named.act(Exchange(exchange.wire, exchange.reply, arg))


def _page(status: int, title: str) -> Act:
    async def act(exchange: Exchange) -> None:
        await exchange.wire.speak(text_reply(status, _PAGE.format(title)))

    return act


for _status, _title in (
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Access Denied by Proxy"),
    (404, "Not Found"),
    (407, "Proxy Authentication Required"),
    (418, "I'm a teapot"),
    (429, "Slow down"),
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (511, "Log in to this network"),
):
    add(f"html_{_status}", f"Answers {_status} with a page of HTML.", _page(_status, _title))


@fault
async def html_503_after(exchange: Exchange) -> None:
    """Answers 503 with a page of HTML and the argument as Retry-After (2)."""
    page = text_reply(503, _PAGE.format("Down for maintenance"))
    await exchange.wire.speak(page.but(("Retry-After", exchange.arg or "2")))


@fault
async def json_200(exchange: Exchange) -> None:
    """Answers 200 with Zoho's RESOURCE_NOT_FOUND as JSON."""
    await exchange.wire.speak(json_reply(200, error("RESOURCE_NOT_FOUND")))


@fault
async def json_200_unknown(exchange: Exchange) -> None:
    """Answers 200 with JSON that is no error of Zoho's."""
    await exchange.wire.speak(json_reply(200, {"hello": "world"}))


@fault
async def error_unknown(exchange: Exchange) -> None:
    """Answers 400 with a code that nobody has documented."""
    body = {"code": "BRAND_NEW", "message": "Who knows", "details": {}, "status": "error"}
    await exchange.wire.speak(json_reply(400, body))


@fault
async def error_in_data(exchange: Exchange) -> None:
    """Answers 403 with Zoho's NO_PERMISSION inside `data`."""
    await exchange.wire.speak(json_reply(403, {"data": [error("NO_PERMISSION")]}))


@fault
async def error_not_json(exchange: Exchange) -> None:
    """Answers 400 with JSON that breaks off."""
    await exchange.wire.speak(text_reply(400, '{"code":"NO_PERM', "application/json"))


@fault
async def error_401_oauthtoken(exchange: Exchange) -> None:
    """Answers 401 with INVALID_OAUTHTOKEN, as other products of Zoho spell it."""
    body = {**error("INVALID_TOKEN"), "code": "INVALID_OAUTHTOKEN"}
    await exchange.wire.speak(json_reply(401, body))


@fault
async def error_400_not_found(exchange: Exchange) -> None:
    """Answers 400 with RESOURCE_NOT_FOUND, as the OpenAPI description has it."""
    await exchange.wire.speak(json_reply(400, error("RESOURCE_NOT_FOUND")))


@fault
async def error_huge(exchange: Exchange) -> None:
    """Answers 400 with a message of five mebibytes."""
    await exchange.wire.speak(json_reply(400, error("INVALID_DATA", "x" * (5 << 20))))


@fault
async def html_200(exchange: Exchange) -> None:
    """Answers 200 with a page of HTML."""
    await exchange.wire.speak(text_reply(200, _PAGE.format("Please log in")))


@fault
async def html_200_as_zip(exchange: Exchange) -> None:
    """Answers 200 with a page of HTML under the ZIP's headers."""
    page = Segments([_PAGE.format("Please log in").encode()])
    await exchange.wire.speak(replace(exchange.reply, body=page))


@fault
async def empty_200(exchange: Exchange) -> None:
    """Answers 200 with an empty body."""
    await exchange.wire.speak(replace(exchange.reply, body=Segments(())))


@fault
async def accepted_202(exchange: Exchange) -> None:
    """Answers 202 with an empty body."""
    await exchange.wire.speak(Reply(202))


@fault
async def no_content_204(exchange: Exchange) -> None:
    """Answers 204."""
    await exchange.wire.speak(Reply(204))


@fault
async def not_modified_304(exchange: Exchange) -> None:
    """Answers 304."""
    await exchange.wire.speak(Reply(304))


def _redirect(status: int, location: str | None) -> Act:
    async def act(exchange: Exchange) -> None:
        headers = () if location is None else (("Location", exchange.arg or location),)
        await exchange.wire.speak(Reply(status, headers))

    return act


add("redirect_same", "Redirects (302) to another path of the same host.", _redirect(302, "/login"))
add(
    "redirect_foreign",
    "Redirects (302) to a foreign host.",
    _redirect(302, "https://evil.example.com/steal"),
)
add(
    "redirect_permanent",
    "Redirects (308) to a foreign host.",
    _redirect(308, "//evil.example.com/"),
)
add("redirect_nowhere", "Answers 302 without a Location.", _redirect(302, None))
add("redirect_plain", "Redirects (301) to http.", _redirect(301, "http://www.zohoapis.com/"))


async def _limit(exchange: Exchange, *headers: tuple[str, str]) -> None:
    await exchange.wire.speak(json_reply(429, error("TOO_MANY_REQUESTS"), *headers))


def _date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@fault
async def limit_429(exchange: Exchange) -> None:
    """Answers 429 without Retry-After, whatever the window says."""
    await _limit(exchange)


@fault
async def limit_429_after(exchange: Exchange) -> None:
    """Answers 429 with the argument as Retry-After (2)."""
    await _limit(exchange, ("Retry-After", exchange.arg or "2"))


@fault
async def limit_429_date(exchange: Exchange) -> None:
    """Answers 429 with a Retry-After date so many seconds ahead (2)."""
    await _limit(exchange, ("Retry-After", _date(exchange.seconds() or 2)))


@fault
async def limit_429_past(exchange: Exchange) -> None:
    """Answers 429 with a Retry-After date of an hour ago."""
    await _limit(exchange, ("Retry-After", _date(-3600)))


@fault
async def limit_429_far(exchange: Exchange) -> None:
    """Answers 429 with a Retry-After of a year."""
    await _limit(exchange, ("Retry-After", "31536000"))


@fault
async def limit_429_negative(exchange: Exchange) -> None:
    """Answers 429 with a Retry-After of -5."""
    await _limit(exchange, ("Retry-After", "-5"))


@fault
async def limit_429_text(exchange: Exchange) -> None:
    """Answers 429 with a Retry-After of "soon"."""
    await _limit(exchange, ("Retry-After", "soon"))


@fault
async def limit_429_twice(exchange: Exchange) -> None:
    """Answers 429 with two Retry-After headers."""
    await _limit(exchange, ("Retry-After", "1"), ("Retry-After", "3"))


def _limit_in_words(status: int) -> Act:
    async def act(exchange: Exchange) -> None:
        headers = (("Retry-After", exchange.arg),) if exchange.arg else ()
        await exchange.wire.speak(json_reply(status, error("TOO_MANY_REQUESTS"), *headers))

    return act


for _status in (200, 202, 302, 400, 403, 503):
    add(
        f"limit_{_status}",
        f"Answers {_status} with TOO_MANY_REQUESTS in the body; the argument is its Retry-After.",
        _limit_in_words(_status),
    )


@fault
async def limit_in_data(exchange: Exchange) -> None:
    """Answers 200 with TOO_MANY_REQUESTS inside `data`."""
    await exchange.wire.speak(json_reply(200, {"data": [error("TOO_MANY_REQUESTS")]}))
