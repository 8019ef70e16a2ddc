"""An archive's file as a gzip file: the same deflate stream in another wrapping [RFC 1952]."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import cast

from isal import isal_zlib

from bulkfetch.archive.draft import Draft, DraftWriter
from bulkfetch.archive.extract import ArchivedFile, Extracted
from bulkfetch.archive.inflate import Buffer
from bulkfetch.archive.records import RecordCounter
from bulkfetch.archive.structure import DEFLATED

# Deflated, no flags, no time, so that the same file always is the same bytes; made on any system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_TRAILER = struct.Struct("<2L")  # the CRC, and the size modulo 2³²
# For a file that the archive does not deflate. ISA-L's best, of 0 to 3: a fifth of zlib's time.
_LEVEL = 3


def gzip_size(file: ArchivedFile) -> int | None:
    """Return how large the gzip file will be, None if that shows only when it is made."""
    if file.member.method != DEFLATED:
        return None
    return len(_HEADER) + file.member.compressed_bytes + _TRAILER.size


def extract_gzip(
    file: ArchivedFile, draft: Draft, *, digest: bool = True, counter: RecordCounter | None = None
) -> Extracted:
    """Write a file to a draft as a gzip file; every byte is inflated and checked all the same.

    `bytes` and `sha256` are those of the gzip file. Raises as `extract`.
    """
    size = gzip_size(file)
    file.begin(draft, file.member.bytes if size is None else size)
    writer = DraftWriter(draft, digest=digest)
    if size is None:
        _deflate(file, writer, counter)
    else:
        writer.write([_HEADER])
        with closing(file.batches(counter, lambda piece: writer.write([piece]))) as batches:
            for _ in batches:
                pass
        writer.write([_TRAILER.pack(file.member.crc32, file.member.bytes % 2**32)])
    return Extracted(writer.bytes, writer.sha256, None if counter is None else counter.count())


def _deflate(file: ArchivedFile, writer: DraftWriter, counter: RecordCounter | None) -> None:
    # 16 + 15: with gzip's header and trailer, and a window of 32 KiB.
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 16 + 15)
    with closing(file.batches(counter)) as batches:
        for batch in batches:
            writer.write([cast(Buffer, stream.compress(piece)) for piece in batch])
    writer.write([cast(Buffer, stream.flush())])
