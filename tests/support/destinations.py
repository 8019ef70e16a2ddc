"""Destinations, and what a test may see of them from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fences import ROOT, fences
from tests.support.moto_server import MotoServer
from tests.support.s3_server import BUCKET, S3Server, s3_server

from bulkfetch.destination import ExportDestination, FolderDestination
from bulkfetch.destination.bucket import BucketDestination
from bulkfetch.destination.given import GivenExportDestination
from bulkfetch.destination.shared import DRAFTS, open_shared
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

    destination: ExportDestination
    files: Callable[[], Mapping[str, bytes]]
    put: Callable[[str, bytes], object]
    drafts: Callable[[], int]
    server: S3Server | None = None  # of a bucket
    root: Path | None = None  # of a folder


@contextmanager
def folder_destination(folder: Path, drafts: str = "staging") -> Iterator[SeenDestination]:
    """Give a folder as a destination, whose drafts are in a folder of its state."""
    out, staging = folder / "out", folder / "out" / ".bulkfetch" / drafts
    staging.mkdir(parents=True, exist_ok=True)

    yield _seen_folder(FolderDestination(out, staging, "exports/", 0), out, staging)


@contextmanager
def shared_destination(folder: Path) -> Iterator[SeenDestination]:
    """Give a folder in which other hosts publish too, as a run opens it."""
    root, name = folder / "shared" / "acme", f"{DRAFTS}here"
    root.parent.mkdir(parents=True, exist_ok=True)
    yield _seen_folder(open_shared(root, name, 0), root, root / name)


def _seen_folder(destination: FolderDestination, root: Path, drafts: Path) -> SeenDestination:
    """Give a destination in the folder `root`, in which all that is hidden is the program's."""

    def files() -> dict[str, bytes]:
        found = (path for path in root.rglob("*") if path.is_file())
        names = {path.relative_to(root).as_posix(): path for path in found}
        return {
            name: path.read_bytes()
            for name, path in names.items()
            if not name.startswith(".bulkfetch")
        }

    def put(place: str, content: bytes) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)

    def count() -> int:
        return len([*drafts.rglob("*.out"), *drafts.rglob("*.keep")])

    return SeenDestination(destination, files, put, count, root=root)


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
        GivenExportDestination(memory),
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


# By what tests call them: all that are made in no time.
DESTINATIONS: Mapping[str, Callable[[Path], AbstractContextManager[SeenDestination]]] = {
    "folder": folder_destination,
    "shared folder": shared_destination,
    "bucket": bucket_destination,
    "in memory, as documented": memory_destination,
}


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
