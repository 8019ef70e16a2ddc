"""The honest and the hostile set, with both engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.unpacking import unpack as unpack_file
from tests.support.zip_cases import honest, hostile
from tests.support.zlib_engine import ZLIB

from bulkfetch import errors
from bulkfetch.archive import ISAL, ExtractLimits, InflateEngine, inspect

HONEST, HOSTILE = honest(), hostile()
LIMITS = ExtractLimits(file_bytes=1 << 30, reserve_bytes=0)
ENGINES = [pytest.param(ISAL, id="isal"), pytest.param(ZLIB, id="zlib")]


def unpack(archive: bytes, folder: Path, engine: InflateEngine) -> tuple[str, bytes]:
    (folder / "in.zip").write_bytes(archive)
    member = inspect(folder / "in.zip", LIMITS)
    unpack_file(folder / "in.zip", member, folder / "out", LIMITS, engine=engine)
    return member.suffix, (folder / "out").read_bytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", HONEST)
def test_honest_archives_come_out_byte_for_byte(
    what: str, engine: InflateEngine, tmp_path: Path
) -> None:
    """Whatever honest packers vary, the file comes out as it went in."""
    case = HONEST[what]
    assert unpack(case.archive, tmp_path, engine) == (case.suffix, case.data)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_are_refused(what: str, engine: InflateEngine, tmp_path: Path) -> None:
    """Each is refused with its own code and a hint, and leaves no file behind."""
    case = HOSTILE[what]
    with pytest.raises((errors.ArchiveError, errors.NotAZip)) as refusal:
        unpack(case.archive, tmp_path, engine)
    assert refusal.value.code == case.code
    assert refusal.value.message
    assert refusal.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.zip"]


def test_what_is_said_of_a_hostile_archive_never_quotes_it(tmp_path: Path) -> None:
    """A refusal's text holds nothing that the archive chose: it may end on a terminal."""
    for case in HOSTILE.values():
        with pytest.raises(errors.JobError) as refusal:
            unpack(case.archive, tmp_path, ISAL)
        assert refusal.value.message.isascii()
        assert refusal.value.message.isprintable()
        assert "554" not in refusal.value.message
