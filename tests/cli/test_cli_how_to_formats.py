"""What docs/how-to-choose-formats.md tells people to write does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.support.programs import IDS, Program

from bulkfetch.config import load_settings

TEXT = (Path(__file__).parents[2] / "docs" / "how-to-choose-formats.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the how-to's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def publish(program: Program, top: str, job: str) -> str:
    """Fetch one result with these settings; return what was told."""
    program.settings(top)
    with (program.folder / "jobs.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[jobs]]\nid = "{IDS[0]}"\n{job}\n')
    ended = program.run("run", "jobs.toml")
    assert ended.status == 0, ended.err
    return ended.err


def test_every_block_of_settings_is_read(tmp_path: Path) -> None:
    """No key of them is misspelt, and what one needs is there."""
    for number, text in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        assert "parquet" in load_settings(path, {}).formats


@pytest.mark.slow
def test_duckdb_reads_what_was_published(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The how-to's queries count the records of both files."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    publish(program, blocks("toml")[0], 'name = "Leads"')
    monkeypatch.chdir(program.folder)
    (queries,) = blocks("sql")
    with duckdb.connect() as database:
        answers = [database.execute(each).fetchall() for each in queries.split(";")[:2]]
    ((typed, _),), ((plain,),) = answers
    assert typed == plain > 0


@pytest.mark.slow
def test_polars_reads_what_was_published(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The how-to's lines count the records of both files."""
    pytest.importorskip("polars", reason="polars is not installed here")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    publish(program, blocks("toml")[0], 'name = "Leads"')
    monkeypatch.chdir(program.folder)
    (lines,) = blocks("python")
    *setting_up, typed, plain = lines.strip().splitlines()
    known: dict[str, object] = {}
    exec("\n".join(setting_up), known)
    assert eval(typed, known) == eval(plain, known) > 0


@pytest.mark.slow
def test_fields_of_zoho_type_the_columns(program: Program) -> None:
    """As the second block of settings says, with the answer of GET settings/fields in a file."""
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed here")
    (program.folder / "fields").mkdir()
    types = {"Annual_Revenue": "currency", "Created_Time": "datetime", "No_of_Employees": "boolean"}
    answer = {"fields": [{"api_name": name, "data_type": of} for name, of in types.items()]}
    (program.folder / "fields" / "Leads.json").write_text(json.dumps(answer))
    top, job = blocks("toml")[1].split("[[jobs]]")
    said = publish(program, top, job.strip().splitlines()[-1])
    schema = pq.read_schema(program.folder / "exports" / f"{IDS[0]}.parquet")
    found = {field.name: str(field.type) for field in schema}
    assert (found["Annual_Revenue"], found["Last_Name"]) == ("double", "string")
    assert found["Created_Time"] == "timestamp[us, tz=UTC]"
    assert found["No_of_Employees"] == "string"
    assert "hence these columns are text: No_of_Employees" in said
