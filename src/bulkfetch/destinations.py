"""Where the files of jobs and exports are published, by the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bulkfetch.config import Settings
from bulkfetch.config.bucket import SCHEMES, BucketPlace, DestinationSettings, bucket_place
from bulkfetch.disk import file_size
from bulkfetch.errors import ConfigError
from bulkfetch.exports.published import place_of, target_of, url_above
from bulkfetch.extras import require_extra
from bulkfetch.filenames import UNFINISHED_EXPORTS
from bulkfetch.models import Job
from bulkfetch.pipeline.layout import OutputLayout

if TYPE_CHECKING:
    from bulkfetch.archive.inflate import Buffer
    from bulkfetch.destination import Destination, ExportDestination
    from bulkfetch.destination.bucket import BucketDestination


def require_destinations(settings: Settings) -> None:
    """Raise ConfigError where a bucket is named, and what buckets need is not installed."""
    for place in settings.places:
        require_extra(
            "s3",
            f'publish_to = "{place.url}" needs',
            otherwise="; or publish in the folder `out`",
        )


def claimed_names(given: Destination | None, settings: Settings, job: Job) -> tuple[str, ...]:
    """Return what a job may be published under: a path below `out`, or a URL.

    `given` is a destination that was handed in, None where there is none.
    """
    names = [job.place]
    if settings.keep_zip:
        names.append(job.in_folder(f"{job.id}.zip"))
    if given is not None and not job.folder:
        return tuple(map(given.reported, names))
    place = bucket_of(settings, job)
    return tuple(names if place is None else (f"{place.url}/{name}" for name in names))


def bucket_of(settings: Settings, job: Job) -> BucketPlace | None:
    """Return where in a bucket a job's files belong, None for the folder.

    Parts of exports are in the folder until the export is published.
    """
    return None if job.folder else settings.place_of(job.account)


class Destinations:
    """The destination of each job of a run."""

    def __init__(
        self, settings: Settings, layout: OutputLayout, given: Destination | None = None
    ) -> None:
        """Do nothing yet but make values; obstore is not imported.

        `given` takes everything but the parts of exports.
        """
        from bulkfetch.destination import FolderDestination  # late: a run with nothing to do
        from bulkfetch.destination.given import GivenDestination

        self._settings = settings
        self._given = None if given is None else GivenDestination(given)
        self._folder = FolderDestination(
            layout.out, layout.staging, layout.above, settings.limits.free_bytes
        )
        self._buckets = _Buckets(settings.destination)

    def open(self) -> None:
        """Look at each bucket that there is. Blocking. Raises RunError."""
        for account in self._settings.accounts:
            place = self._settings.place_of(account.name)
            if place is not None:
                self._buckets.usable(place.url)

    def of(self, job: Job) -> Destination:
        """Return where a job's files are published; `open` was called."""
        if self._given is not None and not job.folder:
            return self._given
        place = bucket_of(self._settings, job)
        return self._folder if place is None else self._buckets.at(place.url)


class ExportDestinations:
    """The destinations of the exports of a command."""

    def __init__(
        self, settings: Settings, layout: OutputLayout, given: Destination | None = None
    ) -> None:
        """Do nothing yet but make values; obstore is not imported.

        `given` takes the exports that name no bucket of their own.
        """
        from bulkfetch.destination import FolderDestination  # late: a run with nothing to do

        self._folder = FolderDestination(
            layout.out, layout.out / UNFINISHED_EXPORTS, layout.above, settings.limits.free_bytes
        )
        self._given = given
        self._buckets = _Buckets(settings.destination, overwrite=settings.overwrite)

    def new(self, bucket: str | None) -> ExportDestination:
        """Return where an export that begins is to be published; a bucket was looked at.

        `bucket` is the URL of the place that the settings name, None where they name none.
        Blocking. Raises RunError; ConfigError where it cannot be published there.
        """
        if bucket is not None:
            return self._buckets.usable(bucket)
        return self._folder if self._given is None else _for_exports(self._given)

    def of(self, name: str, folder: str) -> ExportDestination:
        """Return where an export is being published, by its folder as the journal has it.

        It is gone on with where it was begun, whatever the settings say by now. Blocking. Raises
        RunError; ConfigError where that place is not known any more.
        """
        if self._given is not None:
            from bulkfetch.destination.given import GivenDestination

            place = place_of(name, target_of(folder))
            if GivenDestination(self._given).reported(place) == folder:
                return _for_exports(self._given)
        above = url_above(folder, name)
        if above is None:
            return self._folder
        if above.partition("://")[0] not in SCHEMES:
            raise ConfigError(
                f"export {name} is being published as {folder}, which only the program knows "
                "that began it",
                hint="Hand in the same destination again.",
            )
        return self._buckets.usable(above)


def _for_exports(given: Destination) -> ExportDestination:
    from bulkfetch.destination.given import GivenExportDestination

    return GivenExportDestination(given)


class PublishedObjects:
    """What was published outside of the output folder, by its URLs: in buckets, in shared folders.

    Blocking. Raises ConfigError where what buckets need is not installed.
    """

    def __init__(self, settings: DestinationSettings) -> None:
        self._buckets = _Buckets(settings)

    def size(self, url: str) -> int | None:
        """Return an object's size in bytes, None where there is none. Raises RunError."""
        from bulkfetch.destination.shared import shared_path

        path = shared_path(url)
        return self._of(url).size(url) if path is None else file_size(path)

    def read(self, url: str) -> Iterator[Buffer]:
        """Yield an object's content, in a bucket, in pieces. Raises FileNotFoundError, RunError."""
        return self._of(url).read(url)

    def _of(self, url: str) -> BucketDestination:
        scheme, _, rest = url.partition("://")
        root = f"{scheme}://{rest.partition('/')[0]}"
        if scheme not in SCHEMES:
            raise ConfigError(
                f"{root} is a place that only the program knows that published there",
                hint="Look there with that program.",
            )
        return self._buckets.at(root)


class _Buckets:
    """Places in buckets by their URLs, each opened once, when it is first asked for. Blocking."""

    def __init__(self, settings: DestinationSettings, *, overwrite: bool = False) -> None:
        self._settings = settings
        self._overwrite = overwrite
        self._opened: dict[str, BucketDestination] = {}

    def at(self, url: str) -> BucketDestination:
        """Return a place as a destination. Raises RunError, ConfigError."""
        if url not in self._opened:
            self._opened[url] = open_bucket(
                bucket_place(url), self._settings, overwrite=self._overwrite
            )
        return self._opened[url]

    def usable(self, url: str) -> BucketDestination:
        """Return a place that can be listed, as far as was seen when it was opened.

        Raises RunError, ConfigError.
        """
        is_new = url not in self._opened
        bucket = self.at(url)
        if is_new:
            bucket.require_usable()
        return bucket


def open_bucket(
    place: BucketPlace, settings: DestinationSettings, *, overwrite: bool = False
) -> BucketDestination:
    """Return a place in a bucket as a destination. Raises RunError, ConfigError.

    `overwrite`: files of a folder replace what else stands at their places.
    """
    require_extra("s3", f"{place.url} can be looked at only with")
    from bulkfetch.destination.bucket import BucketDestination
    from bulkfetch.destination.store import BucketOptions

    return BucketDestination(
        BucketOptions(
            *place,
            region=settings.region,
            endpoint=settings.endpoint,
            part_bytes=settings.part_bytes,
            uploads=settings.uploads,
            overwrite=overwrite,
        )
    )
