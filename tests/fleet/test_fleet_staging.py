"""Whether something fits into a worker's staging folder."""

from __future__ import annotations

from pathlib import Path

from bulkfetch.errors import DiskFull, NotWritable
from bulkfetch.fleet.staging import no_room


def test_a_folder_that_is_full_or_gone_has_no_room(tmp_path: Path) -> None:
    """It is told why, with what mends it; the folder that works has some."""
    assert no_room(tmp_path, 0) is None
    assert no_room(tmp_path, 0, 10**15) is not None
    full = no_room(tmp_path, 10**15)
    assert isinstance(full, DiskFull)
    assert full.message.startswith(f"too little fits into {tmp_path}: ")
    assert "free_bytes" in full.hint
    gone = no_room(tmp_path / "gone", 0)
    assert isinstance(gone, NotWritable)
    assert gone.message == f"{tmp_path}/gone cannot be written"
