"""docs/architecture.md names what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import bulkfetch

ROOT = Path(__file__).parent.parent
SOURCE = Path(bulkfetch.__file__).parent
ARCHITECTURE = "docs/architecture.md"


def named(document: str) -> list[str]:
    """Return what a document puts between backticks, blocks of code left out."""
    text = (ROOT / document).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def classes() -> set[str]:
    """Return the names of all classes of the package."""
    return {
        node.name
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


@pytest.mark.parametrize("document", [ARCHITECTURE, "CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_between_backticks_is_there(document: str) -> None:
    """A lower-case path is one of the project, or of the package."""
    paths = [each for each in named(document) if re.fullmatch(r"[a-z_.]+/[a-z_./]*", each)]
    assert paths
    for path in paths:
        assert (ROOT / path).exists() or (SOURCE / path).exists(), path


@pytest.mark.slow
def test_every_class_between_backticks_is_there() -> None:
    """A capitalized word is a class of the package."""
    names = {each for each in named(ARCHITECTURE) if re.fullmatch(r"([A-Z][a-z]+)+", each)}
    assert len(names) >= 10
    assert names <= classes()


def test_no_module_is_long() -> None:
    """A module holds one thought, which 400 lines are enough for."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in SOURCE.rglob("*.py")}
    assert not {path: count for path, count in lines.items() if count > 400}


def test_every_room_has_its_row() -> None:
    """The table of rooms names each package and module at the top of the source."""
    text = (ROOT / ARCHITECTURE).read_text(encoding="utf-8")
    rooms = text.split("\n## The rooms\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`.*?`) \|", rooms, re.MULTILINE)
    told = {each.strip("`/") for cell in cells for each in cell.split()}
    there = {
        path.stem
        for path in SOURCE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert told == there - {"__init__", "__main__"}
