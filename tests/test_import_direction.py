"""Imports point one way: each room uses only those before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bulkfetch

SOURCE = Path(bulkfetch.__file__).parent

# Top to bottom. A room may import from itself and from the rows above its own.
ROOMS = [
    {"errors", "clock", "secret", "filenames", "text", "quota", "state_dir"},
    {"models", "disk", "events", "extras"},
    {"config"},
    {"zoho"},
    {"ratelimit"},
    {"control"},
    {"download"},
    {"archive"},
    {"destination"},
    {"journal"},
    {"exports"},
    {"pipeline"},
    {"waiting"},
    {"prepared"},
    {"exporter"},
    {"job_forms", "destinations"},
    {"services"},
    {"readiness", "access"},
    {"wiring", "tasks"},
    {"single"},
    {"client"},
    {"fleet"},
    {"observe"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
ALONE = {"sandbox"}  # imports nothing of the rest; the rest may import it


def _room(path: Path) -> str:
    part = path.relative_to(SOURCE).parts[0]
    return part.removesuffix(".py")


def _imports(path: Path) -> set[str]:
    """The rooms of bulkfetch that a module imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "bulkfetch":
                room = rest.partition(".")[0] if rest else "__init__"
                rooms.add(room if (SOURCE / room).exists() or _is_module(room) else "__init__")
    return rooms


def _is_module(room: str) -> bool:
    return (SOURCE / f"{room}.py").exists()


MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_rooms_above_it(path: Path) -> None:
    """A module imports only from its own room and from rooms that stand above it."""
    room = _room(path)
    if room in ALONE:
        assert _imports(path) <= {room}
        return
    level = next(at for at, rooms in enumerate(ROOMS) if room in rooms)
    allowed = set().union(*ROOMS[:level]) | {room} | ALONE
    assert _imports(path) <= allowed


def test_every_room_has_a_place_in_the_order() -> None:
    """No room stands outside the order."""
    known = set().union(*ROOMS) | ALONE
    assert {_room(path) for path in MODULES} <= known
