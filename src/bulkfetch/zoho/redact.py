"""Secrets struck out of what a server said: it may send back what it was sent."""

from __future__ import annotations

import re

from bulkfetch.errors import BulkfetchError
from bulkfetch.secret import Secret

# Foreign text is cut to a length and host names are lowered, so that a secret may come in part
# and in another case. So much of one tells nothing yet, and is in no other word.
PIECE = 8
STRUCK = "***"


def redacted(error: BulkfetchError, secret: Secret) -> BulkfetchError:
    """Give the error, with a message that holds no piece of `secret`; the same where it did not."""
    message = strike(error.message, secret.reveal())
    if message == error.message:
        return error
    return type(error)(message, hint=error.hint, http=error.http)


def strike(text: str, secret: str) -> str:
    """Replace every stretch of PIECE characters or more of `secret` in `text`, in any case."""
    size = min(PIECE, len(secret))
    pieces = {re.escape(secret[at : at + size]) for at in range(len(secret) - size + 1)}
    found = re.compile(f"(?=({'|'.join(pieces)}))", re.IGNORECASE | re.ASCII)
    clean, end = "", 0
    for match in found.finditer(text) if secret else ():
        start = match.start()
        if start > end or not clean:
            clean += text[end:start] + STRUCK
        end = start + size
    return clean + text[end:]
