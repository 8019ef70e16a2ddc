"""docs/reference/output.md tells of every key that the commands that look and tidy write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]
OUTPUT = Path(__file__).parents[2] / "docs" / "reference" / "output.md"
GONE = "554023000000990404"


def told() -> dict[tuple[str, str], set[str]]:
    """The keys of each command's records, by its name and their type."""
    section = OUTPUT.read_text(encoding="utf-8").split("\n## Other commands\n", 1)[1]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    return {
        (command, kind): set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", keys)))
        for command, kind, keys in rows
    }


@pytest.mark.slow
def test_every_key_is_told(program: Program, call: Call) -> None:
    """What each command writes has the keys that the page tells, and no others."""
    settings = program.settings()
    assert program.run("run", settings, IDS[0], GONE).status == 1
    staging = program.folder / "exports/.bulkfetch/staging"
    (staging / f"default.{IDS[0]}.zip").write_bytes(b"PK")
    table = told()
    seen = set()
    for words in (
        ["status", "exports", "--json"],
        ["verify", "exports", "--json"],
        ["plan", settings, IDS[1], "--json"],
        ["check", settings, "--json"],
        ["clean", "exports", "--json"],
        ["forget", "exports", GONE, "--json"],
        ["forget", "exports", "--server", "default", "--json"],
    ):
        for record in call(*words).records:
            kind = words[0], record["type"]
            if kind in table:
                seen.add(kind)
                optional = {"pid", "since"} if record["type"] == "lock" else set()
                assert set(record) - {"type"} == table[kind] - optional, kind
    # Beside a run: tests/cli/test_cli_status_lists.py. Of a real account: test_cli_without_file.py.
    elsewhere = {("status", "transfer"), ("status", "list"), ("plan", "window")}
    assert seen == set(table) - elsewhere
