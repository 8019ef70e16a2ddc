"""What a value of a setting must be.

Each function here is a check, or makes one: it gives the value in its right form, or raises
ValueError with a sentence about the key, such as "should be at least 1" (Misfit where there is a
hint too). Neither repeats the value: it may be a secret in the wrong place. A checked value passes
the same check again as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bulkfetch.config.misfit import Misfit
from bulkfetch.config.nearest import nearest
from bulkfetch.config.sizes import parse_size
from bulkfetch.secret import Secret, is_sendable

T = TypeVar("T")
Check = Callable[[object], T]


def text(value: object) -> str:
    """Take any text."""
    if not isinstance(value, str):
        raise ValueError("should be a text in quotes")
    return value


def flag(value: object) -> bool:
    """Take true and false alone."""
    if not isinstance(value, bool):
        hint = "Write it in small letters and without quotes." if isinstance(value, str) else ""
        raise Misfit("should be true or false", hint=hint)
    return value


def whole(least: int, most: int | None = None) -> Check[int]:
    """Take whole numbers between these, both included; true is none."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Misfit("should be a whole number", hint=_number_hint(value))
        _bounded(value, least, most)
        return value

    return check


def number(least: float, most: float) -> Check[float]:
    """Take numbers between these, both included; true and nan are none."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Misfit("should be a number", hint=_number_hint(value))
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("should be a finite number")
        _bounded(value, least, most)
        return float(value)

    return check


def seconds(value: object) -> float:
    """Take a time of more than nothing, up to a day."""
    if number(0, 86_400)(value) == 0:
        raise ValueError("should be more than 0")
    return number(0, 86_400)(value)


def size(value: object) -> int:
    """Take a number of bytes, or what `parse_size` reads; more than 0."""
    found = parse_size(value)
    if found <= 0:
        raise ValueError("should be more than 0")
    return whole(1, 2**62 - 1)(found)


def size_or_zero(value: object) -> int:
    """Take a number of bytes as `size` does, and 0."""
    return whole(0, 2**62 - 1)(parse_size(value))


def path(value: object) -> Path:
    """Take a path as text or as it is."""
    if not isinstance(value, str | Path):
        raise ValueError("should be a path in quotes")
    if "\0" in str(value):
        raise ValueError("should be a path without NUL")
    if not str(value).strip():
        raise Misfit("should not be empty", hint='The folder itself is "."; or leave it out.')
    return Path(value)


def secret(value: object) -> Secret:
    """Take a text, or one that is kept secret already."""
    return value if isinstance(value, Secret) else Secret(text(value))


def sendable(value: object) -> Secret:
    """Take a secret that can be sent in a header or a form."""
    if not is_sendable(secret(value).reveal()):
        raise Misfit(
            "holds spaces or unprintable characters",
            hint="It must be the bare value: no quotes, no header name, one line.",
        )
    return secret(value)


def one_of(*words: str, also: Mapping[str, str] | None = None) -> Check[str]:
    """Take one of these. `also` are other words for them, which the hint of a complaint knows."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            plain = value.strip().lower() if isinstance(value, str) else ""
            like = (also or {}).get(plain) or nearest(plain, words)
            raise Misfit(
                f"should be one of {', '.join(map(repr, words))}",
                hint=f'did you mean "{like}"?' if like else "",
            )
        return value

    return check


def matching(pattern: str, should: str) -> Check[str]:
    """Take texts that match all of a pattern, which `should be …` puts into words."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: object) -> str:
        if compiled.fullmatch(text(value)) is None:
            raise ValueError(f"should be {should}")
        return text(value)

    return check


def optional(check: Check[T]) -> Check[T | None]:
    """Take None too."""

    def or_none(value: object) -> T | None:
        return None if value is None else check(value)

    return or_none


def _number_hint(value: object) -> str:
    if isinstance(value, str):
        return "Write the number without quotes and unit."
    return "Write it without a decimal point." if isinstance(value, float) else ""


def _bounded(value: float, least: float, most: float | None) -> None:
    if value < least:
        raise ValueError(f"should be at least {least}")
    if most is not None and value > most:
        raise ValueError(f"should be at most {most}")
