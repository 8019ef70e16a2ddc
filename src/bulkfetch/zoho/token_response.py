"""The meaning of a response of the accounts server. Pure.

Zoho sends errors with HTTP 200, so the body decides: a status alone is never a success.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from bulkfetch.config.hosts import server_url
from bulkfetch.errors import AccountError, TokenRefused, TokenThrottled, TokenUnavailable
from bulkfetch.secret import Secret, is_sendable
from bulkfetch.text import escape
from bulkfetch.zoho.redact import strike

DEFAULT_LIFETIME_S = 3600.0  # documented; used if the response does not say
MAX_LIFETIME_S = 86_400.0  # larger values must be milliseconds
_TROUBLE = frozenset(
    {"general_error", "internal_error", "server_error", "temporarily_unavailable", "unknown_error"}
)


class Grant(NamedTuple):
    """An access token, its remaining lifetime, and the API domain named with it."""

    secret: Secret
    lifetime_s: float
    api_domain: str | None = None


def read_token_response(
    status: int, body: bytes, secrets: Iterable[Secret | None] = ()
) -> Grant | AccountError:
    """Return the grant, or the error as a value. Accepts any bytes and never raises.

    `secrets` are removed from the server's message, which might repeat them. Only
    TokenUnavailable is worth a retry.
    """
    reply = _json_object(body)
    token = reply.get("access_token")
    if 200 <= status < 300 and isinstance(token, str):
        if not is_sendable(token):
            return TokenUnavailable("the accounts server issued an unusable token", http=status)
        return Grant(Secret(token), _lifetime_s(reply), _api_domain(reply))
    error, about = (_words(reply.get(key), secrets) for key in ("error", "error_description"))
    if status == 429 or error == "Access Denied" or "too many requests" in about.lower():
        return TokenThrottled("the accounts server issues no token for now", http=status)
    if 300 <= status < 400:
        return TokenRefused(f"the accounts server answered with a redirect ({status})", http=status)
    if status >= 500 or status == 408 or error.lower() in _TROUBLE or (status < 300 and not error):
        return TokenUnavailable(
            f"the accounts server answered {error or 'nothing usable'} (HTTP {status})", http=status
        )
    said = f"{error}: {about}" if error and about else error or f"HTTP {status}"
    return TokenRefused(f"the accounts server says {said}", http=status)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def _lifetime_s(reply: dict[str, Any]) -> float:
    """Return `expires_in`: seconds, or milliseconds beside `expires_in_sec` in older responses."""
    for key in ("expires_in_sec", "expires_in"):
        value = reply.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            bounded = float(min(value, MAX_LIFETIME_S * 1000))
            return bounded / 1000 if bounded > MAX_LIFETIME_S else bounded
    return DEFAULT_LIFETIME_S


def _api_domain(reply: dict[str, Any]) -> str | None:
    value = reply.get("api_domain")
    try:
        return server_url(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _words(value: object, secrets: Iterable[Secret | None]) -> str:
    text = value[:2000] if isinstance(value, str) else ""
    for secret in secrets:
        if secret is not None:
            text = strike(text, secret.reveal())
    return escape(text, 200)
