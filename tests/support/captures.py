"""A session on a real terminal, as text: makes the captures in docs/how-to-read-the-screen.md.

    python -m tests.support.captures

The list, and what the sandbox does to each result, are always the same: some are published, one is
not there, one comes slowly, two have stopped. The capture is taken when the screen says so of both;
then Ctrl-C is typed, twice.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.support.programs import Program
from tests.support.screens import shown
from tests.support.terminals import Terminal

PAGE = Path(__file__).parents[2] / "docs" / "how-to-read-the-screen.md"
WIDTHS = (80, 200)
_NAMES = ("Leads", "Contacts", "Accounts", "Deals", "Tasks", "Calls")
_IDS = [f"55402300000056800{number}" for number in range(1, 7)]
_SLOW, _STOPPED, _SILENT = _IDS[3:]
_GONE = "554023000000990404"
_SETTINGS = f"""
[account]
data_center = "sandbox"
[sandbox]
records = 2000
bandwidth_bytes_per_s = 400_000
[sandbox.jobs.{_SLOW}]
payload_bytes = 20_000_000
[sandbox.faults]
{_STOPPED} = ["stall_in_body"]
{_SILENT} = ["stall_before_head"]
"""
_STILL = "no byte for"
# As the installed program calls itself.
_START = "import sys; sys.argv[0] = 'bulkfetch'; from bulkfetch.cli import main; sys.exit(main())"


class Session(NamedTuple):
    """What a terminal has shown of a run: while it was under way, and after it was stopped."""

    under_way: str
    stopped: str


def session(columns: int) -> Session:
    """Run the list on a terminal of so many columns, and return what was shown."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program(Path(folder), {"TERM": "xterm", "NO_COLOR": "1"})
        program.command = (sys.executable, "-c", _START)
        named = zip(_IDS, _NAMES, strict=True)
        jobs = "".join(f'[[jobs]]\nid = "{job}"\nname = "{name}"\n' for job, name in named)
        gone = f'[[jobs]]\nid = "{_GONE}"\n'
        (program.folder / "jobs.toml").write_text(_SETTINGS + jobs + gone)
        terminal = Terminal(program, "run", "jobs.toml", columns=columns)
        try:
            terminal.read_while(lambda text: not _is_ready(shown(text, columns)))
            under_way = shown(terminal.text, columns)
            terminal.type("\x03")
            terminal.read_until("press Ctrl-C again")
            time.sleep(0.5)  # two signals at once count as one
            terminal.type("\x03")
            terminal.read_all()
            return Session(under_way, shown(terminal.text, columns))
        finally:
            terminal.close()
            program.close()


def _is_ready(text: str) -> bool:
    """Whether the two that have stopped say so, all else is done, and the frame is whole."""
    return (
        text.count(_STILL) == 2
        and "3 of 7 jobs done" in text
        and "in flight" in text.splitlines()[-1]
    )


def sessions() -> dict[int, Session]:
    """Return a session on each width, side by side."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(WIDTHS, pool.map(session, WIDTHS), strict=True))


def captures(made: dict[int, Session]) -> list[str]:
    """Return the captures in the order of the page."""
    narrow, wide = (made[width] for width in WIDTHS)
    return [f"$ bulkfetch run jobs.toml\n{text}" for text in (narrow[0], wide[0], wide[1])]


def on_page() -> list[str]:
    """Return the captures that the page has."""
    return re.findall(r"^```text\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def normal(capture: str) -> list[str]:
    """Return what two sessions have in common: no figures, nothing that hangs on their moment."""
    lines = []
    for line in capture.splitlines():
        # Of the figures below the bar the first two are there at any width.
        line = " · ".join(line.split(" · ")[:2])
        line = re.sub(r"[0-9][0-9.,]*", "0", line)
        line = re.sub(r"\b[kMG]B\b", "B", line)
        lines.append(re.sub(r"[━╸╺ ]+", " ", line).strip())
    return sorted(filter(None, lines))


def main() -> None:
    """Write the captures into the page."""
    new = iter(captures(sessions()))
    text = PAGE.read_text("utf-8")
    fence = re.compile(r"^```text\n.*?^```", re.MULTILINE | re.DOTALL)
    PAGE.write_text(fence.sub(lambda _: f"```text\n{next(new)}```", text), "utf-8")


if __name__ == "__main__":
    main()
