"""docs/faults.md says what happens."""

from __future__ import annotations

import pytest
from tests.support.fault_table import PATH, document

from bulkfetch.sandbox import FAULTS


@pytest.mark.slow
def test_the_table_of_faults_is_true() -> None:
    """Every row of docs/faults.md is what becomes of such a job in a real run.

    `python -m tests.support.fault_table` writes the document anew.
    """
    written, found = PATH.read_text(encoding="utf-8"), document()
    assert found.splitlines() == written.splitlines()


def test_the_table_names_every_fault_of_the_sandbox() -> None:
    """A fault that the sandbox learns has a row, and there are never fewer than sixty."""
    rows = [line for line in PATH.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    names = {row.split("`")[1] for row in rows}
    assert set(FAULTS) <= names
    assert len(names) == len(rows) >= 150
