"""Exports that are published at a destination that was handed in."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.support.destinations import (
    AWS_ENV,
    SeenDestination,
    documented_memory,
    shared_destination,
)
from tests.support.exporting import export, exporting, org
from tests.support.s3_server import s3_server

from bulkfetch import Export
from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.errors import ConfigError
from bulkfetch.sandbox import Sandbox

LEADS = Export(module="Leads", sync="changes", deleted=True)


def memory() -> SeenDestination:
    """Give the destination of the documents, as a user hands it in."""
    made = documented_memory()
    return SeenDestination(made, lambda: made.files, made.files.__setitem__, lambda: 0)


@pytest.fixture(params=["in memory, as documented", "shared folder"])
def seen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SeenDestination]:
    """A destination with nothing in it."""
    if request.param != "shared folder":
        yield memory()
        return
    with shared_destination(tmp_path) as made:
        yield made


def newest(seen: SeenDestination) -> tuple[str, dict[str, Any]]:
    """Return where the newest folder of Leads is, and its manifest; all that it names is there."""
    files = seen.files()
    latest = json.loads(files["Leads/latest.json"])
    told: dict[str, Any] = json.loads(files[f"Leads/{latest['manifest']}"])
    folder = f"Leads/{latest['folder']}"
    for part in told["parts"]:
        assert part["url"] == seen.destination.reported(f"{folder}/{part['file']}")
        assert len(files[f"{folder}/{part['file']}"]) == part["bytes"]
    return folder, told


def rows(seen: SeenDestination) -> list[dict[str, str]]:
    """Read the rows of all parts of the newest export of Leads."""
    folder, told = newest(seen)
    found: list[dict[str, str]] = []
    for part in told["parts"]:
        text = seen.files()[f"{folder}/{part['file']}"].decode()
        found += csv.DictReader(io.StringIO(text, newline=""))
    return found


@pytest.mark.slow
def test_an_export_is_published_there(tmp_path: Path, seen: SeenDestination) -> None:
    """Reports name its URLs, `out` has nothing but the journal, and the next exports changes."""

    async def main(sandbox: Sandbox) -> None:
        out = tmp_path / "exports"
        done = await export(sandbox, out, LEADS, place=seen.destination)
        folder, told = newest(seen)
        report = done.only()
        assert report.manifest == seen.destination.reported(f"{folder}/manifest.json")
        paths = [file.path for part in report.parts for file in part.files]
        assert paths == [part["url"] for part in told["parts"]]
        assert rows(seen) == sandbox.rows("Leads")
        assert [path.name for path in out.iterdir()] == [".bulkfetch"]
        assert list((out / ".bulkfetch" / "exports" / "Leads").iterdir()) == []
        done = await export(sandbox, out, LEADS, place=seen.destination)
        assert (done.only().mode, done.count("create")) == ("changes", 1)
        assert newest(seen)[0].endswith("-changes")

    exporting(main)


def test_a_destination_for_results_alone_takes_no_exports(tmp_path: Path) -> None:
    """It is said before anything is asked for, with what it lacks."""

    class Results:
        """What takes results, and no more."""

        def reported(self, place: str) -> str:
            return f"memory://{place}"

        is_free = stands = group = reported

    async def main(sandbox: Sandbox) -> None:
        done = await export(sandbox, tmp_path, LEADS, place=Results())
        assert isinstance(done.error, ConfigError)
        assert "takes no exports: it has no holds" in str(done.error)
        assert done.error.hint is not None
        assert done.log == []

    exporting(main, org(records=8))


def test_an_export_has_a_bucket_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What names a publish_to itself is published there, and not at the destination."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    seen = memory()

    async def main(sandbox: Sandbox) -> None:
        own = Export(module="Leads", name="Own", publish_to="s3://lake/own")
        reach = DestinationSettings(region="eu-central-1", endpoint=server.url)
        more: dict[str, Any] = {"destination": reach}
        await export(sandbox, tmp_path, own, LEADS, place=seen.destination, **more)
        assert "own/Own/latest.json" in server.objects
        assert rows(seen) == sandbox.rows("Leads")
        assert not [name for name in seen.files() if name.startswith("Own")]

    with s3_server() as server:
        exporting(main, org(records=8))


def breakable() -> tuple[Any, Event]:
    """Give a destination in memory, which fails at an export's last file while the event is set."""
    broken = Event()

    class Broken(type(documented_memory())):  # type: ignore[misc]
        def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
            if broken.is_set():
                raise ConnectionError
            return bool(super().replace(place, content, expected))

    return Broken(), broken


def test_what_is_being_published_goes_on_only_where_it_was_begun(tmp_path: Path) -> None:
    """Without that destination it is refused and kept; with it nothing is asked of Zoho again."""
    place, broken = breakable()

    async def main(sandbox: Sandbox) -> None:
        broken.set()
        done = await export(sandbox, tmp_path, LEADS, place=place)
        assert done.error is not None
        assert (done.error.code, done.only().status) == ("DESTINATION_FAILED", "pending")
        assert "Leads/latest.json" not in place.files
        done = await export(sandbox, tmp_path, LEADS)
        assert isinstance(done.error, ConfigError)
        assert "is being published as memory://Leads/" in str(done.error)
        broken.clear()
        done = await export(sandbox, tmp_path, LEADS, place=place)
        assert (done.only().status, done.count("create", "result")) == ("done", 0)
        assert "Leads/latest.json" in place.files

    exporting(main, org(records=8))


def test_a_host_that_is_late_says_that_a_newer_one_is_named(
    tmp_path: Path, seen: SeenDestination
) -> None:
    """Its export is done, and latest.json stays as it is."""
    newer = json.dumps({"export": "Leads", "folder": "20990101T000000Z-full"}).encode()

    async def main(sandbox: Sandbox) -> None:
        seen.put("Leads/latest.json", newer)
        done = await export(sandbox, tmp_path / "exports", LEADS, place=seen.destination)
        assert done.only().status == "done"
        assert any("names a newer export already" in note for note in done.told("note"))
        assert seen.files()["Leads/latest.json"] == newer

    exporting(main, org(records=8))


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
def test_a_full_export_follows_the_changes_that_were_being_published(
    tmp_path: Path, lost: bool
) -> None:
    """The call that asks for all publishes what is left of the changes, and then exports all."""
    place, broken = breakable()

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, LEADS, place=place)
        broken.set()
        await export(sandbox, tmp_path, LEADS, place=place)
        if lost:
            shutil.rmtree(tmp_path / ".bulkfetch" / "exports" / "Leads")
            changes = {name for name in place.files if "-changes/" in name}
            for name in changes:
                del place.files[name]
        broken.clear()
        done = await export(sandbox, tmp_path, LEADS, full=True, place=place)
        report = done.only()
        assert (report.status, report.mode) == ("done", "full")
        assert report.credits_spent < 100
        assert done.count("create") == len(report.parts)
        latest = json.loads(place.files["Leads/latest.json"])
        assert latest["mode"] == "full"
        assert any("-changes/manifest.json" in name for name in place.files) != lost
        published = [event for event in done.events if event.kind == "export_published"]
        assert len(published) == (1 if lost else 2)
        assert {each.status for each in done.outcomes} == {"done"}
        done = await export(sandbox, tmp_path, LEADS, place=place)
        assert done.only().mode == "changes"

    exporting(main, org(records=8))


@pytest.mark.slow
def test_of_two_output_folders_with_one_place_the_first_is_told(tmp_path: Path) -> None:
    """The second takes over, as a new machine does; the first then spends nothing, until somebody
    says which it is to be."""
    seen = memory()
    made: Any = seen.destination

    async def main(sandbox: Sandbox) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        await export(sandbox, one, LEADS, place=seen.destination)
        sandbox.insert("Leads", {"Last_Name": "Boyle"})
        done = await export(sandbox, two, LEADS, place=seen.destination)
        assert done.only().status == "done"
        assert any("of another output folder" in note for note in done.told("note"))
        done = await export(sandbox, one, LEADS, place=seen.destination)
        error = done.only().error
        assert error is not None
        assert error.code == "PUBLISH_CONFLICT"
        assert done.log == []
        assert (await export(sandbox, two, LEADS, place=seen.destination)).only().status == "done"
        deals = Export(module="Deals", name="Leads")
        done = await export(sandbox, tmp_path / "three", deals, place=seen.destination)
        error = done.only().error
        assert error is not None
        assert "is of the module Leads, not of Deals" in error.message
        assert done.log == []
        del made.files["Leads/latest.json"]
        assert (await export(sandbox, one, LEADS, place=seen.destination)).only().status == "done"

    exporting(main, org(records=8))
