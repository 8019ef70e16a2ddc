"""A text that must not be seen by chance."""

from __future__ import annotations

import re
from typing import final

# What may stand in a header or a form without being quoted; everything else is a slip of the hand
# (a newline from `$(cat …)`, the header's own "Zoho-oauthtoken " in front).
_SENDABLE = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)


def is_sendable(text: str) -> bool:
    """Return whether a text can be sent as a token, or as another part of credentials."""
    return _SENDABLE.fullmatch(text) is not None


@final
class Secret:
    """A secret text: it shows itself to nobody who does not ask for it by `reveal`.

    Two are equal when their texts are. Pickling keeps the text, since settings may cross a process
    boundary.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text. Not to be kept in a variable: tools that report errors show those."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("secret", self._text))

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__
