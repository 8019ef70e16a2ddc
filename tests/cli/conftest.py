from pathlib import Path

import pytest
from tests.support.programs import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program in an empty folder."""
    return Program(tmp_path)
