"""Verify an archive and read its one file. Blocking: to be called in a worker thread.

`inspect` reads a few hundred bytes of a complete archive and raises unless it contains exactly one
CSV or ICS; `ArchivedFile` inflates that file and trusts only the CRC of every byte, the declared
size, and the exact end of the compressed data; `extract` writes it as it is. The archive's names
are never used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from bulkfetch.archive import structure
from bulkfetch.archive.draft import Draft, DraftWriter
from bulkfetch.archive.inflate import ISAL, Buffer, InflateEngine
from bulkfetch.archive.records import RecordCounter
from bulkfetch.archive.validate import ExtractLimits, Suffix, select_member
from bulkfetch.disk import disk_errors
from bulkfetch.errors import DiskFull, NotAZip, ZipCorrupt, ZipTooLarge

# One read of compressed bytes.
INPUT_BYTES = 256 << 10
# One write, and the most that is inflated at once. Writes begin at multiples of it: the page cache
# then uses few large folios, a third cheaper than many small ones. Half of it costs 5 % more, since
# each call releases and retakes the interpreter's lock; twice as much does not stay in a core's
# second-level cache until it is summed up and copied.
WRITE_BYTES = 512 << 10
# Sparse CRM tables really compress 100:1. Beyond twice that, a file that does not fit on the disk
# counts as a bomb, not as a full disk.
HONEST_RATIO = 200


class ExtractionCancelled(Exception):
    """The caller cancelled the extraction; nothing was written after that."""


class Member(NamedTuple):
    """The one file of an inspected archive; its data lie at [`start`, `start + compressed_bytes`).

    `bytes` and `crc32` are those of the extracted file.
    """

    suffix: Suffix
    method: int
    start: int
    compressed_bytes: int
    bytes: int
    crc32: int


class Extracted(NamedTuple):
    """A file that was extracted completely and matches its archive.

    `sha256` is in hex, None if it was not requested; `records` is None if they were not counted, or
    cannot be. `kept_text` names the columns that stayed text since a value is not of their type.
    """

    bytes: int
    sha256: str | None
    records: int | None = None
    kept_text: tuple[str, ...] = ()


def inspect(archive: str | os.PathLike[str], limits: ExtractLimits) -> Member:
    """Return the one CSV or ICS of a complete ZIP file, found by its structure alone.

    Cheap for any size: reads the tail (65 KB), the directory (at most 1 MiB) and the headers of
    each entry, but no data.

    Raises NotAZip, ArchiveError of any class, NotWritable if the file cannot be read.
    """
    with open_archive(archive) as source:
        _refuse_foreign(source.read(0, min(source.size, 4)))
        tail_bytes = min(source.size, structure.TAIL_BYTES)
        tail = source.read(source.size - tail_bytes, tail_bytes)
        end = structure.read_end(tail, source.size)
        entries = structure.read_directory(source.read(end.offset, end.size), end)
        # Overlaps first: the content of an archive with shared bytes does not matter.
        spans = structure.spans(entries, end)
        export, suffix = select_member(entries, limits)
        export_start = 0
        for entry, until in spans:
            fixed = source.read(entry.offset, structure.LOCAL_BYTES)
            header = source.read(entry.offset, structure.local_header_bytes(fixed))
            start, stop = structure.read_local(header, entry, until)
            if stop < until:
                structure.check_descriptor(source.read(stop, until - stop), entry)
            if entry is export:
                export_start = start
    return Member(
        suffix=suffix,
        method=export.method,
        start=export_start,
        compressed_bytes=export.compressed_bytes,
        bytes=export.bytes,
        crc32=export.crc32,
    )


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """The one file of an inspected archive, to be read as often as wanted.

    `cancelled` is called before each batch is given out, in the reading thread.
    """

    archive: str | os.PathLike[str]
    member: Member
    limits: ExtractLimits
    cancelled: Callable[[], bool] = lambda: False
    engine: InflateEngine = ISAL

    def begin(self, draft: Draft, size: int) -> None:
        """Begin a draft that will have some `size` bytes of this file.

        Raises ZipTooLarge for a file beyond the limits, and for a bomb that does not fit on the
        disk, which fails only its job; DiskFull, NotWritable; ExtractionCancelled.
        """
        if self.member.bytes > self.limits.file_bytes:
            raise ZipTooLarge(
                f"it unpacks to {self.member.bytes} bytes, the limit is {self.limits.file_bytes}"
            )
        try:
            draft.require_room(size)
        except DiskFull as error:
            if size > self.member.compressed_bytes * HONEST_RATIO:
                raise ZipTooLarge(error.message) from None
            raise
        if self.cancelled():
            raise ExtractionCancelled
        draft.begin(size)

    def batches(
        self,
        counter: RecordCounter | None = None,
        compressed: Callable[[Buffer], None] | None = None,
    ) -> Generator[list[Buffer], None, None]:
        """Yield the file's bytes, which are to be trusted only once this has ended by itself.

        Each batch is valid until the next one. `counter` is fed with all of them, `compressed`
        called with all of the archive's bytes that they are inflated from.
        Raises ArchiveError (ZipCorrupt), NotWritable if the archive cannot be read;
        ExtractionCancelled.
        """
        member, engine = self.member, self.engine
        data = (member.start, member.compressed_bytes)
        with open_archive(self.archive) as source:
            batches: Iterator[list[Buffer]]
            if member.method == structure.DEFLATED:
                pieces = source.pieces(*data, INPUT_BYTES)
                if compressed is not None:
                    pieces = _shown(pieces, compressed)
                batches = _inflated(pieces, member, engine)
            else:
                batches = ([piece] for piece in source.pieces(*data, WRITE_BYTES))
            read, crc32 = 0, 0
            for batch in batches:
                read += sum(map(len, batch))
                # Before it is given out: a byte too many is never on the disk.
                if read > member.bytes:
                    raise ZipCorrupt("it unpacks to more bytes than declared")
                if self.cancelled():
                    raise ExtractionCancelled
                yield batch
                # While the pieces are in the processor's cache; it releases the interpreter's lock.
                for piece in batch:
                    crc32 = engine.crc32(piece, crc32)
                    if counter is not None:
                        counter.feed(piece)
            if read != member.bytes:
                raise ZipCorrupt("it unpacks to fewer bytes than declared")
            if crc32 != member.crc32:
                raise ZipCorrupt("the CRC is wrong")


def extract(
    file: ArchivedFile, draft: Draft, *, digest: bool = True, counter: RecordCounter | None = None
) -> Extracted:
    """Write a file as it is to a draft, which the caller drops if this raises.

    `digest` requests the SHA-256: even in hardware it costs two thirds of everything else, while
    the CRC, which decides, is nearly free. `counter` counts the records, which costs as much again.

    Raises ArchiveError (ZipCorrupt, ZipTooLarge), DiskFull, NotWritable; ExtractionCancelled:
    nothing is written after that.
    """
    file.begin(draft, file.member.bytes)
    writer = DraftWriter(draft, digest=digest)
    with closing(file.batches(counter)) as batches:
        for batch in batches:
            writer.write(batch)
    return Extracted(writer.bytes, writer.sha256, None if counter is None else counter.count())


def _shown(pieces: Iterator[memoryview], show: Callable[[Buffer], None]) -> Iterator[memoryview]:
    for piece in pieces:
        show(piece)
        yield piece


def _inflated(
    compressed: Iterator[memoryview], member: Member, engine: InflateEngine
) -> Iterator[list[Buffer]]:
    """Yield a deflated member, WRITE_BYTES at a time, at most one byte more than it declares."""
    stream = engine.inflater()
    batch: list[Buffer] = []
    made = 0
    while not stream.eof:
        data: Buffer = b""
        if stream.needs_input and not (data := next(compressed, b"")):
            raise ZipCorrupt("the compressed data end early")
        room = WRITE_BYTES - made % WRITE_BYTES
        try:
            # One byte more than declared shows an excess without ever storing it.
            piece = stream.decompress(data, min(room, member.bytes - made + 1))
        except (engine.error, EOFError, ValueError) as foreign:
            raise ZipCorrupt("the compressed data are damaged") from foreign
        made += len(piece)
        batch.append(piece)
        # Also without a piece: a stream of only empty blocks must still be cancellable.
        if not piece or made % WRITE_BYTES == 0 or made > member.bytes:
            yield batch
            batch = []
        if not (piece or data or stream.needs_input or stream.eof):
            raise ZipCorrupt("the compressed data make no progress")
    if batch:
        yield batch
    if stream.unused_data or next(compressed, b""):
        raise ZipCorrupt("unexpected bytes follow the compressed data")


def _refuse_foreign(magic: bytes) -> None:
    if not magic.startswith(b"PK"):
        raise NotAZip(
            "the body is empty" if not magic else "the response does not begin like a ZIP"
        )
    if magic not in (structure.LOCAL_SIGNATURE, structure.END_SIGNATURE):
        raise ZipCorrupt("the first entry's header is damaged")


class ArchiveFile:
    """A complete archive, `size` bytes long, open as `fd`. For one reader at a time."""

    def __init__(self, fd: int) -> None:
        self.size = os.fstat(fd).st_size
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly these bytes. Raises ZipCorrupt if the file is shorter."""
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise ZipCorrupt("the file ends early")
        return data

    def pieces(self, start: int, size: int, piece_bytes: int) -> Iterator[memoryview]:
        """Yield `size` bytes from `start` on; each piece is valid until the next one.

        Raises ZipCorrupt if the file is shorter.
        """
        os.lseek(self._fd, start, os.SEEK_SET)
        buffer = memoryview(bytearray(min(piece_bytes, size)))
        while size:
            # readv into one buffer: no allocation, no copy.
            got = os.readv(self._fd, [buffer[:size]])
            if not got:
                raise ZipCorrupt("the file ends early")
            size -= got
            yield buffer[:got]


@contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[ArchiveFile]:
    """Open an archive for reading.

    Raises NotWritable, with the file's name, for any error of reading inside the block.
    """
    with disk_errors(path):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield ArchiveFile(fd)
        finally:
            os.close(fd)
