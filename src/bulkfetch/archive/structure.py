"""The structure of a ZIP file, read strictly. Pure: bytes in, values out.

A ZIP can be read in several ways, and damaged or hostile archives pass because readers disagree. So
only one reading is accepted here, and everything else is refused:

    local header, data, data descriptor (once per entry, from byte 0, without gap or overlap)
    central directory
    [ZIP64 end record, ZIP64 locator]
    end record, its comment, end of file

Values that appear in two places must agree. The order is the end of the file, then the directory,
then the headers of each entry; the caller reads the ranges that these functions need.

Sources: PKWARE APPNOTE 6.3.10 (sections in brackets below), and the output of real writers.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from bulkfetch.errors import ZipContent, ZipCorrupt, ZipUnsafe, ZipUnsupported

STORED, DEFLATED, AES = 0, 8, 99

LOCAL_SIGNATURE = b"PK\x03\x04"
END_SIGNATURE = b"PK\x05\x06"
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
_END64_SIGNATURE = b"PK\x06\x06"
_LOCATOR_SIGNATURE = b"PK\x06\x07"

_LOCAL = struct.Struct("<4s5H3L2H")  # [4.3.7]
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # [4.3.12]
_END = struct.Struct("<4s4H2LH")  # [4.3.16]
_END64 = struct.Struct("<4sQ2H2L4Q")  # [4.3.14]
_LOCATOR = struct.Struct("<4sLQL")  # [4.3.15]
_U64 = struct.Struct("<Q")
# A descriptor's widths, by its length: with or without signature, 32 or 64 bit sizes [4.3.9].
_DESCRIPTORS = {
    12: struct.Struct("<LLL"),
    16: struct.Struct("<4xLLL"),
    20: struct.Struct("<LQQ"),
    24: struct.Struct("<4xLQQ"),
}

LOCAL_BYTES = _LOCAL.size
# The end record, its longest comment and the two ZIP64 records before it lie within this tail.
TAIL_BYTES = _END.size + 0xFFFF + _LOCATOR.size + _END64.size
# Bounds memory and time. An export has one entry; a larger directory has thousands.
DIRECTORY_BYTES = 1 << 20

_ZIP64_VERSION = 45
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
DESCRIPTOR_FLAG, UTF8_FLAG = 1 << 3, 1 << 11
ENCRYPTED_FLAGS = 1 << 0 | 1 << 6 | 1 << 13


class End(NamedTuple):
    """The central directory: its `offset` and `size` in bytes, and how many entries it has."""

    offset: int
    size: int
    entries: int


class ZipEntry(NamedTuple):
    """One entry of the central directory, with its ZIP64 values; `name` in raw bytes."""

    name: bytes
    version: int
    flags: int
    method: int
    crc32: int
    compressed_bytes: int
    bytes: int
    attributes: int
    offset: int


def read_end(tail: bytes, file_bytes: int) -> End:
    """Return the end record in the last bytes of a file.

    `tail` is the last min(TAIL_BYTES, file_bytes) bytes of a file of `file_bytes`.
    Raises ZipCorrupt, ZipUnsafe (more than one reading), ZipUnsupported (several disks).
    """
    base = file_bytes - len(tail)
    at = _only_end(tail)
    _, disk, directory_disk, here, entries, size, offset, _ = _END.unpack_from(tail, at)
    end_at = base + at
    locator_at = at - _LOCATOR.size
    if locator_at >= 0 and tail.startswith(_LOCATOR_SIGNATURE, locator_at):
        wide, end_at = _read_end64(tail, base, locator_at)
        narrow = (disk, directory_disk, here, entries, size, offset)
        limits = (_MAX16, _MAX16, _MAX16, _MAX16, _MAX32, _MAX32)
        if any(n not in (w, limit) for n, w, limit in zip(narrow, wide, limits, strict=True)):
            raise ZipCorrupt("the end record and its ZIP64 form disagree")
        disk, directory_disk, here, entries, size, offset = wide
    elif _MAX16 in (here, entries) or _MAX32 in (size, offset):
        raise ZipCorrupt("the ZIP64 end record is missing")
    if disk or directory_disk or here != entries:
        raise ZipUnsupported("the archive spans several disks")
    if offset + size != end_at:
        raise ZipCorrupt("the central directory does not end where the end record begins")
    if not entries:
        if size or offset:
            raise ZipCorrupt("the end record counts no entries but bytes stand before it")
        raise ZipContent("the archive is empty")
    if size > DIRECTORY_BYTES:
        raise ZipContent(f"the archive lists {entries} entries instead of one")
    return End(offset=offset, size=size, entries=entries)


def read_directory(data: bytes, end: End) -> tuple[ZipEntry, ...]:
    """Return the entries of the central directory, exactly as many as announced.

    Raises ZipCorrupt, ZipUnsafe, ZipUnsupported.
    """
    entries: list[ZipEntry] = []
    at = 0
    while at < len(data):
        entry, at = _read_central(data, at)
        entries.append(entry)
    if len(data) != end.size or len(entries) != end.entries:
        raise ZipCorrupt("the central directory is not as long as announced")
    return tuple(entries)


def spans(entries: tuple[ZipEntry, ...], end: End) -> list[tuple[ZipEntry, int]]:
    """Return each entry, in the file's order, with the offset at which its span ends.

    A span begins at the entry's local header and ends where the next one, or the directory,
    begins: spans cannot overlap, and `read_local` checks that they leave no gap.

    Raises ZipCorrupt where bytes stand before the first entry or an entry does not fit before
    the directory, ZipUnsafe where entries share bytes.
    """
    ordered = sorted(entries, key=lambda entry: entry.offset)
    if ordered[0].offset:
        raise ZipCorrupt("unexpected bytes stand before the first entry")
    ends = [entry.offset for entry in ordered[1:]] + [end.offset]
    found = list(zip(ordered, ends, strict=True))
    for entry, until in found:
        if entry.offset + LOCAL_BYTES + len(entry.name) + entry.compressed_bytes > until:
            if until >= end.offset:
                raise ZipCorrupt("an entry reaches into the central directory")
            raise ZipUnsafe("entries overlap")
    return found


def local_header_bytes(fixed: bytes) -> int:
    """Return the full length of a local header, given its first LOCAL_BYTES."""
    if len(fixed) != LOCAL_BYTES or not fixed.startswith(LOCAL_SIGNATURE):
        raise ZipCorrupt("a local header is not where the directory says")
    name_bytes, extra_bytes = struct.unpack_from("<2H", fixed, 26)
    return int(LOCAL_BYTES + name_bytes + extra_bytes)


def read_local(header: bytes, entry: ZipEntry, until: int) -> tuple[int, int]:
    """Compare a local header with its directory entry; return where the data begin and end.

    `header` is the complete local header, `until` the end of the entry's span. Between the end of
    the data and `until` is the data descriptor, to be checked with `check_descriptor`.

    Raises ZipCorrupt if they disagree or the data do not fit the span.
    """
    _, version, flags, method, _, _, crc32, compressed, size, name_bytes, _ = _LOCAL.unpack_from(
        header
    )
    name = header[LOCAL_BYTES : LOCAL_BYTES + name_bytes]
    extra = _extra_fields(header[LOCAL_BYTES + name_bytes :], entry.name)
    if (name, flags, method) != (entry.name, entry.flags, entry.method):
        raise ZipCorrupt("a local header and the central directory disagree")
    check_version(version)
    wide = extra.get(_ZIP64_EXTRA, b"")
    if _MAX32 in (size, compressed) or wide:
        if len(wide) != 16:  # both sizes, always [4.5.3]
            raise ZipCorrupt("a local header's ZIP64 field is damaged")
        pair = struct.unpack("<2Q", wide)
        size = pair[0] if size == _MAX32 else size
        compressed = pair[1] if compressed == _MAX32 else compressed
    stated, due = (crc32, compressed, size), (entry.crc32, entry.compressed_bytes, entry.bytes)
    # A streaming writer leaves some or all of these zero and fills in the descriptor.
    streamed = bool(flags & DESCRIPTOR_FLAG)
    if any(s != d and not (streamed and s == 0) for s, d in zip(stated, due, strict=True)):
        raise ZipCorrupt("a local header and the central directory disagree")
    start = entry.offset + len(header)
    stop = start + entry.compressed_bytes
    gap = until - stop
    if gap < 0:
        raise ZipCorrupt("an entry is longer than its space")
    if gap and not (streamed and gap in _DESCRIPTORS):
        raise ZipCorrupt("unexpected bytes stand between the entries")
    if streamed and not gap:
        raise ZipCorrupt("a data descriptor is missing")
    return start, stop


def check_descriptor(data: bytes, entry: ZipEntry) -> None:
    """Compare a data descriptor with its directory entry. Raises ZipCorrupt if they disagree."""
    if len(data) in (16, 24) and not data.startswith(_DESCRIPTOR_SIGNATURE):
        raise ZipCorrupt("a data descriptor is damaged")
    if _DESCRIPTORS[len(data)].unpack(data) != (entry.crc32, entry.compressed_bytes, entry.bytes):
        raise ZipCorrupt("a data descriptor and the central directory disagree")


def check_version(needed: int) -> None:
    """Raise ZipUnsupported for a version above that of ZIP64, 4.5 [4.4.3.2]."""
    version = needed & 0xFF  # the upper byte names a file system
    if version > _ZIP64_VERSION:
        raise ZipUnsupported(f"the archive needs version {version / 10} to unpack")


def _only_end(tail: bytes) -> int:
    """Return the offset of the one end record whose comment ends with the file."""
    fitting: list[int] = []
    last = at = tail.find(END_SIGNATURE)
    while at >= 0:
        last = at
        comment_at = at + _END.size
        if comment_at <= len(tail):
            (comment_bytes,) = struct.unpack_from("<H", tail, comment_at - 2)
            if comment_at + comment_bytes == len(tail):
                fitting.append(at)
        at = tail.find(END_SIGNATURE, at + 1)
    if not fitting:
        raise ZipCorrupt("no end record at the end of the file: cut short, or bytes were added")
    # Readers that search for the last signature, and those that check comments, must agree.
    if len(fitting) > 1 or fitting[0] != last:
        raise ZipUnsafe("two end records: readers may disagree which one counts")
    return last


def _read_end64(tail: bytes, base: int, locator_at: int) -> tuple[tuple[int, ...], int]:
    """Return the ZIP64 end record's six values, and its offset in the file."""
    _, record_disk, record_offset, disks = _LOCATOR.unpack_from(tail, locator_at)
    at = locator_at - _END64.size
    if record_disk or disks != 1:
        raise ZipUnsupported("the archive spans several disks")
    if at < 0 or not tail.startswith(_END64_SIGNATURE, at) or base + at != record_offset:
        raise ZipCorrupt("the ZIP64 end record is not where its locator says")
    _, record_bytes, _, version, disk, directory_disk, here, entries, size, offset = (
        _END64.unpack_from(tail, at)
    )
    if record_bytes != _END64.size - 12:  # it does not count its signature and itself
        raise ZipUnsupported("the ZIP64 end record carries an extension")
    check_version(version)
    return (disk, directory_disk, here, entries, size, offset), base + at


def _read_central(data: bytes, at: int) -> tuple[ZipEntry, int]:
    if len(data) - at < _CENTRAL.size or not data.startswith(_CENTRAL_SIGNATURE, at):
        raise ZipCorrupt("the central directory is damaged")
    fields = _CENTRAL.unpack_from(data, at)
    _, _, version, flags, method, _, _, crc32, compressed, size = fields[:10]
    name_bytes, extra_bytes, comment_bytes, disk, _, attributes, offset = fields[10:]
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_bytes
    following = extra_at + extra_bytes + comment_bytes
    if following > len(data):
        raise ZipCorrupt("the central directory is damaged")
    name = data[name_at:extra_at]
    extra = _extra_fields(data[extra_at : extra_at + extra_bytes], name)
    size, compressed, offset, disk = _widened(
        (size, compressed, offset, disk), extra.get(_ZIP64_EXTRA, b"")
    )
    if disk:
        raise ZipUnsupported("the archive spans several disks")
    entry = ZipEntry(
        name=name,
        version=version,
        flags=flags,
        method=method,
        crc32=crc32,
        compressed_bytes=compressed,
        bytes=size,
        attributes=attributes,
        offset=offset,
    )
    return entry, following


def _widened(narrow: tuple[int, int, int, int], wide: bytes) -> tuple[int, int, int, int]:
    """Return a directory entry's values, those that did not fit replaced by ZIP64's [4.5.3].

    The field contains only what did not fit, in the order size, compressed size, offset, disk.
    Some writers repeat values that do fit: accepted if they agree.
    """
    whole = (_MAX32, _MAX32, _MAX32, _MAX16)
    missing = [value == limit for value, limit in zip(narrow, whole, strict=True)]
    if not wide and not any(missing):
        return narrow
    for present in (missing, [True] * 2 + missing[2:], [True] * 3 + missing[3:], [True] * 4):
        layout = struct.Struct("<" + "".join(c for c, p in zip("QQQL", present, strict=True) if p))
        if layout.size == len(wide):
            values = iter(layout.unpack(wide))
            told = [next(values) if p else n for p, n in zip(present, narrow, strict=True)]
            if any(t != n and not m for t, n, m in zip(told, narrow, missing, strict=True)):
                raise ZipCorrupt("a ZIP64 field and its entry disagree")
            return told[0], told[1], told[2], told[3]
    raise ZipCorrupt("a ZIP64 field is damaged")


def _extra_fields(data: bytes, name: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    # Up to three bytes may remain: alignment tools add them.
    while len(data) >= 4:
        kind, size = struct.unpack_from("<2H", data)
        if 4 + size > len(data):
            raise ZipCorrupt("an extra field is damaged")
        if kind in fields and kind in (_ZIP64_EXTRA, _UNICODE_PATH_EXTRA):
            raise ZipUnsafe("an extra field stands twice: readers may disagree which one counts")
        fields[kind] = data[4 : 4 + size]
        data = data[4 + size :]
    # A version byte and a CRC, then a name that some readers prefer to the header's [4.6.9].
    second = fields.get(_UNICODE_PATH_EXTRA)
    if second is not None and second[5:] != name:
        raise ZipUnsafe("an entry has two names")
    return fields
