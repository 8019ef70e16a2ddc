"""Archives by a packer that is not ours: CPython's, in each of its manners."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from tests.support.unpacking import unpack
from tests.support.zips import CSV, CSV_NAME

from bulkfetch.archive import ExtractLimits, inspect

LIMITS = ExtractLimits(file_bytes=1 << 30, reserve_bytes=0)


class Pipe(io.BytesIO):
    """A sink that cannot go back, as a socket: the packer has to write data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError("a pipe cannot seek")

    def tell(self) -> int:
        raise OSError("a pipe has no position")


@pytest.mark.parametrize("sink", [io.BytesIO, Pipe])
@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_another_packer_come_out(
    sink: type[io.BytesIO], zip64: bool, method: int, tmp_path: Path
) -> None:
    """Seekable or streamed, with ZIP64 fields or without, stored or deflated."""
    body = sink()
    with zipfile.ZipFile(body, "w", method) as archive:
        archive.comment = b"made elsewhere"
        with archive.open(CSV_NAME.decode(), "w", force_zip64=zip64) as file:
            file.write(CSV)
    path, target = tmp_path / "in.zip", tmp_path / "out"
    path.write_bytes(body.getvalue())
    member = inspect(path, LIMITS)
    assert member.suffix == ".csv"
    assert unpack(path, member, target, LIMITS).bytes == len(CSV)
    assert target.read_bytes() == CSV
