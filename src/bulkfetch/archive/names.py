"""Which names no honest export holds. Pure: text in, a reason or None out.

bulkfetch never uses a member's name, only its ending. But an archive that holds a name made to
lead another reader astray was not made by the service.
"""

from __future__ import annotations

import unicodedata

# Windows takes these, with any ending, for devices. The superscript digits count there too.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
# The longest component that ext4, XFS, APFS and NTFS all hold.
COMPONENT_BYTES = 255


def member_hazard(name: str) -> str | None:
    """Say why no honest export holds a member of this name; None when one could.

    Subfolders are honest; a trailing slash marks a folder.
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


def same_file_key(name: str) -> str:
    """Give equal keys to names that some file system takes for one file (case, normal form)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _component_hazard(component: str) -> str | None:
    for char in component:
        # Cc control, Cf bidi and invisible format, Cs lone surrogate, Zl and Zp line breaks.
        if not char.isascii() or not char.isprintable():
            category = unicodedata.category(char)
            if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                return f"a name with U+{ord(char):04X}, a control or invisible character"
    if component[-1] in ". ":
        return "a name with a dot or space at its end"
    if component.split(".", 1)[0].rstrip(" ").casefold() in _DEVICES:
        return "a device's name"
    if len(component.encode("utf-8", "surrogatepass")) > COMPONENT_BYTES:
        return f"a name longer than {COMPONENT_BYTES} bytes"
    return None
