"""No class name stands twice: a name says which class is meant, wherever it is read."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import bulkfetch

SOURCE = Path(bulkfetch.__file__).parent


@pytest.mark.slow
def test_no_class_name_stands_twice() -> None:
    """Each class of the package has a name of its own."""
    places = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    assert not {name: found for name, found in places.items() if len(found) > 1}
