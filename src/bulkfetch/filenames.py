"""File names: which may be published, which no honest archive holds, which are one file. Pure.

The rules are those of every common file system at once, so that a folder of results can be copied
anywhere.
"""

from __future__ import annotations

import unicodedata

MAX_STEM_BYTES = 200  # NAME_MAX is 255 on common file systems; an ending and ".part" come on top

# The longest component that ext4, XFS, APFS and NTFS all hold.
COMPONENT_BYTES = 255

# Windows takes these for devices, with any ending. The superscript digits count there too.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
_FORBIDDEN = frozenset('/\\<>:"|?*')
# Where the files of an export are published until it is complete, below the output folder.
UNFINISHED_EXPORTS = ".bulkfetch/exports/"
# What is put behind a stem by itself: a name with it would get it twice.
_ENDINGS = (".csv.gz", ".parquet", ".csv", ".ics", ".zip")


def unsafe_stem(name: str) -> str | None:
    """Return why `name` cannot be a published file's stem, None when it can.

    The reason completes the sentence "the name …".
    """
    if not name:
        return "is empty"
    for char in name:
        if char in _FORBIDDEN:
            return f"contains {char!r}"
        # Control and invisible characters, exotic spaces, unassigned code points: people can
        # neither see nor type them.
        if not char.isprintable():
            return f"contains the unprintable character U+{ord(char):04X}"
    if name[0] in ".- ":
        return f"begins with {name[0]!r}"
    if name[-1] in ". ":
        return f"ends with {name[-1]!r}"
    # In both forms: the name is written as it is, and some file systems compose it.
    if max(len(form.encode()) for form in (name, unicodedata.normalize("NFC", name))) > (
        MAX_STEM_BYTES
    ):
        return f"is longer than {MAX_STEM_BYTES} bytes"
    if _is_device(name):
        return "is reserved for a device on some systems"
    if (stem := without_ending(name)) != name:
        return f"ends with {name[len(stem) :]!r}, which is added automatically: write {stem!a}"
    return None


def unsafe_folder(path: str) -> str | None:
    """Return why files cannot be published in this folder below the output folder, None when they
    can.

    `path` has slashes; "" is the output folder itself. The reason completes "the folder …".
    """
    if not path:
        return None
    for component in path.removeprefix(UNFINISHED_EXPORTS).split("/"):
        if (reason := unsafe_stem(component)) is not None:
            return f"has a part that {reason}"
    return None


def without_ending(name: str) -> str:
    """Return a name without the endings that files are published with, in any case of letters."""
    while ending := next(filter(name.lower().endswith, _ENDINGS), None):
        name = name[: -len(ending)].rstrip(". ")
    return name


def same_file(name: str) -> str:
    """Return a key that is equal for names that some file system takes for one file.

    Case and composed or decomposed accents make no difference.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def member_hazard(name: str) -> str | None:
    """Return what is wrong with the name of an archive's member, None where nothing is.

    bulkfetch uses only the ending of that name. But an archive with a name made to mislead another
    reader was not made by the service. Subfolders are honest; a trailing slash marks a folder.
    """
    if not name:
        return "an empty name"
    if "\\" in name:
        return "a backslash in a name"
    if ":" in name:
        return "a drive or an alternate stream in a name"
    if name.startswith("/"):
        return "an absolute name"
    for component in name.removesuffix("/").split("/"):
        if component in ("", ".", ".."):
            return "a name that leads out of its folder"
        if (hazard := _component_hazard(component)) is not None:
            return hazard
    return None


def _component_hazard(component: str) -> str | None:
    for char in component:
        # Cc control, Cf bidi and invisible format, Cs lone surrogate, Zl and Zp line breaks.
        if not char.isascii() or not char.isprintable():
            category = unicodedata.category(char)
            if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                return f"a name with U+{ord(char):04X}, a control or invisible character"
    if component[-1] in ". ":
        return "a name with a dot or space at its end"
    if _is_device(component):
        return "a device's name"
    if len(component.encode("utf-8", "surrogatepass")) > COMPONENT_BYTES:
        return f"a name longer than {COMPONENT_BYTES} bytes"
    return None


def _is_device(name: str) -> bool:
    return name.split(".", 1)[0].rstrip().casefold() in _DEVICES
