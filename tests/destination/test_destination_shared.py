"""What holds for a folder in which several hosts publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bulkfetch.destination.shared import SharedFolder, open_shared
from bulkfetch.errors import NotWritable, PublishConflict

TARGET = "Leads/20260930T020001Z-full"


def hosts(root: Path) -> tuple[SharedFolder, SharedFolder]:
    """Open the folder of an account as two hosts do."""
    one, two = (open_shared(root / "acme", f".bulkfetch-{name}", 0) for name in ("one", "two"))
    return one, two


def parts(root: Path, content: str) -> Path:
    """Make the folder of a complete export on a host."""
    folder = root / content
    folder.mkdir()
    for name in ("part-00001.csv", "manifest.json"):
        (folder / name).write_text(content)
    return folder


def published(root: Path) -> dict[str, str]:
    """Read the files of the published export."""
    return {path.name: path.read_text() for path in (root / "acme" / TARGET).iterdir()}


def test_a_shared_folder_keeps_the_drafts_of_each_run_apart(tmp_path: Path) -> None:
    """Two runs write one place at a time; what a dead run has left is removed, and no other's."""
    one, two = hosts(tmp_path)
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


def test_an_export_comes_from_another_file_system(tmp_path: Path) -> None:
    """It is copied, and its folder stays until the journal knows that it is published."""
    with TemporaryDirectory(dir="/dev/shm") as ram:
        folder = parts(Path(ram), "mine")
        if folder.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is one file system only")
        one, _ = hosts(tmp_path)
        for _ in range(2):
            one.publish_folder(folder, TARGET, "manifest.json", lambda: None)
        assert sorted(os.listdir(folder)) == ["manifest.json", "part-00001.csv"]
    assert published(tmp_path) == {"manifest.json": "mine", "part-00001.csv": "mine"}


def test_of_two_hosts_that_publish_one_folder_one_does(tmp_path: Path) -> None:
    """While one copies, another publishes there: the first is told, and nothing is mixed."""
    one, two = hosts(tmp_path)
    first, second = parts(tmp_path, "first"), parts(tmp_path, "second")
    looks: list[None] = []

    def check() -> None:
        looks.append(None)
        if len(looks) == 2:
            two.publish_folder(second, TARGET, "manifest.json", lambda: None)

    with pytest.raises(PublishConflict, match="appeared while"):
        one.publish_folder(first, TARGET, "manifest.json", check)
    assert published(tmp_path) == {"manifest.json": "second", "part-00001.csv": "second"}
    assert not [path for path in (tmp_path / "acme").glob(".bulkfetch-*/**/*") if path.is_file()]


def stop_at(number: int) -> Callable[[], None]:
    """Return what lets so many looks pass, and then raises."""
    left = [number]

    def check() -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1

    return check


@pytest.mark.parametrize("number", [0, 1])
def test_a_copy_that_is_cut_off_leaves_nothing(tmp_path: Path, number: int) -> None:
    """Neither under the export's name nor among the drafts, whose room may be what is lacking."""
    one, _ = hosts(tmp_path)
    folder = parts(tmp_path, "mine")
    with pytest.raises(KeyboardInterrupt):
        one.publish_folder(folder, TARGET, "manifest.json", stop_at(number))
    assert not [path for path in (tmp_path / "acme").rglob("*") if path.is_file()]
    one.publish_folder(folder, TARGET, "manifest.json", lambda: None)
    assert published(tmp_path) == {"manifest.json": "mine", "part-00001.csv": "mine"}


def test_drafts_of_exports_that_nobody_works_on_are_removed(tmp_path: Path) -> None:
    """A dead run's own at once, of another host after a day without a write in them."""
    for name in ("here", "old", "busy"):
        open_shared(tmp_path / "acme", f".bulkfetch-{name}", 0)
        draft = tmp_path / "acme" / f".bulkfetch-{name}" / "Leads" / "20260930T020001Z-full.out"
        draft.mkdir(parents=True)
        (draft / "part-00001.csv").write_text("half")
        for path in (draft.parent, draft, *(draft.iterdir() if name == "old" else ())):
            os.utime(path, (0, 0))
    open_shared(tmp_path / "acme", ".bulkfetch-here", 0)
    left = [path for path in (tmp_path / "acme").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path / "acme").parts[0] for path in left] == [".bulkfetch-busy"]
