"""A bucket as a destination: S3, Google Cloud Storage, Azure.

What is small is kept in memory and put at once when it is published. What is larger goes up in
parts while it is unpacked, and its completion is the publication: until then nobody sees it. There
is no rename, and none is needed: of files that belong together, one comes last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from isal.isal_zlib import crc32

from bulkfetch.archive import Draft
from bulkfetch.archive.inflate import Buffer
from bulkfetch.destination.copying import COPY_BYTES, pieces_of, size_of
from bulkfetch.destination.interfaces import ExportDestination, MayReplace, PublishGroup
from bulkfetch.destination.store import BucketOptions, BucketStores, bucket_errors
from bulkfetch.disk import disk_errors
from bulkfetch.errors import PublishConflict, RunError

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion, WritableFile

# An upload has 10,000 parts at most; the size that is announced is a guess.
_MOST_PARTS = 8_000
_GONE = "the upload or its bucket is gone"


class BucketDestination(ExportDestination):
    """Places below a prefix of a bucket; imports obstore. Credentials come from the environment."""

    def __init__(self, options: BucketOptions) -> None:
        self._options = options
        self._above = f"{options.url}/"
        self._stores = BucketStores(options)

    def require_usable(self) -> None:
        """Raise DestinationFailed or DestinationRefused where the bucket cannot be listed.

        It is one request, and changes nothing.
        """
        url = self._options.url
        with bucket_errors(url, absent="there is no such bucket"):
            self._holds_below(None)

    def reported(self, place: str) -> str:
        return self._above + place

    def is_free(self, place: str) -> bool:
        """Return False: only a look would tell."""
        return False

    def stands(self, reported: str) -> bool:
        return self.size(reported) is not None

    def holds(self, place: str) -> bool:
        with bucket_errors(self.reported(place), absent=_GONE):
            return self._holds_below(place)

    def content(self, place: str) -> bytes | None:
        try:
            return b"".join(bytes(piece) for piece in self.read(self.reported(place)))
        except FileNotFoundError:
            return None

    def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
        """Put an object in the place of the one that was read, by its tag.

        A server that knows no such condition overwrites whatever is there right after the look.
        """
        import obstore
        from obstore import exceptions

        mode: PutMode = "create"
        try:
            with bucket_errors(self.reported(place)):
                found = obstore.get(self._stores.reads, place)
                mode = _version_of(found.meta)
                there = bytes(found.bytes())
        except FileNotFoundError:
            there = None
        if there != expected:
            return False
        with bucket_errors(self.reported(place), absent=_GONE):
            try:
                obstore.put(self._stores.writes, place, content, mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return False
            except NotImplementedError:  # conditional puts are switched off, for servers without
                obstore.put(self._stores.writes, place, content)
        return True

    def require_folder(self, place: str) -> None:
        """Return: keys have no folders, so that nothing can be in the way of one."""

    def size(self, reported: str) -> int | None:
        """Return how many bytes the object at a URL has, None where there is none."""
        import obstore

        try:
            with bucket_errors(reported):
                return int(obstore.head(self._stores.looks, self._place(reported))["size"])
        except FileNotFoundError:
            return None

    def read(self, reported: str) -> Iterator[Buffer]:
        """Yield an object's content in pieces. Raises FileNotFoundError, RunError."""
        import obstore

        with bucket_errors(reported):
            yield from obstore.get(self._stores.reads, self._place(reported)).stream(COPY_BYTES)

    def group(self, key: str, place: str) -> BucketGroup:
        return BucketGroup(self, place)

    def new_draft(self, place: str) -> BucketDraft:
        """Return a draft of what is going to be at a place."""
        return BucketDraft(self._stores, place, self.reported(place), self._options)

    def complete(self, draft: BucketDraft) -> None:
        """Publish a draft. Raises RunError where there is no object of its bytes afterwards."""
        try:
            draft.complete()
        except RunError:
            # The answer to the completion may have been lost, and its repeat be refused.
            if not self.stands_as(draft):
                raise

    def stands_as(self, draft: BucketDraft) -> bool:
        """Return whether the object that is there has the size and the CRC of a draft."""
        return self._has(draft.url, draft.bytes, lambda: draft.crc32)

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        """Put each file of a folder, which stays."""
        with disk_errors(folder):
            names = os.listdir(folder) if folder.exists() else []
        for name in sorted(names, key=lambda name: (name == last, name)):
            self._publish_copy(os.path.join(folder, name), f"{place}/{name}", check)

    def _publish_copy(self, source: str, place: str, check: Callable[[], object]) -> None:
        check()
        url = self.reported(place)
        if self.stands(url):
            if self._has(url, size_of(source), lambda: _crc32_of(pieces_of(source, check))):
                return  # a run put it there, and was cut off before it had come further
            if not self._options.overwrite:
                raise PublishConflict.of_export(url, "appeared while the export was made")
        draft = self.new_draft(place)
        try:
            draft.copy(source, check)
            self.complete(draft)
        finally:
            draft.drop()

    def _has(self, url: str, size: int, crc32_of: Callable[[], int]) -> bool:
        """Return whether the object at a URL has this size and this CRC."""
        if self.size(url) != size:
            return False
        try:
            return _crc32_of(self.read(url)) == crc32_of()
        except FileNotFoundError:  # just removed by somebody
            return False

    def _holds_below(self, place: str | None) -> bool:
        """Return whether there is an object below a place, None for all that there is."""
        import obstore

        found = obstore.list(self._stores.looks, place, chunk_size=1)
        return any(len(chunk) > 0 for chunk in found)

    def _place(self, reported: str) -> str:
        return reported.removeprefix(self._above)


class BucketDraft(Draft):
    """A draft of one object."""

    def __init__(self, stores: BucketStores, place: str, url: str, options: BucketOptions) -> None:
        """Use `BucketDestination.new_draft`."""
        self.url = url
        self.bytes = 0
        self.crc32 = 0
        self._stores = stores
        self._place = place
        self._options = options
        self._writer: WritableFile | None = None

    def require_room(self, size: int) -> None:
        """Return: a bucket has room."""

    def begin(self, size: int) -> None:
        """Begin; nothing is sent yet."""
        import obstore

        with bucket_errors(self.url, absent=_GONE):
            self._writer = obstore.open_writer(
                self._stores.writes,
                self._place,
                buffer_size=max(self._options.part_bytes, size // _MOST_PARTS),
                max_concurrency=self._options.uploads,
            )

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes; waits where too many are on their way."""
        assert self._writer is not None, "it was begun"
        with bucket_errors(self.url, absent=_GONE):
            for piece in pieces:
                self._writer.write(piece)
                self.crc32 = crc32(piece, self.crc32)
                self.bytes += len(piece)

    def copy(self, source: str | os.PathLike[str], check: Callable[[], object]) -> None:
        """Be a copy of a local file; `check` may raise to cut it off. Raises RunError."""
        self.begin(size_of(source))
        for piece in pieces_of(source, check):
            self.write([piece])

    def complete(self) -> None:
        """Send what is left, whereupon the object is there. Raises RunError."""
        assert self._writer is not None, "it was begun"
        writer, self._writer = self._writer, None
        with bucket_errors(self.url, absent=_GONE):
            writer.close()

    def drop(self) -> None:
        """Abort the upload, unless it is complete; more calls do no harm."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            # What cannot be aborted stays invisible, until the bucket's rule for such parts.
            with suppress(Exception):
                writer.__exit__(RuntimeError, RuntimeError(), None)


class BucketGroup(PublishGroup):
    """Objects that are published together."""

    def __init__(self, destination: BucketDestination, place: str) -> None:
        """Use `BucketDestination.group`."""
        self._destination = destination
        self._place = place
        self._copies: list[_GroupObject] = []
        self._drafts: list[_GroupObject] = []

    def draft(self, suffix: str, may_replace: MayReplace) -> BucketDraft:
        draft = self._destination.new_draft(f"{self._place}{suffix}")
        self._drafts.append(_GroupObject(draft, may_replace))
        return draft

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        draft = self._destination.new_draft(place)
        self._copies.append(_GroupObject(draft, may_replace))
        draft.copy(source, check=lambda: None)

    def publish(self) -> None:
        for each in (*self._copies, *self._drafts):
            self._require_free(each)
        for each in (*self._copies, *self._drafts):
            self._destination.complete(each.draft)

    def _require_free(self, each: _GroupObject) -> None:
        size = self._destination.size(each.draft.url)
        if size is None or each.may_replace(size) or self._destination.stands_as(each.draft):
            return
        raise PublishConflict.of_foreign(each.draft.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Abort what is not published."""
        for each in (*self._copies, *self._drafts):
            each.draft.drop()


class _GroupObject(NamedTuple):
    draft: BucketDraft
    may_replace: MayReplace


def _version_of(meta: ObjectMeta) -> UpdateVersion:
    """Return what a put names that is to replace this very object."""
    version: UpdateVersion = {}
    if meta["e_tag"] is not None:
        version["e_tag"] = meta["e_tag"]
    if meta["version"] is not None:
        version["version"] = meta["version"]
    return version


def _crc32_of(pieces: Iterable[Buffer]) -> int:
    value = 0
    for piece in pieces:
        value = crc32(piece, value)
    return value
