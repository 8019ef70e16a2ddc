"""The pages of the reference say what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from docs.extension.errors_text import errors_text
from docs.extension.settings_text import settings_text

from bulkfetch.config.schema import fleet_schema, json_schema
from bulkfetch.errors import BulkfetchError
from bulkfetch.models import ExportReport, Failure, Outcome, Report
from bulkfetch.observe.export_words import export_record
from bulkfetch.observe.records import summary_record

ROOT = Path(__file__).parents[2]
OUTPUT = (ROOT / "docs" / "reference" / "output.md").read_text(encoding="utf-8")


def told_keys(title: str) -> list[str]:
    """The keys that a section of the page about the output tells of."""
    section = OUTPUT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [key for row in rows for key in re.findall(r"`(\w+)`", row)]


def test_the_settings_have_every_table_and_key_of_the_example() -> None:
    """Whatever jobs.example.toml sets or mentions has a row, below the heading of its table."""
    text = "\n".join(settings_text(json_schema()))
    example = (ROOT / "jobs.example.toml").read_text(encoding="utf-8")
    keys = set(re.findall(r"^(?:# )?(\w+) += ", example, re.MULTILINE))
    assert len(keys) > 40
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    headings = re.findall(r"^## `?(.*?)`?$", text, re.MULTILINE)
    assert {"At top level", "[account.window]", "[[jobs]]", "[[exports]]"} <= set(headings)
    assert {"[accounts.NAME]", "[sandbox]", "[limits]"} <= set(headings)
    assert len(headings) == len(set(headings))


def test_the_settings_of_a_fleet_have_every_key_of_their_example() -> None:
    """Whatever fleet.example.toml sets or mentions has a row."""
    text = "\n".join(settings_text(fleet_schema()))
    example = (ROOT / "fleet.example.toml").read_text(encoding="utf-8")
    keys = set(re.findall(r"^(?:# )?(\w+) += ", example, re.MULTILINE))
    assert keys >= {"database", "store", "turn_s", "env_prefix", "requests"}
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_the_defaults_of_the_settings_are_toml() -> None:
    """A default can be copied into jobs.toml as it stands."""
    rows = re.findall(
        r"^\| `(\w+)` \| .*? \| `([^`]+)` \| [^|]*\|$",
        "\n".join(settings_text(json_schema())),
        re.MULTILINE,
    )
    assert ("zip_bytes", '"4 GiB"') in rows
    for key, default in rows:
        assert key in tomllib.loads(f"{key} = {default}")


def test_the_errors_are_all_there() -> None:
    """Each code of an error class has a heading; its hint stands below it."""

    def codes(kind: type[BulkfetchError]) -> set[str]:
        own = {kind.code} if "code" in vars(kind) else set()
        return own.union(*map(codes, kind.__subclasses__()))

    lines = errors_text()
    headings = [line[4:] for line in lines if line.startswith("### ")]
    assert sorted(headings) == sorted(codes(BulkfetchError) - {"ERROR"})
    locked = lines.index("### LOCKED")
    assert (
        lines[locked + 4]
        == "**Hint:** Wait for the other run to end, or use another output folder."
    )


def test_the_output_has_every_key() -> None:
    """The page tells of each key of each record, and of no other, in the order of the records."""
    outcome = Outcome(
        "1",
        "default",
        "failed",
        error=Failure("ZIP_UNSAFE", "words"),
        export="Leads",
        page=1,
        skipped=True,
        missing=True,
        superseded_by="2",
        quarantine="q",
    )
    assert told_keys("Job") == list(outcome.to_dict())
    report = ExportReport("Leads", "default", "failed", skipped=True)
    assert told_keys("Export") == list(export_record(report))
    assert told_keys("Summary") == list(summary_record(Report(), 0, {}))
