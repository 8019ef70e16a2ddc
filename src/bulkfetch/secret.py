"""A text that must not be shown by accident."""

from __future__ import annotations

import re
from typing import final

# What a header or a form can carry unquoted; everything else is a mistake (a newline from a file,
# the header's own "Zoho-oauthtoken " in front).
_SENDABLE = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)


def is_sendable(text: str) -> bool:
    """Return whether a text can be sent as a token, or as another part of credentials."""
    return _SENDABLE.fullmatch(text) is not None


@final
class Secret:
    """A secret text, shown only by `reveal`.

    Two secrets are equal if their texts are. Pickling keeps the text, since settings may cross a
    process boundary.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Do not keep it in a variable: error reporting tools show variables."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("secret", self._text))

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__
