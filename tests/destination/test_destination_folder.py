"""What holds for drafts that are files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkfetch.archive import FileDraft
from bulkfetch.destination import FolderDestination
from bulkfetch.errors import NotWritable


def test_a_draft_removes_only_what_it_made(tmp_path: Path) -> None:
    """One that found its path taken leaves what is there alone when it is dropped."""
    (tmp_path / "draft").write_bytes(b"precious")
    draft = FileDraft(tmp_path / "draft")
    with pytest.raises(NotWritable):
        draft.begin(1)
    draft.drop()
    assert (tmp_path / "draft").read_bytes() == b"precious"


def test_a_published_draft_is_not_dropped(tmp_path: Path) -> None:
    """What has its path by then is another file."""
    draft = FileDraft(tmp_path / "draft")
    draft.begin(0)
    draft.close()
    (tmp_path / "draft").rename(tmp_path / "final")
    draft.published()
    (tmp_path / "draft").write_bytes(b"another's")
    draft.drop()
    assert (tmp_path / "draft").read_bytes() == b"another's"


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """What was copied before the error goes with the group: the disk may be what is full."""
    destination = FolderDestination(tmp_path, tmp_path, "", 0)
    with pytest.raises(NotWritable), destination.group("key", "Leads") as group:
        group.copy("/proc/self/mem", "Leads.zip", lambda size: False)  # can be opened, not read
    assert list(tmp_path.iterdir()) == []
