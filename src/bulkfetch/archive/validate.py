"""Which entry of an archive is the export, and why an archive is refused. Pure.

An export is one plain file whose name ends in .csv or .ics. Folder entries are accepted: packers
write them for a file in a subfolder, they contain nothing, and no folder is created for them.
"""

from __future__ import annotations

import stat
from typing import Literal, NamedTuple

from bulkfetch.archive.structure import (
    AES,
    DEFLATED,
    DESCRIPTOR_FLAG,
    ENCRYPTED_FLAGS,
    STORED,
    UTF8_FLAG,
    ZipEntry,
    check_version,
)
from bulkfetch.errors import (
    ZipContent,
    ZipCorrupt,
    ZipEncrypted,
    ZipTooLarge,
    ZipUnsafe,
    ZipUnsupported,
)
from bulkfetch.filenames import member_hazard, same_file

Suffix = Literal[".csv", ".ics"]

# The only other flags without a meaning for readers are deflate's two hints about effort.
_KNOWN_FLAGS = ENCRYPTED_FLAGS | DESCRIPTOR_FLAG | UTF8_FLAG | 1 << 1 | 1 << 2
_DOS_FOLDER, _DOS_VOLUME = 0x10, 0x08
# Deflate's maximum: 258 bytes from two bits. A larger ratio means a false size.
DEFLATE_RATIO = 1032


class ExtractLimits(NamedTuple):
    """Limits for extracting one archive.

    `file_bytes` is the maximum size of the extracted file. `reserve_bytes` (`free_bytes` of the
    settings) stay free on the disk, so that the journal can still be written.
    """

    file_bytes: int
    reserve_bytes: int = 0


def select_member(entries: tuple[ZipEntry, ...], limits: ExtractLimits) -> tuple[ZipEntry, Suffix]:
    """Return the entry that is the export, and its extension.

    Of several problems the worst is raised: hostile names, then encryption, unsupported features,
    size, content.

    Raises ZipUnsafe, ZipEncrypted, ZipUnsupported, ZipTooLarge, ZipCorrupt, ZipContent.
    """
    decoded = [_decoded(entry) for entry in entries]
    for entry, name in zip(entries, decoded, strict=True):
        _refuse_hostile(entry, name)
    if len({same_file(name.removesuffix("/")) for name in decoded}) < len(entries):
        raise ZipUnsafe("two entries have the same name")
    if any(entry.flags & ENCRYPTED_FLAGS or entry.method == AES for entry in entries):
        raise ZipEncrypted()
    for entry in entries:
        _refuse_unknown(entry)
    if (total := sum(entry.bytes for entry in entries)) > limits.file_bytes:
        raise ZipTooLarge(f"it unpacks to {total} bytes, the limit is {limits.file_bytes}")
    for entry in entries:
        _refuse_impossible(entry)
    files = [(e, n) for e, n in zip(entries, decoded, strict=True) if not n.endswith("/")]
    if len(files) != 1:
        raise ZipContent(f"the archive contains {len(files)} files instead of one")
    entry, name = files[0]
    match name[-4:].lower():
        case ".csv":
            return entry, ".csv"
        case ".ics":
            return entry, ".ics"
        case _:
            raise ZipContent("the archive's file is neither CSV nor ICS")


def _decoded(entry: ZipEntry) -> str:
    try:
        return entry.name.decode("utf-8")
    except UnicodeDecodeError as foreign:
        if entry.flags & UTF8_FLAG:
            raise ZipUnsafe("a name is marked as UTF-8 but is not") from foreign
        return entry.name.decode("cp437")


def _refuse_hostile(entry: ZipEntry, name: str) -> None:
    if (hazard := member_hazard(name)) is not None:
        raise ZipUnsafe(f"the archive contains {hazard}")
    folder = name.endswith("/")
    mode = entry.attributes >> 16  # as Unix packers fill it in; zero from others
    expected = stat.S_IFDIR if folder else stat.S_IFREG
    if stat.S_IFMT(mode) not in (0, expected):
        raise ZipUnsafe("the archive contains a link, a device or a folder in disguise")
    if not folder and mode & (stat.S_ISUID | stat.S_ISGID):
        raise ZipUnsafe("the archive contains a file with setuid or setgid")
    if entry.attributes & _DOS_VOLUME or (entry.attributes & _DOS_FOLDER and not folder):
        raise ZipUnsafe("the archive contains a folder or a label in disguise")
    if folder and entry.bytes:
        raise ZipUnsafe("the archive contains a folder with bytes in it")


def _refuse_unknown(entry: ZipEntry) -> None:
    if entry.method not in (STORED, DEFLATED):
        raise ZipUnsupported(f"compression method {entry.method}")
    if entry.flags & ~_KNOWN_FLAGS:
        raise ZipUnsupported(f"general purpose flags 0x{entry.flags:04x}")
    check_version(entry.version)


def _refuse_impossible(entry: ZipEntry) -> None:
    if entry.method == STORED and entry.bytes != entry.compressed_bytes:
        raise ZipCorrupt("a stored file has two sizes")
    if entry.bytes > entry.compressed_bytes * DEFLATE_RATIO:
        raise ZipCorrupt("an entry declares more bytes than deflate can produce")
