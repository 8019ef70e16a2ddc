"""Where each job's files are published, by the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bulkfetch.config import Settings
from bulkfetch.config.bucket import SCHEMES, BucketPlace, DestinationSettings, bucket_place
from bulkfetch.errors import ConfigError
from bulkfetch.extras import require_extra
from bulkfetch.models import Job
from bulkfetch.pipeline.layout import OutputLayout

if TYPE_CHECKING:
    from bulkfetch.archive.inflate import Buffer
    from bulkfetch.destination import Destination
    from bulkfetch.destination.bucket import BucketDestination


def require_destinations(settings: Settings) -> None:
    """Raise ConfigError where a bucket is named, and what buckets need is not installed."""
    named = [url for each in settings.accounts if (url := each.publish_to or settings.publish_to)]
    if named:
        require_extra(
            "s3",
            f'publish_to = "{named[0]}" needs',
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

        self._settings = settings
        self._given = given
        self._folder = FolderDestination(
            layout.out, layout.staging, layout.above, settings.limits.free_bytes
        )
        self._buckets: dict[str, BucketDestination] = {}

    def open(self) -> None:
        """Look at each bucket that there is. Blocking. Raises RunError."""
        for account in self._settings.accounts:
            place = self._settings.place_of(account.name)
            if place is not None and place.url not in self._buckets:
                bucket = open_bucket(place, self._settings.destination)
                bucket.require_usable()
                self._buckets[place.url] = bucket

    def of(self, job: Job) -> Destination:
        """Return where a job's files are published; `open` was called."""
        if self._given is not None and not job.folder:
            return self._given
        place = bucket_of(self._settings, job)
        return self._folder if place is None else self._buckets[place.url]


class PublishedObjects:
    """Objects that were published, by their URLs, in whichever buckets they are. Blocking."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._settings = settings
        self._buckets: dict[str, BucketDestination] = {}

    def size(self, url: str) -> int | None:
        """Return an object's size in bytes, None where there is none. Raises RunError."""
        return self._of(url).size(url)

    def read(self, url: str) -> Iterator[Buffer]:
        """Yield an object's content in pieces. Raises FileNotFoundError, RunError."""
        return self._of(url).read(url)

    def _of(self, url: str) -> BucketDestination:
        scheme, _, rest = url.partition("://")
        root = f"{scheme}://{rest.partition('/')[0]}"
        if root not in self._buckets:
            if scheme not in SCHEMES:
                raise ConfigError(
                    f"{root} is a place that only the program knows that published there",
                    hint="Look there with that program.",
                )
            require_extra("s3", f"{root} can be looked at only with")
            self._buckets[root] = open_bucket(bucket_place(root), self._settings)
        return self._buckets[root]


def open_bucket(place: BucketPlace, settings: DestinationSettings) -> BucketDestination:
    """Return a place in a bucket as a destination. Raises RunError."""
    from bulkfetch.destination.bucket import BucketDestination, BucketOptions

    return BucketDestination(
        BucketOptions(
            *place,
            region=settings.region,
            endpoint=settings.endpoint,
            part_bytes=settings.part_bytes,
            uploads=settings.uploads,
        )
    )
