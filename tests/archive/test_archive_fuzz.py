"""Damage: cut anywhere, flipped anywhere, made of anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.unpacking import unpack
from tests.support.zip_cases import honest, hostile
from tests.support.zips import CSV, STORED, Item, deflate, pack
from tests.support.zlib_engine import ZLIB

from bulkfetch.archive import ISAL, ExtractLimits, InflateEngine, inspect
from bulkfetch.errors import ArchiveError, NotAZip

pytestmark = pytest.mark.slow

LIMITS = ExtractLimits(file_bytes=1 << 20, reserve_bytes=0)
# Small, since each of its bits is tried.
SMALL = CSV[:24]
ITEM = Item(name=b"1.csv", data=SMALL)
SHAPES = {
    "deflated": pack(ITEM),
    "stored": pack(replace(ITEM, method=STORED, descriptor=16)),
    "ZIP64": pack(replace(ITEM, zip64=True, descriptor=24), zip64=True, comment=b"!"),
}
ALL = [case.archive for case in honest().values() if len(case.archive) < 2_000]
ALL += [case.archive for case in hostile().values() if len(case.archive) < 2_000]

quick = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def verdict(archive: bytes, folder: Path, engine: InflateEngine) -> bytes | None:
    """Give the bytes that came out, None when it was refused; nothing else may be raised."""
    source, target = folder / "in.zip", folder / "out"
    source.write_bytes(archive)
    target.unlink(missing_ok=True)
    try:
        unpack(source, inspect(source, LIMITS), target, LIMITS, engine=engine)
    except (ArchiveError, NotAZip):
        assert not target.exists()
        return None
    return target.read_bytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_truncation_is_refused(shape: str, tmp_path: Path) -> None:
    """A file cut at any offset is refused: there is no offset at which it looks whole."""
    archive = SHAPES[shape]
    taken = [n for n in range(len(archive)) if verdict(archive[:n], tmp_path, ISAL) is not None]
    assert taken == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_flipped_bit_is_seen_or_harmless(shape: str, tmp_path: Path) -> None:
    """Each single bit flipped: the same bytes come out, or none; and both engines say the same."""
    archive = SHAPES[shape]
    for position in range(len(archive) * 8):
        damaged = bytearray(archive)
        damaged[position // 8] ^= 1 << position % 8
        isal = verdict(bytes(damaged), tmp_path, ISAL)
        assert isal in (SMALL, None), position
        assert verdict(bytes(damaged), tmp_path, ZLIB) == isal, position


@quick
@given(data=st.data())
def test_damage_gives_right_bytes_or_a_refusal(data: st.DataObject, tmp_path: Path) -> None:
    """Several bytes changed, cut out or put in: what comes out is what went in, or nothing."""
    archive = bytearray(SHAPES[data.draw(st.sampled_from(sorted(SHAPES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(archive) - 1))
        stop = data.draw(st.integers(at, min(len(archive), at + 8)))
        archive[at:stop] = data.draw(st.binary(max_size=8))
    isal, zlib = (verdict(bytes(archive), tmp_path, engine) for engine in (ISAL, ZLIB))
    assert isal in (SMALL, None)
    assert zlib == isal


@quick
@given(data=st.data())
def test_any_mixture_of_archives_raises_nothing_foreign(
    data: st.DataObject, tmp_path: Path
) -> None:
    """Pieces of honest and hostile archives glued together raise only what is promised."""
    pieces = data.draw(st.lists(st.sampled_from(ALL), min_size=1, max_size=3))
    cuts = [data.draw(st.integers(0, len(piece))) for piece in pieces]
    verdict(b"".join(p[c:] for p, c in zip(pieces, cuts, strict=True)), tmp_path, ISAL)


@quick
@given(stream=st.binary(max_size=60), keep=st.integers(0, 60))
def test_both_engines_judge_a_stream_alike(stream: bytes, keep: int, tmp_path: Path) -> None:
    """Noise behind a good beginning of a deflate stream, under a true frame: same bytes or none."""
    noisy = deflate(SMALL)[:keep] + stream
    archive = pack(Item(data=SMALL, stream=noisy))
    isal, zlib = (verdict(archive, tmp_path, engine) for engine in (ISAL, ZLIB))
    assert isal in (SMALL, None)
    assert zlib == isal
