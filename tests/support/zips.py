"""A ZIP writer that can lie.

`pack` writes each field from what it is given, checked by nobody: any place of the format can be
made to say something else than the others do. Imports nothing of bulkfetch, so that it cannot share
a mistake with the reader.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

CSV_NAME = b"554023000000568002.csv"
CSV = b"Id,Last_Name\r\n" + b"".join(
    b'554023000000%06d,"Meyer, ""Tom""\nand sons %d"\r\n' % (n, n * n) for n in range(40)
)
ICS = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Call\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

STORED, DEFLATED = 0, 8
REGULAR = 0o100644 << 16
FOLDER = 0o040755 << 16 | 0x10

_MAX32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Item:
    """One entry to write.

    `stream` replaces the compressed data; `descriptor` is the length of the data descriptor to
    write (12, 16, 20, 24; 0 for none); `zip64` puts sizes and offset into extra fields. `local`,
    `central` and `trailer` replace single fields of the local header, the directory entry and the
    descriptor; `at` replaces the offset told by the directory; `before` stands before the header.
    """

    name: bytes = CSV_NAME
    data: bytes = CSV
    method: int = DEFLATED
    flags: int = 0
    version: int = 20
    attributes: int = REGULAR
    stream: bytes | None = None
    descriptor: int = 0
    zip64: bool = False
    extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    at: int | None = None
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] = field(default_factory=dict)
    trailer: Mapping[str, int] = field(default_factory=dict)


def deflate(data: bytes, level: int = 6) -> bytes:
    """Give `data` as one raw deflate stream."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def extra_field(kind: int, body: bytes) -> bytes:
    """Give one extra field: its id, its length, its body."""
    return struct.pack("<2H", kind, len(body)) + body


def unicode_path(name: bytes, header_name: bytes) -> bytes:
    """Give the Info-ZIP extra field that puts another name in the header's place."""
    return extra_field(0x7075, struct.pack("<BL", 1, zlib.crc32(header_name)) + name)


def pack(
    *items: Item,
    comment: bytes = b"",
    zip64: bool = False,
    gap: bytes = b"",
    after: bytes = b"",
    end: Mapping[str, int] | None = None,
    end64: Mapping[str, int] | None = None,
    locator: Mapping[str, int] | None = None,
) -> bytes:
    """Write an archive.

    `zip64` writes the ZIP64 end record and its locator. `gap` stands between the last entry and the
    directory, `after` behind the end of the file. `end`, `end64` and `locator` replace fields.
    """
    body, directory = b"", b""
    for item in items:
        body += item.before
        offset = len(body) if item.at is None else item.at
        written, listed = entry(item, offset)
        body += written
        directory += listed
    body += gap
    start = len(body)
    body += directory
    record = {
        "disk": 0,
        "start_disk": 0,
        "here": len(items),
        "entries": len(items),
        "size": len(directory),
        "offset": start,
    }
    if zip64:
        wide = {"record": 44, "made": 45, "version": 45, **record, **(end64 or {})}
        at = {"disk": 0, "offset": len(body), "disks": 1, **(locator or {})}
        body += struct.pack("<4sQ2H2L4Q", b"PK\6\6", *wide.values())
        body += struct.pack("<4sLQL", b"PK\6\7", *at.values())
        record |= {"here": 0xFFFF, "entries": 0xFFFF, "size": _MAX32, "offset": _MAX32}
    record |= {"comment": len(comment), **(end or {})}
    return body + struct.pack("<4s4H2LH", b"PK\5\6", *record.values()) + comment + after


def entry(item: Item, offset: int) -> tuple[bytes, bytes]:
    """Give an entry's span (header, data, descriptor) and its place in the directory."""
    stream = item.stream
    if stream is None:
        stream = deflate(item.data) if item.method == DEFLATED else item.data
    flags = item.flags | (8 if item.descriptor else 0)
    true = {"crc": zlib.crc32(item.data), "compressed": len(stream), "size": len(item.data)}
    common = {
        "version": max(item.version, 45 if item.zip64 else 0),
        "flags": flags,
        "method": item.method,
        "time": 0,
        "date": 0x21,
    }
    # What a streaming writer does not know yet is zero in the local header.
    known = dict.fromkeys(true, 0) if item.descriptor else dict(true)
    local: dict[str, int | bytes] = {**common, **known, "name": item.name, "extra": item.extra}
    central: dict[str, int | bytes] = {
        "made": 3 << 8 | 20,
        **common,
        **true,
        "name": item.name,
        "extra": item.extra,
        "comment": item.comment,
        "disk": 0,
        "internal": 0,
        "attributes": item.attributes,
        "offset": offset,
    }
    if item.zip64:
        sizes = struct.pack("<2Q", known["size"], known["compressed"])
        local |= {"size": _MAX32, "compressed": _MAX32}
        local["extra"] = extra_field(1, sizes) + item.extra
        whole = struct.pack("<3Q", true["size"], true["compressed"], offset)
        central |= {"size": _MAX32, "compressed": _MAX32, "offset": _MAX32}
        central["extra"] = extra_field(1, whole) + item.extra
    return (
        _local(local | dict(item.local)) + stream + _trailer(item, true | dict(item.trailer)),
        _central(central | dict(item.central)),
    )


def _local(v: Mapping[str, int | bytes]) -> bytes:
    name, extra = bytes(v["name"]), bytes(v["extra"])
    fixed = [v[k] for k in ("version", "flags", "method", "time", "date")]
    sums = [v[k] for k in ("crc", "compressed", "size")]
    head = struct.pack("<4s5H3L2H", b"PK\3\4", *fixed, *sums, len(name), len(extra))
    return head + name + extra


def _central(v: Mapping[str, int | bytes]) -> bytes:
    name, extra, comment = bytes(v["name"]), bytes(v["extra"]), bytes(v["comment"])
    fixed = [v[k] for k in ("made", "version", "flags", "method", "time", "date")]
    sums = [v[k] for k in ("crc", "compressed", "size")]
    rest = [v[k] for k in ("disk", "internal", "attributes", "offset")]
    lengths = (len(name), len(extra), len(comment))
    head = struct.pack("<4s6H3L5H2L", b"PK\1\2", *fixed, *sums, *lengths, *rest)
    return head + name + extra + comment


def _trailer(item: Item, v: Mapping[str, int]) -> bytes:
    if not item.descriptor:
        return b""
    sizes = struct.pack("<QQ" if item.descriptor >= 20 else "<LL", v["compressed"], v["size"])
    signed = b"PK\7\x08" if item.descriptor in (16, 24) else b""
    return signed + struct.pack("<L", v["crc"]) + sizes
