"""What holds for drafts that are files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bulkfetch.archive import FileDraft
from bulkfetch.destination.folder import open_shared
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


def test_a_shared_folder_keeps_the_drafts_of_each_run_apart(tmp_path: Path) -> None:
    """Two runs write one place at a time; what a dead run has left is removed, and no other's."""
    one, two = (open_shared(tmp_path / "acme", f".bulkfetch-{name}", 0) for name in ("one", "two"))
    with one.group("acme.1", "1") as first, two.group("acme.1", "1") as second:
        for group, content in ((first, b"first"), (second, b"second")):
            draft = group.draft(".csv", lambda size: True)
            draft.begin(len(content))
            draft.write([content])
        open_shared(tmp_path / "acme", ".bulkfetch-one", 0)
        with pytest.raises(NotWritable):
            first.publish()
        second.publish()
    assert (tmp_path / "acme" / "1.csv").read_bytes() == b"second"
    assert two.reported("1.csv") == f"file://{tmp_path}/acme/1.csv"


def test_what_a_host_has_left_that_never_came_back_is_removed(tmp_path: Path) -> None:
    """After a day; a draft that somebody may still write is left alone."""
    open_shared(tmp_path / "acme", ".bulkfetch-gone", 0)
    old, new = (tmp_path / "acme" / ".bulkfetch-gone" / name for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    open_shared(tmp_path / "acme", ".bulkfetch-here", 0)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_shared_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    """Otherwise results would be where no other host finds them."""
    with pytest.raises(NotWritable, match="there is no folder"):
        open_shared(tmp_path / "exports" / "acme", ".bulkfetch-run", 0)
    assert not (tmp_path / "exports").exists()
