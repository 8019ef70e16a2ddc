"""A destination that the caller wrote: its errors become ours, and what it reports is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from bulkfetch.archive import Draft
from bulkfetch.archive.inflate import Buffer
from bulkfetch.destination.group import (
    Destination,
    ExportDestination,
    MayReplace,
    PublishGroup,
)
from bulkfetch.errors import BulkfetchError, ConfigError, DestinationFailed

T = TypeVar("T")

_FOR_EXPORTS = ("holds", "content", "replace", "require_folder", "publish_folder")


class GivenDestination:
    """The caller's destination as the rest of the package meets it."""

    def __init__(self, given: Destination) -> None:
        self._given = given

    def reported(self, place: str) -> str:
        """Return the URL of a place."""
        url: object = _asked(lambda: self._given.reported(place))
        if not isinstance(url, str) or "://" not in url:
            # A path would be looked for in the folder `out`.
            raise DestinationFailed("the destination that was handed in reports no URL")
        return url

    def is_free(self, place: str) -> bool:
        """Return whether certainly nothing stands at a place."""
        return _asked(lambda: self._given.is_free(place))

    def stands(self, reported: str) -> bool:
        """Return whether something stands at a URL. Raises RunError."""
        return _asked(lambda: self._given.stands(reported))

    def group(self, key: str, place: str) -> GivenGroup:
        """Return a new group, to be published at a place, to which suffixes are added."""
        return GivenGroup(_asked(lambda: self._given.group(key, place)))


class GivenExportDestination(GivenDestination):
    """The caller's destination where it takes exports too."""

    def __init__(self, given: Destination) -> None:
        """Raise ConfigError where it takes none."""
        lacking = [name for name in _FOR_EXPORTS if not callable(getattr(given, name, None))]
        if lacking:
            raise ConfigError(
                f"the destination that was handed in takes no exports: it has no {lacking[0]}()",
                hint="Hand in a bulkfetch.ExportDestination, or give the export a publish_to, "
                "or export with a client without destination.",
            )
        super().__init__(given)
        self._folders = cast(ExportDestination, given)

    def holds(self, place: str) -> bool:
        """Return whether something stands at a place or below it. Raises RunError."""
        return _asked(lambda: self._folders.holds(place))

    def content(self, place: str) -> bytes | None:
        """Return what a small file at a place holds. Raises RunError."""
        return _asked(lambda: self._folders.content(place))

    def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
        """Have a small file hold `content`, where it holds what is `expected`. Raises RunError."""
        return _asked(lambda: self._folders.replace(place, content, expected))

    def require_folder(self, place: str) -> None:
        """Raise PublishConflict where there can be no folder at a place; RunError."""
        _asked(lambda: self._folders.require_folder(place))

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        """Publish a local folder of files at a place. Raises PublishConflict, RunError."""
        _asked(lambda: self._folders.publish_folder(folder, place, last, check))


class GivenGroup:
    """See `PublishGroup`."""

    def __init__(self, given: PublishGroup) -> None:
        """Use `GivenDestination.group`."""
        self._given = given

    def draft(self, suffix: str, may_replace: MayReplace) -> GivenDraft:
        """Return a new draft, to be published at the group's place with this suffix."""
        return GivenDraft(_asked(lambda: self._given.draft(suffix, may_replace)))

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        """Add a copy of a local file. Raises RunError."""
        _asked(lambda: self._given.copy(source, place, may_replace))

    def publish(self) -> None:
        """Give all their names. Raises PublishConflict, RunError."""
        _asked(self._given.publish)

    def __enter__(self) -> Self:
        _asked(self._given.__enter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what is not published."""
        _asked(lambda: self._given.__exit__(kind, error, trace))


class GivenDraft:
    """See `Draft`."""

    def __init__(self, given: Draft) -> None:
        """Use `GivenGroup.draft`."""
        self._given = given

    def require_room(self, size: int) -> None:
        """Raise DiskFull if `size` bytes do not fit."""
        _asked(lambda: self._given.require_room(size))

    def begin(self, size: int) -> None:
        """Make the empty draft. Raises RunError."""
        _asked(lambda: self._given.begin(size))

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes. Raises RunError."""
        _asked(lambda: self._given.write(pieces))

    def drop(self) -> None:
        """Remove what was written, unless it is published."""
        _asked(self._given.drop)


def _asked(ask: Callable[[], T]) -> T:
    with _errors():
        return ask()


@contextmanager
def _errors() -> Iterator[None]:
    """Convert errors of the caller's code, of which only the kind is told: words may hold URLs."""
    try:
        yield
    except BulkfetchError:
        raise
    except Exception as error:
        text = f"the destination that was handed in failed with {type(error).__name__}"
        raise DestinationFailed(
            text, hint="Its cause is what your destination raised; complete results are kept."
        ) from error
