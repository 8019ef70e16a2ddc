"""Every form of every sound archive holds its file, and is read by what people read it with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.seen_forms import see_forms
from tests.support.zip_cases import Honest, honest

from bulkfetch.archive import ArchivedFile, ExtractLimits, inspect

CSVS = {what: case for what, case in honest().items() if case.suffix == ".csv"}
LIMITS = ExtractLimits(file_bytes=1 << 40)

pytestmark = [
    pytest.mark.slow,  # readers take their time to be imported
    pytest.mark.skipif(shutil.which("gzip") is None, reason="gzip is not installed here"),
]


@pytest.mark.parametrize("case", CSVS.values(), ids=CSVS)
def test_every_form_of_every_sound_archive(case: Honest, tmp_path: Path) -> None:
    """Bytes, or cells, are those of the file; records are counted as by the csv module.

    gzip, DuckDB, polars and pandas read the csv.gz. Only a file of no or too many columns is no
    table.
    """
    archive = tmp_path / "in.zip"
    archive.write_bytes(case.archive)
    is_table = see_forms(
        ArchivedFile(archive, inspect(archive, LIMITS), LIMITS), case.data, tmp_path
    )
    assert is_table == (0 < case.data.partition(b"\n")[0].count(b",") < 10_000)
