"""A folder as a destination: drafts are files in staging, and publishing is a rename."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from bulkfetch.archive import FileDraft
from bulkfetch.destination.interfaces import ExportDestination, MayReplace, PublishGroup
from bulkfetch.disk import (
    disk_errors,
    fsync_dir,
    fsync_file,
    make_folders,
    mode_of,
    remove,
    rename_into_place,
    require_free,
    write_file,
)
from bulkfetch.errors import PublishConflict
from bulkfetch.filenames import same_file

# What a rename tells of a folder under the new name that has something in it.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST})


class FolderDestination(ExportDestination):
    """The folder `out`, with drafts in `staging` on the same file system.

    `above` is what reports write before a place in it; `reserve_bytes` of the disk stay free.
    """

    def __init__(self, out: Path, staging: Path, above: str, reserve_bytes: int) -> None:
        self._out = out
        self._staging = os.fspath(staging)
        self._above = above
        self._reserve_bytes = reserve_bytes
        self._making_folders = threading.Lock()
        self._folders = {os.fspath(out)}  # those that are on the device

    def reported(self, place: str) -> str:
        return self._above + place

    def is_free(self, place: str) -> bool:
        return not os.path.lexists(self.path(place))

    def stands(self, reported: str) -> bool:
        return os.path.lexists(self.path(reported.removeprefix(self._above)))

    def holds(self, place: str) -> bool:
        with disk_errors(self.path(place)):
            return mode_of(self.path(place)) is not None

    def content(self, place: str) -> bytes | None:
        path = self.path(place)
        with disk_errors(path):
            mode = mode_of(path)
            if mode is None or not stat.S_ISREG(mode):
                return None if mode is None else b""
            return Path(path).read_bytes()

    def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
        """Replace a file by a rename, right after a look.

        No file system does both in one step: of two hosts that replace a file of a shared folder
        within the same moment, both may be told that they did.
        """
        draft, final = Path(self.draft_path(place)), self.path(place)
        self.make_folder(os.path.dirname(final))
        with disk_errors(draft):
            draft.parent.mkdir(parents=True, exist_ok=True)
        write_file(draft, content)
        if self.content(place) != expected:
            with disk_errors(draft):
                remove(draft)
            return False
        rename_into_place(draft, final, replace=True)
        fsync_dir(os.path.dirname(final))
        return True

    def require_folder(self, place: str) -> None:
        parent, name = os.path.split(self.path(place))
        with disk_errors(parent):
            others = os.listdir(parent) if os.path.isdir(parent) else []
            found = mode_of(self.path(place))
        for other in others:
            if other != name and same_file(other) == same_file(name):
                shown = self.reported(place)[: -len(name)] + other
                what = f"is the same as {name} on some systems"
                raise PublishConflict.of_export(shown, what)
        if found is not None and not stat.S_ISDIR(found):
            what = "is a link" if stat.S_ISLNK(found) else "is not a folder"
            raise PublishConflict.of_export(self.reported(place), what)

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        """Give a folder its place by a rename."""
        final = self.path(place)
        self.make_folder(os.path.dirname(final))
        with disk_errors(final):
            if mode_of(os.fspath(folder)) is not None:
                if mode_of(final) is not None:
                    raise self.taken(place)
                try:
                    os.rename(folder, final)
                except OSError as error:
                    if error.errno in _TAKEN:
                        raise self.taken(place) from error
                    raise
        # A cut may have come between a step and its sync, so that each is synced on every way.
        fsync_dir(os.path.dirname(final))
        fsync_dir(folder.parent)

    def group(self, key: str, place: str) -> FolderGroup:
        return FolderGroup(self, key, place)

    def path(self, place: str) -> str:
        """Return the path of a place."""
        return os.path.join(self._out, place)

    def draft_path(self, name: str) -> str:
        """Return the path of a draft in staging."""
        return os.path.join(self._staging, f"{name}.out")

    def new_draft(self, name: str) -> FileDraft:
        """Return a draft in staging."""
        return FileDraft(os.path.join(self._staging, name), self._reserve_bytes)

    def taken(self, place: str) -> PublishConflict:
        """Return the error for a folder that stands where an export is to be published."""
        return PublishConflict.of_export(self.reported(place), "appeared while the export was made")

    def make_folder(self, folder: str) -> None:
        """Make a folder below `out`, on the device on return. Raises DiskFull, NotWritable."""
        with self._making_folders:  # no other thread publishes there before it is on the device
            if folder not in self._folders or not os.path.isdir(folder):
                make_folders(Path(folder), self._out)
                self._folders.add(folder)


class FolderGroup(PublishGroup):
    """Files that are published together in a folder."""

    def __init__(self, destination: FolderDestination, key: str, place: str) -> None:
        """Use `FolderDestination.group`."""
        self._destination, self._key, self._place = destination, key, place
        self._copies: list[_GroupFile] = []
        self._drafts: list[_GroupFile] = []

    def draft(self, suffix: str, may_replace: MayReplace) -> FileDraft:
        draft = self._destination.new_draft(f"{self._key}{suffix}.out")
        final = self._destination.path(f"{self._place}{suffix}")
        self._drafts.append(_GroupFile(draft, final, may_replace))
        return draft

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        """Add another link to a local file, or a copy where links are not to be had."""
        draft = self._destination.new_draft(f"{self._key}{os.path.splitext(place)[1]}.keep")
        self._copies.append(_GroupFile(draft, self._destination.path(place), may_replace))
        draft.copy(source)

    def publish(self) -> None:
        files = [*self._copies, *self._drafts]
        for file in files:
            file.draft.close()
            fsync_file(file.draft.path)
        folders = {os.path.dirname(file.final): None for file in files}
        for folder in folders:
            self._destination.make_folder(folder)
        if len(files) > 1:  # a single one is looked at in the moment in which it is renamed
            for file in files:
                require_free(file.draft.path, file.final, replace=file.may_be_replaced())
        for file in files:
            rename_into_place(file.draft.path, file.final, replace=file.may_be_replaced())
            file.draft.published()
        for folder in folders:
            fsync_dir(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what is not published: the disk's room may be what is lacking."""
        for file in (*self._copies, *self._drafts):
            file.draft.drop()


class _GroupFile(NamedTuple):
    draft: FileDraft
    final: str
    may_replace: MayReplace

    def may_be_replaced(self) -> bool:
        """Return whether what stands under the final name, if anything does, may be replaced."""
        try:
            size = os.lstat(self.final).st_size
        except FileNotFoundError:
            return False
        return self.may_replace(size)
