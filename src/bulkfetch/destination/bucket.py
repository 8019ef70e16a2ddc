"""A bucket as a destination: S3, Google Cloud Storage, Azure.

What is small is kept in memory and put at once when it is published. What is larger goes up in
parts while it is unpacked, and its completion is the publication: until then nobody sees it. There
is no rename, and none is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from isal.isal_zlib import crc32

from bulkfetch.archive.inflate import Buffer
from bulkfetch.destination.group import MayReplace
from bulkfetch.errors import (
    DestinationFailed,
    DestinationRefused,
    PublishConflict,
    RunError,
)
from bulkfetch.text import escape

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import ObjectStore

# An upload has 10,000 parts at most; the size that is announced is a guess.
_MOST_PARTS = 8_000
_COPY_BYTES = 1 << 20
# Of one request, with its retries: a server that is away for longer ends the run.
_RETRY_S = 30
# Of one part on its way; a line that carries less than a part in it is too slow for its size.
_REQUEST_S = 300
_CONNECT_S = 10
_MOST_CHARACTERS = 300
_REFUSED = re.compile(r"status code: 40[13]\b", re.ASCII)


class BucketOptions(NamedTuple):
    """Which bucket, and how it is written to. `region` and `endpoint` None: as the SDKs find them.

    `part_bytes` are sent at a time, `uploads` parts of one file at once.
    """

    scheme: str
    bucket: str
    prefix: str
    region: str | None = None
    endpoint: str | None = None
    part_bytes: int = 8 << 20
    uploads: int = 2

    @property
    def url(self) -> str:
        """The place below which everything is, without a slash at its end."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


class BucketDestination:
    """Places below a prefix of a bucket; imports obstore. Credentials come from the environment."""

    def __init__(self, options: BucketOptions) -> None:
        self._options = options
        self._above = f"{options.url}/"
        with _errors(options.url):
            self._store = _open(options)

    def require_usable(self) -> None:
        """Raise DestinationFailed or DestinationRefused where the bucket cannot be listed.

        It is one request, and changes nothing.
        """
        import obstore

        url = self._options.url
        try:
            with _errors(url):
                for _ in obstore.list(self._store, chunk_size=1):
                    break
        except FileNotFoundError:
            raise DestinationFailed(f"{url}: there is no such bucket") from None

    def reported(self, place: str) -> str:
        """Return the URL of a place."""
        return self._above + place

    def is_free(self, place: str) -> bool:
        """Return False: only a look would tell."""
        return False

    def stands(self, reported: str) -> bool:
        """Return whether there is an object at a URL. Raises RunError."""
        return self.size(reported) is not None

    def size(self, reported: str) -> int | None:
        """Return how many bytes the object at a URL has, None where there is none."""
        import obstore

        try:
            with _errors(reported):
                return int(obstore.head(self._store, self._place(reported))["size"])
        except FileNotFoundError:
            return None

    def read(self, reported: str) -> Iterator[Buffer]:
        """Yield an object's content in pieces. Raises FileNotFoundError, RunError."""
        import obstore

        with _errors(reported):
            yield from obstore.get(self._store, self._place(reported)).stream(_COPY_BYTES)

    def group(self, key: str, place: str) -> BucketGroup:
        """Return a new group, to be published at a place, to which suffixes are added."""
        return BucketGroup(self, place)

    def new_draft(self, place: str) -> BucketDraft:
        """Return a draft of what is going to be at a place."""
        return BucketDraft(self._store, place, self.reported(place), self._options)

    def _place(self, reported: str) -> str:
        return reported.removeprefix(self._above)


class BucketDraft:
    """A draft of one object."""

    def __init__(self, store: ObjectStore, place: str, url: str, options: BucketOptions) -> None:
        """Use `BucketDestination.new_draft`."""
        self.url = url
        self.bytes = 0
        self.crc32 = 0
        self._store = store
        self._place = place
        self._options = options
        self._writer: WritableFile | None = None

    def require_room(self, size: int) -> None:
        """Return: a bucket has room."""

    def begin(self, size: int) -> None:
        """Begin; nothing is sent yet. Raises RunError."""
        import obstore

        with _errors(self.url):
            self._writer = obstore.open_writer(
                self._store,
                self._place,
                buffer_size=max(self._options.part_bytes, size // _MOST_PARTS),
                max_concurrency=self._options.uploads,
            )

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes; waits where too many are on their way. Raises RunError."""
        assert self._writer is not None, "it was begun"
        with _errors(self.url):
            for piece in pieces:
                self._writer.write(piece)
                self.crc32 = crc32(piece, self.crc32)
                self.bytes += len(piece)

    def complete(self) -> None:
        """Send what is left, whereupon the object is there. Raises RunError."""
        assert self._writer is not None, "it was begun"
        writer, self._writer = self._writer, None
        with _errors(self.url):
            writer.close()

    def drop(self) -> None:
        """Abort the upload, unless it is complete; more calls do no harm."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            # What cannot be aborted stays invisible, until the bucket's rule for such parts.
            with suppress(Exception):
                writer.__exit__(RuntimeError, RuntimeError(), None)


class BucketGroup:
    """Objects that are published together; see `PublishGroup`."""

    def __init__(self, destination: BucketDestination, place: str) -> None:
        """Use `BucketDestination.group`."""
        self._destination = destination
        self._place = place
        self._objects: list[_GroupObject] = []
        self._copies = 0  # they come first

    def draft(self, suffix: str, may_replace: MayReplace) -> BucketDraft:
        """Return a new draft, to be published at the group's place with this suffix."""
        draft = self._destination.new_draft(f"{self._place}{suffix}")
        self._objects.append(_GroupObject(draft, may_replace))
        return draft

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        """Add a copy of a local file. Raises RunError."""
        draft = self._destination.new_draft(place)
        self._objects.insert(self._copies, _GroupObject(draft, may_replace))
        self._copies += 1
        with open(source, "rb") as file:
            draft.begin(os.fstat(file.fileno()).st_size)
            while piece := file.read(_COPY_BYTES):
                draft.write([piece])

    def publish(self) -> None:
        """Complete all of them; durable on return. Raises PublishConflict, RunError."""
        for each in self._objects:
            self._require_free(each)
        for each in self._objects:
            try:
                each.draft.complete()
            except (RunError, FileNotFoundError) as error:
                # The answer to the completion may have been lost, and its repeat be refused.
                if not self._stands(each.draft):
                    if isinstance(error, RunError):
                        raise
                    raise DestinationFailed(
                        f"{each.draft.url}: the upload or its bucket is gone"
                    ) from None

    def _require_free(self, each: _GroupObject) -> None:
        size = self._destination.size(each.draft.url)
        if size is None or each.may_replace(size) or self._stands(each.draft):
            return
        raise PublishConflict.of_foreign(each.draft.url)

    def _stands(self, draft: BucketDraft) -> bool:
        """Return whether the object that is there has the size and the CRC of a draft."""
        if self._destination.size(draft.url) != draft.bytes:
            return False
        return _crc32_of(self._destination.read(draft.url)) == draft.crc32

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort what is not published."""
        for each in self._objects:
            each.draft.drop()


class _GroupObject(NamedTuple):
    draft: BucketDraft
    may_replace: MayReplace


def _crc32_of(pieces: Iterable[Buffer]) -> int:
    value = 0
    for piece in pieces:
        value = crc32(piece, value)
    return value


def _open(options: BucketOptions) -> ObjectStore:
    from obstore.store import AzureStore, GCSStore, S3Store

    more: dict[str, Any] = {
        "prefix": options.prefix or None,
        "client_options": {
            # Secrets are signed with, and what is published may be personal: never in the clear.
            "allow_http": (options.endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "timeout": timedelta(seconds=_REQUEST_S),
        },
        "retry_config": {"retry_timeout": timedelta(seconds=_RETRY_S)},
    }
    own = {"region": options.region, "endpoint": options.endpoint}
    own = {key: value for key, value in own.items() if value is not None}
    # obstore types its keywords one by one, and not as a dict's.
    match options.scheme:
        case "s3":
            return S3Store(options.bucket, **own, **more)  # type: ignore[arg-type]
        case "gs":
            return GCSStore(options.bucket, **more)
        case _:
            own.pop("region", None)
            return AzureStore(options.bucket, **own, **more)  # type: ignore[arg-type]


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Convert errors of obstore, of whose words only the first line is told, without the server's.

    FileNotFoundError passes, for there is no object, no upload or no bucket.
    """
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError:
        raise
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise DestinationRefused(f"{url}: {_words(error)}") from None
    except (exceptions.BaseError, ValueError, OSError) as error:
        words = _words(error)
        # Some calls have no kind of error of their own for it.
        kind = DestinationRefused if _REFUSED.search(words) else DestinationFailed
        raise kind(f"{url}: {words}") from None


def _words(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return escape(first.partition("<")[0].strip(" :"), _MOST_CHARACTERS)
