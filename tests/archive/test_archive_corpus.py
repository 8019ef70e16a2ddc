"""Other people's test archives, where a folder of them is at hand.

BULKFETCH_ZIP_CORPUS names a folder with an index.json: entries with `file`, `expected` (extract,
reject, either-but-safe), and `members` or `allowed` with the SHA-256 of what may come out.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.seen_forms import see_forms
from tests.support.unpacking import unpack
from tests.support.zlib_engine import ZLIB

from bulkfetch.archive import (
    ISAL,
    ArchivedFile,
    ExtractLimits,
    InflateEngine,
    Member,
    inspect,
    structure,
)
from bulkfetch.archive.validate import select_member
from bulkfetch.errors import ArchiveError, NotAZip, ZipContent

FOLDER = os.environ.get("BULKFETCH_ZIP_CORPUS")
LIMITS = ExtractLimits(file_bytes=64 << 20, reserve_bytes=0)
# Far above what is needed, far below what an unbounded reader would take.
MOST_CPU_S, MOST_GROWTH_MIB = 60, 64

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="BULKFETCH_ZIP_CORPUS names no folder of archives"
)


@dataclass(frozen=True)
class Sample:
    path: Path
    expected: str
    digests: frozenset[str] | None
    files: tuple[str, ...]


def samples() -> list[Sample]:
    root = Path(FOLDER or "")
    index: dict[str, Any] = json.loads((root / "index.json").read_text("utf-8"))
    found = []
    for entry in index["entries"]:
        members = entry.get("members", [])
        allowed = entry.get("allowed") or [member["sha256"] for member in members]
        found.append(
            Sample(
                path=root / entry["file"],
                expected=entry["expected"],
                digests=frozenset(allowed) if allowed else None,
                files=tuple(sorted(m["sha256"] for m in members if not m["name"].endswith("/"))),
            )
        )
    return found


def unpack_each(path: Path, folder: Path, engine: InflateEngine, tables: Counter[str]) -> list[str]:
    """Read every file of an archive with the product's own reader, whatever its ending.

    Each of its forms is looked at, and whether it is a table counted.

    None of these archives is an export, so the product refuses all of them in the end; here the
    rule of the one CSV is left out, for the reader behind it to be seen at work.
    """
    data = path.read_bytes()
    if not data.startswith(b"PK"):
        raise NotAZip
    end = structure.read_end(data[-structure.TAIL_BYTES :], len(data))
    entries = structure.read_directory(data[end.offset : end.offset + end.size], end)
    digests: list[str] = []
    for entry, until in structure.spans(entries, end):
        with suppress(ZipContent):
            select_member((entry,), LIMITS)
        fixed = data[entry.offset : entry.offset + structure.LOCAL_BYTES]
        header = data[entry.offset : entry.offset + structure.local_header_bytes(fixed)]
        start, stop = structure.read_local(header, entry, until)
        if stop < until:
            structure.check_descriptor(data[stop:until], entry)
        if entry.name.endswith(b"/"):
            continue
        member = Member(
            ".csv", entry.method, start, entry.compressed_bytes, entry.bytes, entry.crc32
        )
        target = folder / f"{engine is ISAL}-{len(digests)}"
        target.unlink(missing_ok=True)
        unpack(path, member, target, LIMITS, engine=engine)
        content = target.read_bytes()
        digests.append(hashlib.sha256(content).hexdigest())
        if engine is ISAL:
            is_table = see_forms(ArchivedFile(path, member, LIMITS), content, folder)
            tables["a table" if is_table else "no table"] += 1
    return sorted(digests)


def test_no_archive_of_the_corpus_is_taken_for_what_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Extracted with the bytes due or refused with a cause; nothing else on disk; bounded cost."""
    counts, codes = Counter[str](), Counter[str]()
    cpu_s, peak = time.process_time(), _peak_mib()
    for sample in samples():
        target = tmp_path / "out"
        try:
            unpack(sample.path, inspect(sample.path, LIMITS), target, LIMITS)
        except (ArchiveError, NotAZip) as refusal:
            codes[refusal.code] += 1
            counts["refused"] += 1
        else:
            digest = hashlib.sha256(target.read_bytes()).hexdigest()
            safe = sample.digests is not None and digest in sample.digests
            counts["extracted" if safe and sample.expected != "reject" else "unsafe"] += 1
            target.unlink()
        counts["unsafe"] += len(list(tmp_path.iterdir()))
    cpu_s, grown = time.process_time() - cpu_s, _peak_mib() - peak
    with capsys.disabled():
        print(
            f"\ncorpus: {counts['extracted']} extracted, {counts['refused']} refused, "
            f"{counts['unsafe']} unsafe; {cpu_s:.2f} s of CPU, RSS grew {grown:.1f} MiB; "
            + ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
        )
    assert counts["unsafe"] == 0
    assert cpu_s < MOST_CPU_S
    assert grown < MOST_GROWTH_MIB


@pytest.mark.slow
def test_the_reader_behind_the_rule_of_one_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file of every archive, with both engines: right bytes or a refusal, the same from both.

    A file's csv.gz unpacks to it, and its Parquet has its cells, or there is none. Most archives
    made by common packers are read whole, so the reader is strict, not blind.
    """
    counts, tables = Counter[str](), Counter[str]()
    for sample in samples():
        seen: list[list[str] | str] = []
        for engine in (ISAL, ZLIB):
            try:
                seen.append(unpack_each(sample.path, tmp_path, engine, tables))
            except (ArchiveError, NotAZip) as refusal:
                seen.append(refusal.code)
        assert seen[0] == seen[1], sample.path
        whole = isinstance(seen[0], list)
        counts[f"{sample.expected}: {'read' if whole else 'refused'}"] += 1
        assert not (whole and sample.expected == "reject"), sample.path
        if whole and sample.expected == "extract":
            assert tuple(seen[0]) == sample.files, sample.path
        elif whole and sample.digests is not None:
            assert set(seen[0]) <= sample.digests, sample.path
    with capsys.disabled():
        every = sorted(counts.items()) + sorted(tables.items())
        print("\ncorpus, all files: " + ", ".join(f"{k} {n}" for k, n in every))
    assert counts["extract: read"] >= 0.8 * (counts["extract: read"] + counts["extract: refused"])


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
