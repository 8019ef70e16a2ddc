"""A destination that the caller wrote: its errors become ours, and what it reports is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from bulkfetch.archive import Draft
from bulkfetch.archive.inflate import Buffer
from bulkfetch.destination.interfaces import (
    Destination,
    ExportDestination,
    MayReplace,
    PublishGroup,
)
from bulkfetch.errors import BulkfetchError, ConfigError, DestinationFailed

_FOR_EXPORTS = ("holds", "content", "replace", "require_folder", "publish_folder")


class GivenDestination(Destination):
    """The caller's destination as the rest of the package meets it."""

    def __init__(self, given: Destination) -> None:
        self._given = given

    def reported(self, place: str) -> str:
        """Return the URL of a place."""
        with _errors():
            url: object = self._given.reported(place)
        if not isinstance(url, str) or "://" not in url:
            # A path would be looked for in the folder `out`.
            raise DestinationFailed("the destination that was handed in reports no URL")
        return url

    def is_free(self, place: str) -> bool:
        with _errors():
            return self._given.is_free(place)

    def stands(self, reported: str) -> bool:
        with _errors():
            return self._given.stands(reported)

    def group(self, key: str, place: str) -> GivenGroup:
        with _errors():
            return GivenGroup(self._given.group(key, place))


class GivenExportDestination(GivenDestination, ExportDestination):
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
        with _errors():
            return self._folders.holds(place)

    def content(self, place: str) -> bytes | None:
        with _errors():
            return self._folders.content(place)

    def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
        with _errors():
            return self._folders.replace(place, content, expected)

    def require_folder(self, place: str) -> None:
        with _errors():
            self._folders.require_folder(place)

    def publish_folder(
        self, folder: Path, place: str, last: str, check: Callable[[], object]
    ) -> None:
        with _errors():
            self._folders.publish_folder(folder, place, last, check)


class GivenGroup(PublishGroup):
    """A group of the caller's destination."""

    def __init__(self, given: PublishGroup) -> None:
        """Use `GivenDestination.group`."""
        self._given = given

    def draft(self, suffix: str, may_replace: MayReplace) -> GivenDraft:
        with _errors():
            return GivenDraft(self._given.draft(suffix, may_replace))

    def copy(self, source: str | os.PathLike[str], place: str, may_replace: MayReplace) -> None:
        with _errors():
            self._given.copy(source, place, may_replace)

    def publish(self) -> None:
        with _errors():
            self._given.publish()

    def __enter__(self) -> Self:
        with _errors():
            self._given.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _errors():
            self._given.__exit__(kind, error, trace)


class GivenDraft(Draft):
    """A draft of the caller's destination."""

    def __init__(self, given: Draft) -> None:
        """Use `GivenGroup.draft`."""
        self._given = given

    def require_room(self, size: int) -> None:
        with _errors():
            self._given.require_room(size)

    def begin(self, size: int) -> None:
        with _errors():
            self._given.begin(size)

    def write(self, pieces: Sequence[Buffer]) -> None:
        with _errors():
            self._given.write(pieces)

    def drop(self) -> None:
        with _errors():
            self._given.drop()


@contextmanager
def _errors() -> Iterator[None]:
    """Convert errors of the caller's code, of which only the kind is named: words may hold URLs."""
    try:
        yield
    except BulkfetchError:
        raise
    except Exception as error:
        text = f"the destination that was handed in failed with {type(error).__name__}"
        raise DestinationFailed(
            text, hint="Its cause is what your destination raised; complete results are kept."
        ) from error
