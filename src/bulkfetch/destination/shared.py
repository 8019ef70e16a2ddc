"""A folder in which several hosts publish, each with drafts of its own in it.

It may be on another file system than the output folder: the folder of an export is copied into a
draft there, and renamed as one.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bulkfetch.archive import FileDraft
from bulkfetch.destination.copying import pieces_of, size_of
from bulkfetch.destination.folder import FolderDestination
from bulkfetch.disk import disk_errors, fsync_dir, fsync_file, make_folders
from bulkfetch.errors import NotWritable

# How the folders begin that hold drafts in a shared folder, and when nobody works on one any more.
DRAFTS = ".bulkfetch-"
_ABANDONED_S = 86_400.0
_URL = "file://"


def shared_path(url: str) -> str | None:
    """Return the path of a file in a shared folder, None for a URL of another place."""
    return url.removeprefix(_URL) if url.startswith(_URL) else None


def open_shared(out: Path, drafts: str, reserve_bytes: int) -> SharedFolder:
    """Return a folder in which other hosts publish too, for one run; reported as file:// URLs.

    It is made in the folder that it is in, which must be there: it may be one that is mounted.
    Drafts are in it, in the hidden folder `drafts`, whose name begins with `DRAFTS` and is this
    run's own. What a dead run has left there is removed, of others after a day. Raises NotWritable,
    DiskFull.
    """
    if not out.parent.is_dir():
        raise NotWritable(
            f"there is no folder {out.parent}",
            hint="Make it, or mount it: all hosts must share it.",
        )
    staging = out / drafts
    make_folders(staging, out.parent)
    with disk_errors(staging):
        _remove_abandoned(out, staging)
        for left in staging.iterdir():
            _remove_draft(left)
    return SharedFolder(out, staging, f"{_URL}{out}/", reserve_bytes)


class SharedFolder(FolderDestination):
    """See `open_shared`."""

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        """Copy a folder, which stays, and give the copy its place by a rename."""
        draft = Path(self.draft_path(place))
        with disk_errors(draft):
            draft.parent.mkdir(exist_ok=True)
        try:
            if not self._is_published(folder, place, last):
                self._copy(folder, draft, check)
            # Where there is no draft, all is published, and what may have been cut off is a sync.
            super().publish_folder(draft, place, last, check)
        finally:
            with disk_errors(draft):
                _remove_draft(draft)

    def _is_published(self, folder: Path, place: str, last: str) -> bool:
        """Return whether a call before this one has come as far as the rename.

        The file `last` describes all others, and has come with them.
        """
        final = os.path.join(self.path(place), last)
        with disk_errors(final):
            if not folder.exists():
                return True
            return os.path.isfile(final) and filecmp.cmp(folder / last, final, shallow=False)

    def _copy(self, folder: Path, draft: Path, check: Callable[[], object]) -> None:
        """Copy the files of a folder into a draft of it, on the device on return."""
        with disk_errors(draft):
            draft.mkdir()
            names = os.listdir(folder)
        for name in names:
            source = folder / name
            file = FileDraft(draft / name, self._reserve_bytes)
            file.require_room(size_of(source))
            file.begin(size_of(source))
            try:
                for piece in pieces_of(source, check):
                    file.write([piece])
            finally:
                file.close()
            fsync_file(file.path)
        fsync_dir(draft)


def _remove_abandoned(out: Path, own: Path) -> None:
    """Remove what hosts that never came back have left of their drafts.

    Each gets another name first, in the folder `own`: a host that comes back after all cannot
    publish half of it.
    """
    before = time.time() - _ABANDONED_S
    for folder in out.glob(f"{DRAFTS}*"):
        if folder == own:
            continue
        for draft in folder.iterdir():
            with suppress(FileNotFoundError):  # its owner is at work, or somebody else cleans
                if all(each.lstat().st_mtime < before for each in (draft, *draft.rglob("*"))):
                    draft.rename(own / f"{folder.name}.{draft.name}")


def _remove_draft(draft: Path) -> None:
    """Remove a draft, if it is there. Raises OSError."""
    with suppress(FileNotFoundError):
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft)
        else:
            draft.unlink()
