"""What docs/how-to-publish-to-a-bucket.md shows works as it stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.support.destinations import AWS_ENV
from tests.support.moto_server import MotoServer
from tests.support.programs import IDS, Program

from bulkfetch.config import Settings, load_settings
from bulkfetch.exporter.wanted import wanted_exports

TEXT = (Path(__file__).parents[2] / "docs" / "how-to-publish-to-a-bucket.md").read_text("utf-8")
RECORDS = 20


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_of_settings_is_read(tmp_path: Path) -> None:
    """Each loads, with what is commented out too, and says what the page says that it does."""
    one, several = (loaded(tmp_path, block) for block in blocks("toml"))
    assert one.publish_to == "s3://lake/zoho/crm"
    assert one.destination.endpoint == "https://s3.example.com"
    assert {place.url for place in several.places} == {
        "s3://lake/zoho/emea",
        "s3://lake-us/zoho",
        "gs://finance/crm",
    }
    assert [each.bucket for each in wanted_exports(several, [])] == [
        "s3://lake/zoho/emea",
        "gs://finance/crm",
    ]


def loaded(folder: Path, block: str) -> Settings:
    """Load a block of settings."""
    (folder / "jobs.toml").write_text(re.sub(r"^# ", "", block, flags=re.MULTILINE))
    return load_settings(folder / "jobs.toml", {})


@pytest.fixture
def in_the_bucket(tmp_path: Path, moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket as the page says, with one result in each format; its readers' environment."""
    program = Program(tmp_path, dict(AWS_ENV))
    program.settings(
        'formats = ["csv", "csv.gz", "parquet"]\npublish_to = "s3://lake/zoho/crm"\n'
        f'[destination]\nendpoint = "{moto.url}"\nregion = "eu-central-1"\n'
    )
    with (tmp_path / "jobs.toml").open("a") as file:
        file.write(f'\n[[jobs]]\nid = "{IDS[0]}"\nname = "Leads"\n')
    ended = program.run("run", "jobs.toml")
    program.close()
    assert ended.status == 0, ended.err
    reader = {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": moto.url, "AWS_ALLOW_HTTP": "true"}
    for name, value in (AWS_ENV | reader).items():
        monkeypatch.setenv(name, value)


def values(block: str) -> list[object]:
    """Run the lines of a block, and return the values of those that have one."""
    known: dict[str, object] = {}
    found = []
    for line in filter(None, block.splitlines()):
        if isinstance(ast.parse(line).body[0], ast.Expr):
            found.append(eval(line, known))
        else:
            exec(line, known)
    return [value for value in found if value is not None]


@pytest.mark.slow
@pytest.mark.usefixtures("in_the_bucket")
def test_polars_reads_the_bucket() -> None:
    """The page's lines count the records of each format."""
    pytest.importorskip("polars", reason="polars is not installed here")
    (lines,) = (block for block in blocks("python") if "polars" in block)
    assert values(lines) == [RECORDS] * 3


@pytest.mark.slow
@pytest.mark.usefixtures("in_the_bucket")
def test_duckdb_reads_the_bucket() -> None:
    """The page's lines count the records of each format."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    pytest.importorskip("fsspec", reason="fsspec is not installed here")
    (lines,) = (block for block in blocks("python") if "duckdb" in block)
    try:
        assert values(lines) == [[(RECORDS,)]] * 3
    finally:
        duckdb.unregister_filesystem("s3")
