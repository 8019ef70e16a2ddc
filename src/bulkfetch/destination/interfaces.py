"""What every destination can do: the one interface of folders, buckets and what callers write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bulkfetch.archive import Draft

# Says of a file that stands where one is to be published, by its size, whether it may be replaced.
MayReplace = Callable[[int], bool]


class PublishGroup(Protocol):
    """Files that are published together; what is not published when it is left is dropped.

    For one thread at a time.
    """

    def draft(self, suffix: str, may_replace: MayReplace) -> Draft:
        """Return a new draft, to be published at the group's place with this suffix."""

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        """Add a copy of a synced local file, to be published at a place of its own.

        Copies are published before drafts. Raises RunError.
        """

    def publish(self) -> None:
        """Give all their names, each atomically; durable on return.

        Raises PublishConflict where something stands in the way that must stay: then none got its
        name, unless it was put there in this very moment. Raises RunError.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Destination(Protocol):
    """Where files are published, for several threads. Places are paths below it, with slashes."""

    def reported(self, place: str) -> str:
        """Return a place as reports and the journal have it."""

    def is_free(self, place: str) -> bool:
        """Return whether certainly nothing stands at a place; False where only a look would tell.

        Does not block.
        """

    def stands(self, reported: str) -> bool:
        """Return whether something stands at a place, given as reported. Raises RunError."""

    def group(self, key: str, place: str) -> PublishGroup:
        """Return a new group, to be published at a place, to which suffixes are added.

        `key` is a file name's stem, of an export's file a path, that no other group under way has.
        """


class ExportDestination(Destination, Protocol):
    """Where exports are published too: folders of files, and a small file that names the newest."""

    def holds(self, place: str) -> bool:
        """Return whether something stands at a place or below it. Raises RunError."""

    def content(self, place: str) -> bytes | None:
        """Return what a small file at a place holds, None where nothing stands there.

        No bytes where it is no regular file. Raises RunError.
        """

    def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
        """Have a small file hold `content`, where it holds what is `expected`; return whether.

        `expected` is what `content` has returned, None where nothing stood there. Atomic, durable
        on return. Raises RunError.
        """

    def require_folder(self, place: str) -> None:
        """Raise PublishConflict where there can be no folder at a place; RunError."""

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        """Publish a synced local folder of files at a place; durable on return.

        Its file `last` comes with the others or after them: whoever finds that one finds all.
        `folder` is on the same file system as the output folder, and may be gone afterwards. After
        a call that was cut off, the same call goes on; if `folder` is gone by then, all is
        published. `check` is called between the steps, and may raise to cut it off.
        Raises PublishConflict where something else stands there, RunError.
        """
