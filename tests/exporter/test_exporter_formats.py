"""The parts of exports in other formats than CSV."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.support.exporting import EPOCH, export, exporting, manifest, org
from tests.support.forms import rows_of

from bulkfetch import Export
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.models import Format
from bulkfetch.sandbox import Sandbox

LEADS = Export(module="Leads")
TYPED = ParquetSettings(types="fields")


def newest(out: Path, name: str) -> Path:
    """Return the folder that latest.json of an export names."""
    folder = json.loads((out / name / "latest.json").read_text())["folder"]
    return out / name / str(folder)


def records_of(folder: Path, ending: str) -> list[dict[str, str]]:
    """Return the records of all parts that end so, each cell as a text."""
    found = []
    for path in sorted(folder.glob(f"part-*{ending}")):
        header, *records = rows_of(path)
        found += [dict(zip(header, record, strict=True)) for record in records]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "formats", [("csv.gz",), ("parquet",), ("parquet", "csv", "csv.gz")], ids=" ".join
)
def test_parts_are_published_in_each_format(tmp_path: Path, formats: tuple[Format, ...]) -> None:
    """Each part in each format, named in the manifest with size and digest; all hold every row."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, formats=formats)
        report, told = seen.only(), manifest(tmp_path, "Leads")
        assert (report.status, report.records) == ("done", 20)
        assert [len(part.files) for part in report.parts] == [len(formats)] * 3
        folder = newest(tmp_path, "Leads")
        files = [file for part in told["parts"] for file in part["files"]]
        assert {path.name for path in folder.glob("part-*")} == {file["file"] for file in files}
        for part in told["parts"]:
            assert [file["format"] for file in part["files"]] == list(formats)
            assert part["file"] == part["files"][0]["file"]
            assert part["records"] == part["count"]
        for file in files:
            assert (folder / file["file"]).stat().st_size == file["bytes"]
            assert len(file["sha256"]) == 64
        assert [column["name"] for column in told["columns"]] == list(sandbox.rows("Leads")[0])
        for format_ in formats:
            assert records_of(folder, f".{format_}") == sandbox.rows("Leads")

    exporting(main)


@pytest.mark.slow
def test_columns_have_the_types_of_the_metadata(tmp_path: Path) -> None:
    """types = "fields" needs no file: the exporter has asked for the module's fields already."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, LEADS, formats=("parquet",), parquet=TYPED)
        folder = newest(tmp_path, "Leads")
        described = json.loads((folder / "schema.json").read_text())["columns"]
        expected = {
            column["name"]: {
                "text": "string",
                "boolean": "bool",
                "date": "date32[day]",
                "datetime": "timestamp[us, tz=UTC]",
                "integer": "int64",
                "number": "double",
            }[column["type"]]
            for column in described
        }
        assert "double" in expected.values()
        assert "timestamp[us, tz=UTC]" in expected.values()
        for path in folder.glob("part-*.parquet"):
            assert {field.name: str(field.type) for field in pq.read_schema(path)} == expected

    exporting(main)


def test_a_later_call_knows_the_types_as_well(tmp_path: Path) -> None:
    """A call that goes on with an export asks for the fields where types are wanted."""

    async def main(sandbox: Sandbox) -> None:
        status = "pending"
        while status == "pending":
            seen = await export(
                sandbox, tmp_path, LEADS, wait=0, formats=("parquet",), parquet=TYPED
            )
            status = seen.only().status
            await asyncio.sleep(300)
        assert status == "done"
        parts = newest(tmp_path, "Leads").glob("part-*.parquet")
        assert len({str(pq.read_schema(path)) for path in parts}) == 1
        assert "timestamp" in str(
            pq.read_schema(next(newest(tmp_path, "Leads").glob("*1.parquet")))
        )

    exporting(main)


def test_other_formats_in_between_have_the_parts_fetched_again(tmp_path: Path) -> None:
    """What an interrupted export had in other formats is fetched again, and not created again."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, LEADS, wait=0)
        await asyncio.sleep(300)
        begun = await export(sandbox, tmp_path, LEADS, wait=0)
        assert (begun.only().status, begun.count("result")) == ("pending", 1)
        seen = await export(sandbox, tmp_path, LEADS, formats=("csv.gz",))
        assert seen.only().status == "done"
        assert seen.count("result") == 3
        assert len(sandbox.created()) == 3
        folder = newest(tmp_path, "Leads")
        assert {path.suffix for path in folder.glob("part-*")} == {".gz"}
        assert records_of(folder, ".csv.gz") == sandbox.rows("Leads")

    exporting(main)


def test_calendars_stay_as_they_are(tmp_path: Path) -> None:
    """An export of calendars is one of .ics files, whatever the formats."""

    async def main(sandbox: Sandbox) -> None:
        events = Export(module="Events", file_type="ics")
        seen = await export(sandbox, tmp_path, events, formats=("csv.gz", "parquet"))
        assert seen.only().status == "done"
        (part, *_) = manifest(tmp_path, "Events")["parts"]
        assert [file["format"] for file in part["files"]] == ["ics"]

    exporting(main, org(ics_records=20))


@pytest.mark.slow
def test_an_export_without_a_change_has_a_part_without_records(tmp_path: Path) -> None:
    """No record, and the columns all the same: readers find one schema on every night."""

    async def main(sandbox: Sandbox) -> None:
        changes = Export(module="Leads", sync="changes")
        formats: tuple[Format, ...] = ("parquet",)
        await export(sandbox, tmp_path, changes, formats=formats)
        first = pq.read_schema(next(newest(tmp_path, "Leads").glob("*.parquet")))
        await asyncio.sleep(90_000)
        seen = await export(sandbox, tmp_path, changes, formats=formats)
        assert (seen.only().mode, seen.only().records) == ("changes", 0)
        (part,) = newest(tmp_path, "Leads").glob("*.parquet")
        assert pq.read_schema(part) == first
        assert pq.read_metadata(part).num_rows == 0

    exporting(main, org(epoch=EPOCH))
