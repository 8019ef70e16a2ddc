"""Destinations, and what a test may see of them from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fences import ROOT, fences
from tests.support.moto_server import MotoServer
from tests.support.s3_server import BUCKET, S3Server, s3_server

from bulkfetch.destination import Destination, FolderDestination
from bulkfetch.destination.bucket import BucketDestination
from bulkfetch.destination.given import GivenDestination
from bulkfetch.destination.store import BucketOptions

# None of which is anybody's.
AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "AKIA-NOT-TO-BE-TOLD",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-not-to-be-told",
    "AWS_SESSION_TOKEN": "aws-session-not-to-be-told",
}


@dataclass(frozen=True)
class SeenDestination:
    """A destination, with what others find there, and a way to put something there."""

    destination: Destination
    files: Callable[[], Mapping[str, bytes]]
    put: Callable[[str, bytes], object]
    drafts: Callable[[], int]
    server: S3Server | None = None  # of a bucket


@contextmanager
def folder_destination(folder: Path, drafts: str = "staging") -> Iterator[SeenDestination]:
    """Give a folder as a destination, whose drafts are in a folder of its state."""
    out, staging = folder / "out", folder / "out" / ".bulkfetch" / drafts
    staging.mkdir(parents=True, exist_ok=True)

    def files() -> dict[str, bytes]:
        found = (path for path in out.rglob("*") if path.is_file())
        names = {path.relative_to(out).as_posix(): path for path in found}
        return {
            name: path.read_bytes()
            for name, path in names.items()
            if not name.startswith(".bulkfetch/")
        }

    def put(place: str, content: bytes) -> None:
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        (out / place).write_bytes(content)

    yield SeenDestination(
        FolderDestination(out, staging, "exports/", 0),
        files,
        put,
        lambda: len([*staging.rglob("*.out"), *staging.rglob("*.keep")]),
    )


def documented_memory() -> Any:
    """Make the destination in memory that the documents show."""
    page = ROOT / "docs" / "how-to-embed-in-a-service.md"
    (shown,) = (fence.text for fence in fences(page) if fence.words == "in_memory.py")
    names: dict[str, Any] = {"__name__": "in_memory"}
    exec(shown, names)
    return names["Memory"]()


@contextmanager
def memory_destination(_: Path) -> Iterator[SeenDestination]:
    """Give that destination, as a client that is given it meets it."""
    memory = documented_memory()
    yield SeenDestination(
        GivenDestination(memory),
        lambda: dict(memory.files),
        memory.files.__setitem__,
        lambda: 0,
    )


def bucket_options(endpoint: str, **more: object) -> BucketOptions:
    """Return what a bucket of a test server is written to with."""
    options = BucketOptions("s3", BUCKET, "zoho/crm", "eu-central-1", endpoint)
    return options._replace(**more)  # type: ignore[arg-type]


@contextmanager
def bucket_destination(_: Path) -> Iterator[SeenDestination]:
    """Give a bucket of the strict stand-in as a destination; the environment has AWS_ENV."""
    with s3_server() as server:
        options = bucket_options(server.url)
        above = f"{options.prefix}/"

        def files() -> dict[str, bytes]:
            return {key.removeprefix(above): body for key, body in server.objects.items()}

        def put(place: str, content: bytes) -> None:
            server.objects[above + place] = content

        yield SeenDestination(
            BucketDestination(options), files, put, lambda: len(server.uploads), server
        )


def moto_destination(moto: MotoServer) -> SeenDestination:
    """Give a bucket of moto's server as a destination; the environment has AWS_ENV."""
    options = bucket_options(moto.url)
    above = f"{options.prefix}/"
    return SeenDestination(
        BucketDestination(options),
        lambda: {key.removeprefix(above): body for key, body in moto.objects.items()},
        lambda place, content: moto.put(above + place, content),
        moto.count_uploads,
    )
