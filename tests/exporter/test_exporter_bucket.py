"""Exports that are published in a bucket: what is there, and what a call after trouble does."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.support.destinations import AWS_ENV
from tests.support.exporting import export, exporting, org
from tests.support.s3_server import S3Server, error, s3_server

from bulkfetch import Export
from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.sandbox import Sandbox

pytestmark = pytest.mark.slow

LEADS = Export(module="Leads", sync="changes", deleted=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A bucket's server, and the credentials in the environment."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    with s3_server() as made:
        yield made


def bucket(server: S3Server, publish_to: str = "s3://lake/{account}/crm") -> dict[str, Any]:
    """Return the settings that publish in the bucket."""
    reach = DestinationSettings(region="eu-central-1", endpoint=server.url)
    return {"publish_to": publish_to, "destination": reach}


def newest(server: S3Server, home: str) -> tuple[str, dict[str, Any]]:
    """Return where an export's newest folder is, and its manifest; all that it names is there."""
    latest = json.loads(server.objects[f"{home}/latest.json"])
    told: dict[str, Any] = json.loads(server.objects[f"{home}/{latest['manifest']}"])
    for part in told["parts"]:
        for file in part["files"]:
            assert len(server.objects[key_of(file["url"])]) == file["bytes"]
    return f"{home}/{latest['folder']}", told


def key_of(url: str) -> str:
    """Return the key of an object of the bucket."""
    assert url.startswith("s3://lake/")
    return url.removeprefix("s3://lake/")


def rows(server: S3Server, told: dict[str, Any]) -> list[dict[str, str]]:
    """Read the rows of all parts, by the URLs of the manifest."""
    found: list[dict[str, str]] = []
    for part in told["parts"]:
        text = server.objects[key_of(part["url"])].decode()
        found += csv.DictReader(io.StringIO(text, newline=""))
    return found


def test_an_export_is_published_in_the_bucket(tmp_path: Path, server: S3Server) -> None:
    """Reports name URLs, `out` has nothing but the journal, and the next one exports changes."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, **bucket(server))
        home = "default/crm/Leads"
        folder, told = newest(server, home)
        report = seen.only()
        assert report.manifest == f"s3://lake/{folder}/manifest.json"
        paths = [file.path for part in report.parts for file in part.files]
        assert paths == [part["url"] for part in told["parts"]]
        assert rows(server, told) == sandbox.rows("Leads")
        assert told["deleted"]["url"] == f"s3://lake/{folder}/deleted.csv"
        names = ["deleted.csv", "manifest.json", *(part["file"] for part in told["parts"])]
        expected = {f"{folder}/{name}" for name in (*names, "schema.json")}
        assert set(server.objects) == expected | {f"{home}/latest.json"}
        assert [path.name for path in tmp_path.iterdir()] == [".bulkfetch"]
        assert list((tmp_path / ".bulkfetch" / "exports" / "Leads").iterdir()) == []
        seen = await export(sandbox, tmp_path, LEADS, **bucket(server))
        assert (seen.only().mode, seen.count("create")) == ("changes", 1)
        assert newest(server, home)[0].endswith("-changes")

    exporting(main)


def test_an_export_has_a_bucket_of_its_own(tmp_path: Path, server: S3Server) -> None:
    """One that names none goes where its account's files go, here to the output folder."""

    async def main(sandbox: Sandbox) -> None:
        own = Export(module="Leads", name="Own", publish_to="s3://lake/own/{account}")
        more = bucket(server) | {"publish_to": None}
        seen = await export(sandbox, tmp_path, own, Export(module="Leads"), **more)
        assert {each.status for each in seen.reports.values()} == {"done"}
        _, told = newest(server, "own/default/Own")
        assert rows(server, told) == sandbox.rows("Leads")
        here = json.loads((tmp_path / "Leads" / "latest.json").read_bytes())
        told = json.loads((tmp_path / "Leads" / here["manifest"]).read_bytes())
        assert "url" not in told["parts"][0]

    exporting(main, org(records=8))


@pytest.mark.parametrize("suffix", ["part-00001.csv", "manifest.json", "Leads/latest.json"])
def test_what_is_being_published_goes_on_where_it_was_begun(
    tmp_path: Path, server: S3Server, suffix: str
) -> None:
    """After a refusal nothing is asked of Zoho again, and publish_to may have changed meanwhile."""

    def refuse(request: web.Request) -> web.Response | None:
        return error(403, "AccessDenied") if request.path.endswith(suffix) else None

    async def main(sandbox: Sandbox) -> None:
        server.faults["PUT"] = refuse
        seen = await export(sandbox, tmp_path, LEADS, **bucket(server))
        assert seen.error is not None
        assert seen.error.code == "DESTINATION_REFUSED"
        assert seen.only().status == "pending"
        assert "default/crm/Leads/latest.json" not in server.objects
        server.faults.clear()
        seen = await export(sandbox, tmp_path, LEADS, **bucket(server, "s3://lake/elsewhere"))
        assert seen.count("create", "result") == 0
        _, told = newest(server, "default/crm/Leads")
        assert rows(server, told) == sandbox.rows("Leads")
        assert not [key for key in server.objects if key.startswith("elsewhere")]
        await export(sandbox, tmp_path, LEADS, **bucket(server, "s3://lake/elsewhere"))
        assert "elsewhere/Leads/latest.json" in server.objects

    exporting(main, org(records=8))


@pytest.mark.parametrize("publish_to", ["s3://lake/crm", "s3://no-such-lake/crm"])
def test_a_bucket_that_cannot_be_used_costs_no_credit(
    tmp_path: Path, server: S3Server, publish_to: str
) -> None:
    """It is looked at before anything is created: where it refuses, and where there is none."""
    server.faults["LIST"] = (
        (lambda _: error(403, "AccessDenied")) if "no-such" not in publish_to else lambda _: None
    )

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, **bucket(server, publish_to))
        assert seen.error is not None
        assert seen.error.code in ("DESTINATION_REFUSED", "DESTINATION_FAILED")
        assert seen.log == []

    exporting(main)


def test_a_latest_json_of_somebody_else_costs_no_credit(tmp_path: Path, server: S3Server) -> None:
    """The export is refused with its URL, nothing is created, and the other one is published."""
    server.objects["crm/Leads/latest.json"] = b'{"mine": 1}'

    async def main(sandbox: Sandbox) -> None:
        other = Export(module="Leads", name="Other")
        settings = bucket(server, "s3://lake/crm")
        seen = await export(sandbox, tmp_path, LEADS, other, **settings)
        report = seen.reports["Leads"]
        assert report.error is not None
        assert (report.status, report.error.code) == ("failed", "PUBLISH_CONFLICT")
        assert "s3://lake/crm/Leads/latest.json" in report.error.message
        assert (seen.reports["Other"].status, seen.count("create")) == ("done", 1)
        assert server.objects["crm/Leads/latest.json"] == b'{"mine": 1}'

    exporting(main, org(records=8))
