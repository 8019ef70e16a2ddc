"""systemd takes the units that the how-to tells people to write."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to-export-every-night.md"
UNITS = dict(
    re.findall(
        r"^```ini\n# /etc/systemd/system/(\S+)\n(.*?)^```",
        HOW_TO.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


def test_the_timer_starts_the_service() -> None:
    """The two units have the names by which one finds the other."""
    assert sorted(UNITS) == ["crm-export.service", "crm-export.timer"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about them, but of what is not installed."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    for name, text in UNITS.items():
        # A command that is there: whether it exists is looked at too.
        text = text.replace("/srv/crm/.venv/bin/bulkfetch", "/bin/true")
        (tmp_path / name).write_text(text.replace("User=crm\n", "User=root\n"))
    got = subprocess.run(
        [analyze, "verify", "--man=no", *(str(tmp_path / name) for name in sorted(UNITS))],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    own = [line for line in got.stderr.splitlines() if "crm-export" in line]
    assert (got.returncode, own) == (0, []), got.stderr
