"""Which names a file may be published under."""

from __future__ import annotations

import unicodedata

MAX_STEM_BYTES = 200  # NAME_MAX is 255 on common file systems; an ending and ".part" come on top

_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"]
)
_FORBIDDEN = frozenset('/\\<>:"|?*')
# What is put behind a stem by itself: a name with it would get it twice.
_ENDINGS = (".csv", ".ics", ".zip")


def unsafe_stem(name: str) -> str | None:
    """Say why `name` cannot be a published file's stem, None when it can.

    The rules are those of every common file system at once, so that a folder of results can be
    copied anywhere. The reason completes the sentence "the name …".
    """
    if not name:
        return "is empty"
    for char in name:
        if char in _FORBIDDEN:
            return f"holds {char!r}"
        # Control and invisible characters, exotic spaces, code points without meaning: none of
        # these can be told apart or typed by the person who looks for a file.
        if not char.isprintable():
            return f"holds the unprintable character U+{ord(char):04X}"
    if name[0] in ".- ":
        return f"begins with {name[0]!r}"
    if name[-1] in ". ":
        return f"ends with {name[-1]!r}"
    # In both forms: it is written as it is, and some file systems compose what they are given.
    if max(len(form.encode()) for form in (name, unicodedata.normalize("NFC", name))) > (
        MAX_STEM_BYTES
    ):
        return f"is longer than {MAX_STEM_BYTES} bytes"
    if name.split(".")[0].rstrip().lower() in _RESERVED:
        return "is reserved for a device on some systems"
    if (stem := without_ending(name)) != name:
        return f"ends with {name[len(stem) :]!r}, which is added by itself: write {stem!a}"
    return None


def without_ending(name: str) -> str:
    """Return a name without the endings that files are published with, in any case of letters."""
    while name.lower().endswith(_ENDINGS):
        name = name[:-4].rstrip(". ")
    return name


def same_file(name: str) -> str:
    """Give the form in which two names are equal that some file system takes for one file."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
