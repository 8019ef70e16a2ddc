"""Something else than a file in the place of one of bulkfetch's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.db", "lock"])
@pytest.mark.parametrize(
    "put",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: Path(path).symlink_to("/dev/null"),
        lambda path: Path(path).symlink_to("/dev/zero"),
    ],
    ids=["pipe", "folder", "null", "zero"],
)
def test_what_is_no_file_is_told_at_once(
    program: Program, call: Callable[..., Ended], name: str, put: Callable[[Path], object]
) -> None:
    """Nobody waits for a pipe's other end, nor reads a device: exit 3, and the thing is named."""
    state = program.folder / "exports" / ".bulkfetch"
    state.mkdir(parents=True)
    put(state / name)
    settings = program.settings('out = "exports"')
    commands = [("run", settings, IDS[0]), ("check", settings), ("status", "exports")]
    if name == "journal.db":
        commands += [("verify", "exports"), ("plan", settings, IDS[0])]
    for command in commands:
        ended = call(*command)
        assert ended.status == 3, (command, ended)
        assert f"exports/.bulkfetch/{name}" in ended.out + ended.err
    assert not any((program.folder / "exports").glob("*.csv"))
