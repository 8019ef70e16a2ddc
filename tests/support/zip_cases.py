"""Archives by what is special or wrong about them: the project's own honest and hostile sets."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from tests.support.zips import (
    CSV,
    CSV_NAME,
    FOLDER,
    ICS,
    STORED,
    Item,
    deflate,
    entry,
    extra_field,
    pack,
    unicode_path,
)


@dataclass(frozen=True)
class Honest:
    """An archive that must come out byte for byte as `data`, under `suffix`."""

    archive: bytes
    data: bytes = CSV
    suffix: str = ".csv"


def honest() -> dict[str, Honest]:
    """Archives as honest packers write them, each by what is special about it."""
    big = b"".join(b"%d,%d\n" % (n, n * n) for n in range(30_000))
    folder = Item(name=b"exports/", data=b"", method=STORED, attributes=FOLDER)
    late = Item(name=b"exports/" + CSV_NAME)
    return {
        "deflated": Honest(pack(Item())),
        "stored": Honest(pack(Item(method=STORED))),
        "ICS": Honest(pack(Item(name=b"events.ics", data=ICS)), ICS, ".ics"),
        "ending in capitals": Honest(pack(Item(name=b"LEADS.CSV"))),
        "empty CSV, deflated": Honest(pack(Item(data=b"")), b""),
        "empty CSV, stored": Honest(pack(Item(data=b"", method=STORED)), b""),
        "larger than all buffers": Honest(pack(Item(data=big)), big),
        "larger than all buffers, stored": Honest(pack(Item(data=big, method=STORED)), big),
        "compressed 900 : 1": Honest(pack(Item(data=b"," * 1_000_000)), b"," * 1_000_000),
        "stored blocks within deflate": Honest(pack(Item(stream=deflate(CSV, 0)))),
        "descriptor with signature": Honest(pack(Item(descriptor=16))),
        "descriptor without signature": Honest(pack(Item(descriptor=12))),
        "64 bit descriptor": Honest(pack(Item(descriptor=24))),
        "64 bit descriptor without signature": Honest(pack(Item(descriptor=20))),
        "descriptor repeated in the local header": Honest(
            pack(Item(descriptor=16, local={"crc": zlib.crc32(CSV)}))
        ),
        "ZIP64 entry": Honest(pack(Item(zip64=True))),
        "ZIP64 entry with descriptor": Honest(pack(Item(zip64=True, descriptor=24))),
        "ZIP64 field that repeats what fits": Honest(
            pack(Item(central={"extra": extra_field(1, _wide(len(CSV)))}))
        ),
        "ZIP64 end": Honest(pack(Item(), zip64=True)),
        "ZIP64 throughout": Honest(pack(Item(zip64=True), zip64=True)),
        "ZIP64 end that repeats the plain one": Honest(
            pack(Item(), zip64=True, end={"here": 1, "entries": 1})
        ),
        "comment": Honest(pack(Item(), comment=b"made by an export")),
        "longest comment": Honest(pack(Item(), comment=b"c" * 0xFFFF, zip64=True)),
        "entry comment": Honest(pack(Item(comment=b"leads"))),
        "time stamps in extra fields": Honest(pack(Item(extra=extra_field(0x5455, b"\1" * 5)))),
        "padding in the extra field": Honest(pack(Item(extra=b"\0\0\0"))),
        "name in UTF-8": Honest(pack(Item(name="Müller.csv".encode(), flags=1 << 11))),
        "name in UTF-8, not flagged": Honest(pack(Item(name="名前.csv".encode()))),
        "name in CP437": Honest(pack(Item(name=b"M\x81ller.csv"))),
        "one name told twice": Honest(pack(Item(extra=unicode_path(CSV_NAME, CSV_NAME)))),
        "file in a subfolder": Honest(pack(late)),
        "folder entry first": Honest(pack(folder, late)),
        "folder entry last": Honest(pack(late, folder)),
        "no Unix mode": Honest(pack(Item(attributes=0))),
        "read-only and archive bits of DOS": Honest(pack(Item(attributes=0x21))),
    }


@dataclass(frozen=True)
class Hostile:
    """An archive that must be refused with this code."""

    archive: bytes
    code: str


# By what is wrong with each; all end in .csv so that nothing else is.
HARMFUL_NAMES = {
    "traversal": b"../554.csv",
    "traversal inside": b"a/../../554.csv",
    "absolute": b"/tmp/554.csv",
    "network share": b"//server/share/554.csv",
    "drive": b"C:554.csv",
    "backslashes": b"..\\554.csv",
    "alternate stream": b"554.csv:hidden.csv",
    "device": b"CON.csv",
    "device with two endings": b"lpt1.txt.csv",
    "device as a folder": b"nul/554.csv",
    "device with a superscript": "com¹.csv".encode(),
    "device with blanks": b"AUX  .csv",
    "NUL byte": b"554.csv\x00.exe",
    "control character": b"554\x1b[2J.csv",
    "DEL": b"554\x7f.csv",
    "C1 control": "554\u009b.csv".encode(),
    "right-to-left override": "554\u202ecsv.exe.csv".encode(),
    "zero-width blank": "554\u200b.csv".encode(),
    "line separator": "554\u2028.csv".encode(),
    "dot component": b"./554.csv",
    "empty component": b"a//554.csv",
    "dot at the end": b"exports./554.csv",
    "blank at the end": b"554.csv ",
    "no name": b"",
    "very long name": b"5" * 300 + b".csv",
}


def hostile() -> dict[str, Hostile]:
    """Archives that must be refused, by what is wrong with them."""
    plain = pack(Item())
    text = Item(name=b"b.txt", data=b"text")
    stream = deflate(CSV)
    wrong = zlib.crc32(CSV) ^ 1
    lies: dict[str, int | bytes] = {
        "name": b"664023000000568002.csv",
        "method": STORED,
        "flags": 1 << 11,
        "crc": wrong,
        "size": len(CSV) + 1,
        "compressed": len(stream) - 1,
    }
    cases: dict[str, tuple[str, bytes]] = {
        f"name: {what}": ("ZIP_UNSAFE", pack(Item(name=name)))
        for what, name in HARMFUL_NAMES.items()
    }
    cases |= {
        "name that claims UTF-8": (
            "ZIP_UNSAFE",
            pack(Item(name=b"M\x81ller.csv", flags=1 << 11)),
        ),
        "second name in an extra field": (
            "ZIP_UNSAFE",
            pack(Item(extra=unicode_path(b"../554.csv", CSV_NAME))),
        ),
        "duplicate names": ("ZIP_UNSAFE", pack(Item(), Item())),
        "duplicate but for case": ("ZIP_UNSAFE", pack(Item(name=b"a.csv"), Item(name=b"A.CSV"))),
        "duplicate but for normal form": (
            "ZIP_UNSAFE",
            pack(Item(name="é.csv".encode()), Item(name="e\u0301.csv".encode())),
        ),
        "file and folder of one name": (
            "ZIP_UNSAFE",
            pack(Item(), Item(name=CSV_NAME + b"/", data=b"", method=STORED, attributes=FOLDER)),
        ),
        "symlink": (
            "ZIP_UNSAFE",
            pack(Item(data=b"/etc/passwd", method=STORED, attributes=0o120777 << 16)),
        ),
        "symlink next to the file": (
            "ZIP_UNSAFE",
            pack(Item(), Item(name=b"link", data=b"..", attributes=0o120777 << 16)),
        ),
        "symlink from a DOS packer": (
            "ZIP_UNSAFE",
            pack(Item(attributes=0o120777 << 16, central={"made": 20})),
        ),
        "character device": ("ZIP_UNSAFE", pack(Item(attributes=0o020666 << 16))),
        "block device": ("ZIP_UNSAFE", pack(Item(attributes=0o060666 << 16))),
        "pipe": ("ZIP_UNSAFE", pack(Item(attributes=0o010666 << 16))),
        "socket": ("ZIP_UNSAFE", pack(Item(attributes=0o140666 << 16))),
        "folder in disguise": ("ZIP_UNSAFE", pack(Item(attributes=FOLDER))),
        "folder in disguise (DOS)": ("ZIP_UNSAFE", pack(Item(attributes=0x10))),
        "volume label": ("ZIP_UNSAFE", pack(Item(attributes=0x08))),
        "folder with bytes in it": ("ZIP_UNSAFE", pack(Item(), Item(name=b"a/"))),
        "setuid": ("ZIP_UNSAFE", pack(Item(attributes=0o104755 << 16))),
        "setgid": ("ZIP_UNSAFE", pack(Item(attributes=0o102755 << 16))),
        "full overlap": ("ZIP_UNSAFE", pack(Item(), Item(name=b"b.csv", at=0))),
        "quoted overlap": ("ZIP_UNSAFE", _quoted_overlap()),
        "end record in the comment": ("ZIP_UNSAFE", pack(Item(), comment=plain)),
        "end record's magic in the comment": ("ZIP_UNSAFE", pack(Item(), comment=b"..PK\5\6..")),
        "two archives in one file": ("ZIP_CORRUPT", plain + pack(Item(name=b"b.csv"))),
        "ZIP64 field twice": (
            "ZIP_UNSAFE",
            pack(Item(zip64=True, extra=extra_field(1, bytes(24)))),
        ),
        "encrypted": ("ZIP_ENCRYPTED", pack(Item(flags=1))),
        "strongly encrypted": ("ZIP_ENCRYPTED", pack(Item(flags=1 | 1 << 6))),
        "masked headers": ("ZIP_ENCRYPTED", pack(Item(flags=1 << 13))),
        "AES without its flag": ("ZIP_ENCRYPTED", pack(Item(method=99, version=51))),
        **{
            f"method {method}": ("ZIP_UNSUPPORTED", pack(Item(method=method)))
            for method in (1, 6, 9, 12, 14, 93, 95, 98)
        },
        "patched data": ("ZIP_UNSUPPORTED", pack(Item(flags=1 << 5))),
        "version 6.2": ("ZIP_UNSUPPORTED", pack(Item(version=62))),
        "several disks": ("ZIP_UNSUPPORTED", pack(Item(), end={"disk": 1})),
        "entry on another disk": ("ZIP_UNSUPPORTED", pack(Item(central={"disk": 1}))),
        "several disks (ZIP64)": (
            "ZIP_UNSUPPORTED",
            pack(Item(), zip64=True, locator={"disks": 2}),
        ),
        "extended ZIP64 end": ("ZIP_UNSUPPORTED", pack(Item(), zip64=True, end64={"record": 45})),
        "empty archive": ("ZIP_CONTENT", pack()),
        "two CSVs": ("ZIP_CONTENT", pack(Item(), Item(name=b"b.csv"))),
        "CSV and something else": ("ZIP_CONTENT", pack(Item(), text)),
        "text only": ("ZIP_CONTENT", pack(text)),
        "ending hidden before another": ("ZIP_CONTENT", pack(Item(name=b"554.csv.exe"))),
        "folder only": (
            "ZIP_CONTENT",
            pack(Item(name=b"554.csv/", data=b"", method=STORED, attributes=FOLDER)),
        ),
        "20,000 entries": (
            "ZIP_CONTENT",
            pack(*(Item(name=b"%d.csv" % n, data=b"", method=STORED) for n in range(20_000))),
        ),
        "bomb by declaration": (
            "ZIP_TOO_LARGE",
            pack(Item(zip64=True, central={"extra": extra_field(1, _wide(1 << 62))})),
        ),
        "impossible ratio": ("ZIP_CORRUPT", pack(Item(central={"size": 1 << 22}))),
        "more bytes than declared": ("ZIP_CORRUPT", _resized(len(CSV) - 1)),
        "fewer bytes than declared": ("ZIP_CORRUPT", _resized(len(CSV) + 1)),
        "nothing declared, a stream behind it": ("ZIP_CORRUPT", _resized(0)),
        "wrong CRC": ("ZIP_CORRUPT", pack(Item(local={"crc": wrong}, central={"crc": wrong}))),
        "wrong CRC, stored": (
            "ZIP_CORRUPT",
            pack(Item(method=STORED, local={"crc": wrong}, central={"crc": wrong})),
        ),
        "stream cut short": ("ZIP_CORRUPT", pack(Item(stream=stream[:-1]))),
        "no stream": ("ZIP_CORRUPT", pack(Item(data=b"", stream=b""))),
        "byte behind the stream": ("ZIP_CORRUPT", pack(Item(stream=stream + b"\0"))),
        "second stream behind the stream": ("ZIP_CORRUPT", pack(Item(stream=stream * 2))),
        "100 KB behind the stream": ("ZIP_CORRUPT", pack(Item(stream=stream + bytes(100_000)))),
        "reserved block type": ("ZIP_CORRUPT", pack(Item(stream=b"\x07" + stream))),
        "reference before the start": ("ZIP_CORRUPT", pack(Item(stream=b"\x03\x02\x00"))),
        "zlib stream for raw deflate": ("ZIP_CORRUPT", pack(Item(stream=zlib.compress(CSV)))),
        "stored with two sizes": (
            "ZIP_CORRUPT",
            pack(Item(method=STORED, central={"size": len(CSV) - 1})),
        ),
        "bytes before": ("NOT_A_ZIP", pack(Item(before=stream))),
        "forgotten entry before": ("ZIP_CORRUPT", pack(Item(before=plain[:60]))),
        "entry behind other bytes": (
            "ZIP_CORRUPT",
            pack(Item(name=b"a/", data=b"", method=STORED, attributes=FOLDER), Item(before=b"?")),
        ),
        "bytes before the directory": ("ZIP_CORRUPT", pack(Item(), gap=b"?")),
        "forgotten entry before the directory": ("ZIP_CORRUPT", pack(Item(), gap=plain[:60])),
        "bytes after": ("ZIP_CORRUPT", pack(Item(), after=b"\0")),
        "HTML after": ("ZIP_CORRUPT", pack(Item(), after=b"<html>")),
        "comment shorter than said": ("ZIP_CORRUPT", pack(Item(), end={"comment": 1})),
        "directory of size 0": ("ZIP_CORRUPT", pack(Item(), end={"size": 0})),
        "no entries counted": (
            "ZIP_CORRUPT",
            pack(Item(), end={"here": 0, "entries": 0}),
        ),
        "nothing counted at all": (
            "ZIP_CORRUPT",
            pack(Item(), end={"here": 0, "entries": 0, "size": 0, "offset": 0}),
        ),
        "no entries, no directory, but bytes": ("ZIP_CORRUPT", _emptied()),
        "more entries than counted": (
            "ZIP_CORRUPT",
            pack(Item(), text, end={"here": 1, "entries": 1}),
        ),
        "fewer entries than counted": ("ZIP_CORRUPT", pack(Item(), end={"here": 2, "entries": 2})),
        "directory elsewhere": ("ZIP_CORRUPT", pack(Item(), end={"offset": 1})),
        "directory beyond the file": ("ZIP_CORRUPT", pack(Item(), end={"offset": 1 << 30})),
        "offset beyond the file": ("ZIP_CORRUPT", pack(Item(at=1 << 30))),
        "offset off by one": ("ZIP_CORRUPT", pack(Item(at=1))),
        "name longer than the directory": ("ZIP_CORRUPT", _patched(plain, b"PK\1\2", 28, 0xFFFF)),
        "name longer than the file": ("ZIP_CORRUPT", _patched(plain, b"PK\3\4", 26, 0xFFFF)),
        "extra field longer than its place": (
            "ZIP_CORRUPT",
            pack(Item(extra=struct.pack("<2H", 0x5455, 99))),
        ),
        **{
            f"local header disagrees: {what}": ("ZIP_CORRUPT", pack(Item(local={what: value})))
            for what, value in lies.items()
        },
        **{
            f"descriptor disagrees: {what}": (
                "ZIP_CORRUPT",
                pack(Item(descriptor=16, trailer={what: 7})),
            )
            for what in ("crc", "size", "compressed")
        },
        "descriptor missing": ("ZIP_CORRUPT", pack(Item(flags=8))),
        "descriptor not announced": (
            "ZIP_CORRUPT",
            pack(Item(descriptor=16, local={"flags": 0}, central={"flags": 0})),
        ),
        "descriptor's signature damaged": (
            "ZIP_CORRUPT",
            pack(Item(descriptor=16)).replace(b"PK\7\x08", b"PK\7\x09"),
        ),
        "ZIP64 end disagrees": ("ZIP_CORRUPT", pack(Item(), zip64=True, end={"offset": 1})),
        "ZIP64 end without its locator": (
            "ZIP_CORRUPT",
            pack(Item(), zip64=True).replace(b"PK\6\7", b"PK\6\x08"),
        ),
        "ZIP64 end damaged": (
            "ZIP_CORRUPT",
            pack(Item(), zip64=True).replace(b"PK\6\6", b"PK\6\5"),
        ),
        "ZIP64 locator to elsewhere": (
            "ZIP_CORRUPT",
            pack(Item(), zip64=True, locator={"offset": 0}),
        ),
        "ZIP64 end missing": ("ZIP_CORRUPT", pack(Item(), end={"entries": 0xFFFF, "here": 0xFFFF})),
        "ZIP64 sizes missing": ("ZIP_CORRUPT", pack(Item(zip64=True, central={"extra": b""}))),
        "ZIP64 sizes missing in the local header": (
            "ZIP_CORRUPT",
            pack(Item(zip64=True, local={"extra": b""})),
        ),
        "ZIP64 field cut short": (
            "ZIP_CORRUPT",
            pack(Item(zip64=True, central={"extra": extra_field(1, bytes(20))})),
        ),
        "ZIP64 field disagrees": (
            "ZIP_CORRUPT",
            pack(Item(central={"extra": extra_field(1, _wide(len(CSV) + 1))})),
        ),
        "ZIP64 field too long": (
            "ZIP_CORRUPT",
            pack(Item(central={"extra": extra_field(1, bytes(8))})),
        ),
        "magic damaged": ("ZIP_CORRUPT", b"PK\0\0" + plain[4:]),
        "only the magic": ("ZIP_CORRUPT", b"PK\3\4"),
        "nothing": ("NOT_A_ZIP", b""),
        "JSON": ("NOT_A_ZIP", b'{"code":"RESOURCE_NOT_FOUND","status":"error"}'),
        "HTML": ("NOT_A_ZIP", b"<!DOCTYPE html><title>Sign in</title>"),
        "gzip": ("NOT_A_ZIP", b"\x1f\x8b\x08\0" + plain),
        "self-extracting": ("NOT_A_ZIP", b"#!/bin/sh\nexit 1\n" + plain),
    }
    return {what: Hostile(archive, code) for what, (code, archive) in cases.items()}


def _wide(size: int) -> bytes:
    return struct.pack("<3Q", size, len(deflate(CSV)), 0)


def _resized(size: int) -> bytes:
    return pack(Item(local={"size": size}, central={"size": size}))


def _emptied() -> bytes:
    # A directory of no bytes where the end record stands: some readers call this an empty archive.
    span, _ = entry(Item(), 0)
    return span + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, len(span), 0)


def _quoted_overlap() -> bytes:
    # The first file's data are, as a stored deflate block, the second file's header and data.
    inner, _ = entry(Item(name=b"b.csv", data=b"x" * 1000), 0)
    quote = struct.pack("<BHH", 1, len(inner), len(inner) ^ 0xFFFF)
    head = 30 + len(b"a.csv")
    return pack(
        Item(name=b"a.csv", data=inner, stream=quote + inner),
        Item(name=b"b.csv", data=b"x" * 1000, at=head + len(quote)),
    )


def _patched(archive: bytes, magic: bytes, offset: int, value: int) -> bytes:
    at = archive.index(magic) + offset
    return archive[:at] + struct.pack("<H", value) + archive[at + 2 :]
