"""Which ZIP belongs to which job: assembled from cached pieces, byte for byte the same every time.

A file is a head of its own (header line and one record that names the job) followed by shared
blocks of records in an order that depends on the job. So files differ, and a mix-up of two jobs is
seen, yet the second job of a shape costs nothing.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import TypeVar, TypeVarTuple, Unpack

from bulkfetch.sandbox import records
from bulkfetch.sandbox.archives import Piece, deflated_zip, stored_zip
from bulkfetch.sandbox.bodies import Body, FileBody, Segments
from bulkfetch.sandbox.jobs import SandboxJob
from bulkfetch.sandbox.options import JobSpec, SandboxOptions
from bulkfetch.sandbox.org.pages import PageFiles

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ROWS_PER_BLOCK = 10_000
_FORMAT = 1  # of what lies in cache_dir; raise it when records or pieces change
_PAYLOAD_BLOCK_BYTES = 1 << 20
_INLINE_RECORDS = 2_000  # fewer are made in the event loop: quicker than a thread's round trip
_ICS_MAX = 20_000  # Zoho's own bound


async def off_loop(heavy: bool, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Return what a call returns, made in a thread where it is `heavy`.

    If cancelled: what a thread has begun is finished and thrown away.
    """
    return await asyncio.to_thread(call, *args) if heavy else call(*args)


class Library:
    """The results of one sandbox."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._pieces: dict[tuple[str, int, int, int], Piece] = {}
        self._pages = PageFiles(options.csv_zone)
        self._making = asyncio.Lock()

    async def zip_of(self, job: SandboxJob) -> Body:
        """Return a job's ZIP.

        If cancelled: what a worker thread has begun to make is finished and thrown away.
        """
        if job.spec.made and self.count_of(job) > _INLINE_RECORDS:
            async with self._making:
                return await off_loop(True, self.zip_made, job)
        return self.zip_made(job)

    def zip_made(self, job: SandboxJob) -> Body:
        """Return a job's ZIP; blocks for a second or two when its shape is new."""
        if job.found is not None and job.spec.made:
            return self._pages.make(job.id, job.found, job.plan.rows_off)
        return self.make(job.id, job.spec)

    def count_of(self, job: SandboxJob) -> int:
        """Return how many records a job has found."""
        return self.records_of(job.spec) if job.found is None else job.found.found.count

    def make(self, job_id: str, spec: JobSpec) -> Body:
        """Return the ZIP of a job that was not created."""
        if spec.content is not None:
            return Segments([spec.content])
        if spec.path is not None:
            return FileBody(spec.path)
        name = spec.member if spec.member is not None else f"{job_id}.{spec.kind}"
        if spec.payload_bytes is not None:
            return _payload_zip(name, spec.payload_bytes, spec.payload_method, self._options.seed)
        return deflated_zip(name, self._content(job_id, spec))

    def records_of(self, spec: JobSpec) -> int:
        """Return how many records the job's file holds."""
        if spec.kind == "ics":
            return min(
                self._options.ics_records if spec.records is None else spec.records, _ICS_MAX
            )
        return self._options.records if spec.records is None else spec.records

    def _content(self, job_id: str, spec: JobSpec) -> list[Piece]:
        count = self.records_of(spec)
        columns = self._options.columns if spec.columns is None else spec.columns
        if spec.kind == "ics":
            head = records.ics_head() + (records.ics_first_event(job_id) if count else b"")
            tail, columns = [Piece.of(records.ics_tail())], 0
        else:
            head = records.csv_header(columns)
            head += records.csv_first_row(job_id, columns) if count else b""
            tail = []
        whole, rest = divmod(max(0, count - 1), ROWS_PER_BLOCK)
        blocks = [self._piece(spec.kind, columns, n, ROWS_PER_BLOCK) for n in range(whole)]
        Random(f"{self._options.seed}/{job_id}").shuffle(blocks)
        last = [self._piece(spec.kind, columns, whole, rest)] if rest else []
        return [Piece.of(head), *blocks, *last, *tail]

    def _piece(self, kind: str, columns: int, block: int, count: int) -> Piece:
        key = (kind, columns, block, count)
        piece = self._pieces.get(key)
        if piece is None:
            piece = self._pieces[key] = self._load(key) or self._keep(key, self._generate(*key))
        return piece

    def _generate(self, kind: str, columns: int, block: int, count: int) -> Piece:
        seed, first = self._options.seed, block * ROWS_PER_BLOCK
        if kind == "ics":
            return Piece.of(records.ics_events(seed, block, first, count))
        return Piece.of(records.csv_rows(seed, block, first, count, columns))

    def _path(self, key: tuple[str, int, int, int]) -> Path | None:
        if self._options.cache_dir is None or key[3] < ROWS_PER_BLOCK:
            return None
        return self._options.cache_dir / (
            "-".join(map(str, (*key, self._options.seed, f"v{_FORMAT}"))) + ".piece"
        )

    def _load(self, key: tuple[str, int, int, int]) -> Piece | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            return None
        size, crc = struct.unpack_from("<QI", found)
        return Piece(size, crc, found[12:])

    def _keep(self, key: tuple[str, int, int, int], piece: Piece) -> Piece:
        path = self._path(key)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            draft.write_bytes(struct.pack("<QI", piece.size, piece.crc) + piece.deflated)
            draft.replace(path)
        return piece


def _payload_zip(name: str, size: int, method: str, seed: int) -> Segments:
    block, piece = _payload_block(seed)
    if method == "stored":
        full, rest = divmod(size, len(block))
        return stored_zip(name, [block] * full + ([block[:rest]] if rest else []))
    return deflated_zip(name, [piece] * max(1, size // len(piece.deflated)))


@lru_cache(maxsize=2)
def _payload_block(seed: int) -> tuple[bytes, Piece]:
    """Return a mebibyte of two-column CSV that deflate can only halve, and its deflated form."""
    rng = Random(f"{seed}/payload")
    line = 64
    rows = [f"{n:018d},{rng.randbytes(22).hex()}\n" for n in range(_PAYLOAD_BLOCK_BYTES // line)]
    block = "".join(rows).encode()
    return block, Piece.of(block)
