"""How a bucket is reached: obstore's stores, how long each waits, and what its errors become."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from bulkfetch.errors import DestinationFailed, DestinationRefused
from bulkfetch.text import escape

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CONNECT_S = 10
_FOR_EVER_S = 7 * 86_400
# What a line must carry beside the time for an answer, so that larger parts get more time.
_BYTES_PER_S = 1 << 20
_MOST_CHARACTERS = 300
_REFUSED = re.compile(r"status code: 40[13]\b", re.ASCII)


class BucketOptions(NamedTuple):
    """Which bucket, and how it is written to. `region` and `endpoint` None: as the SDKs find them.

    `part_bytes` are sent at a time, `uploads` parts of one file at once. A look at what is there is
    answered within `look_s`, and content that is read has no longer pause; what is written has
    `write_s`, and more for large parts. A call that fails is tried again up to `retry_s` after its
    beginning: a server that is away for longer ends the run. `overwrite`: files of a folder replace
    what else stands at their places.
    """

    scheme: str
    bucket: str
    prefix: str
    region: str | None = None
    endpoint: str | None = None
    part_bytes: int = 8 << 20
    uploads: int = 2
    look_s: float = 20.0
    write_s: float = 180.0
    retry_s: float = 30.0
    overwrite: bool = False

    @property
    def url(self) -> str:
        """The place below which everything is, without a slash at its end."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


class BucketStores:
    """The same bucket for each kind of call: each has time-outs of its own."""

    def __init__(self, options: BucketOptions) -> None:
        self._options = options

    @cached_property
    def looks(self) -> ObjectStore:
        """For calls that ask what there is."""
        return _open(self._options, whole_s=self._options.look_s)

    @cached_property
    def reads(self) -> ObjectStore:
        """For calls whose answer may be as long as it likes."""
        return _open(self._options, whole_s=_FOR_EVER_S, pause_s=self._options.look_s)

    @cached_property
    def writes(self) -> ObjectStore:
        """For calls that send content, or complete it."""
        part_s = self._options.part_bytes / _BYTES_PER_S
        return _open(self._options, whole_s=self._options.write_s + part_s)


def _open(options: BucketOptions, *, whole_s: float, pause_s: float | None = None) -> ObjectStore:
    from obstore.store import AzureStore, GCSStore, S3Store

    pause = {} if pause_s is None else {"read_timeout": timedelta(seconds=pause_s)}
    more: dict[str, Any] = {
        "prefix": options.prefix or None,
        "client_options": {
            # Secrets are signed with, and what is published may be personal: never in the clear.
            "allow_http": (options.endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "timeout": timedelta(seconds=whole_s),
            **pause,
        },
        "retry_config": {"retry_timeout": timedelta(seconds=options.retry_s)},
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


class bucket_errors:
    """Convert errors of obstore; the message has the first line of theirs, without the server's.

    FileNotFoundError passes, since it says that there is no object, unless `absent` is what it
    means here: that the upload or the bucket is gone. A server's answer may quote what signed the
    request: nothing of the converted error stays with the one that is raised, nor in a variable of
    its frames.
    """

    def __init__(self, url: str, *, absent: str | None = None) -> None:
        self._url = url
        self._absent = absent

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        told = None if error is None else self._converted(error)
        del error
        if told is not None:
            try:
                raise told from None
            finally:
                told.__context__ = None

    def _converted(self, error: BaseException) -> DestinationFailed | DestinationRefused | None:
        from obstore import exceptions

        if isinstance(error, FileNotFoundError):
            absent = self._absent
            return None if absent is None else DestinationFailed(f"{self._url}: {absent}")
        if not isinstance(error, exceptions.BaseError | ValueError | OSError):
            return None
        words = _words(error)
        # Some calls have no kind of error of their own for it.
        refused = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        is_refused = isinstance(error, refused) or _REFUSED.search(words)
        return (DestinationRefused if is_refused else DestinationFailed)(f"{self._url}: {words}")


def _words(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return escape(first.partition("<")[0].strip(" :"), _MOST_CHARACTERS)
