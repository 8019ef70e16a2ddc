"""Removing secrets from a server's messages: it may send back what it received."""

from __future__ import annotations

import copy
import re

from bulkfetch.errors import BulkfetchError
from bulkfetch.secret import Secret

# Foreign text is cut to a length and host names are lowered, so that part of a secret may appear,
# in any case. A shorter piece reveals too little to matter, and may occur in other words.
PIECE = 8
STRUCK = "***"


def redacted(error: BulkfetchError, secret: Secret) -> BulkfetchError:
    """Return the error with every piece of `secret` removed from its message."""
    message = strike(error.message, secret.reveal())
    if message == error.message:
        return error
    clean = copy.copy(error)
    clean.message, clean.args = message, (message,)
    return clean


def strike(text: str, secret: str) -> str:
    """Return `text` without pieces of `secret` of PIECE or more characters, in any case."""
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
