"""The fenced blocks of the documents: what each is, and whether a run showed what it tells.

A comment right above a block says what no default says:

* `<!-- not run: WHY -->`: nobody runs it.
* `<!-- run by: tests/FILE.py::TEST -->`: that test does.
* `<!-- file: NAME -->`: it is written into the folder of its page, for the commands below it.
* `<!-- setup: COMMANDS -->`, which needs no block: run as `sh`, and not shown to readers.

Without one, by its language: `sh` is run; `console` is run, and what it answers compared, where
`…` stands for anything, alone on a line for any lines; `python` is run as a script; `toml` is a
jobs.toml, which loads, and which the commands below it find; `json` is JSON, whole or line by line.
All blocks of a page run in one folder, in their order, each in a shell of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_COMMENT = re.compile(r"<!--\s*(not run|run by|file|setup):\s*(.*?)\s*-->", re.DOTALL)
_BY_DEFAULT = ("sh", "console", "python", "toml", "json")


@dataclass(frozen=True)
class Fence:
    """One block: its place, its language ("" for a setup), and the comment above it."""

    place: str
    language: str
    text: str
    kind: str = ""
    words: str = ""

    @property
    def is_told_of(self) -> bool:
        """Whether it is run, or says why not."""
        return self.language in _BY_DEFAULT if not self.kind else bool(self.words)

    @property
    def is_run(self) -> bool:
        """Whether the run of its page has something to do for it."""
        return self.kind in ("", "file", "setup")


def fences(path: Path) -> list[Fence]:
    """Return the blocks of a page in their order; without those that only the site reads."""
    return list(_fences(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))))


def _fences(text: str, name: str) -> Iterator[Fence]:
    kind = words = ""
    for token in MarkdownIt("commonmark").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and (found := _COMMENT.search(token.content)):
            kind, words = found.groups()
            if kind == "setup":
                yield Fence(f"{name}:{line}", "", words, kind, words)
                kind = ""
        elif token.type in ("fence", "code_block"):
            language = token.info.strip()
            if not language.startswith("{"):
                yield Fence(f"{name}:{line}", language, token.content, kind, words if kind else "")
            kind = ""
        elif token.type != "html_block":
            kind = ""


@dataclass(frozen=True)
class Step:
    """One command of a `console` block, and the lines that it should answer."""

    command: str
    answer: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """Return the commands of a `console` block."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return [Step(command, tuple(answer)) for command, answer in found]


def is_answer(told: tuple[str, ...], got: str) -> bool:
    """Return whether an answer is the one that is told of. Pure."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in told
    )
    return re.fullmatch(pattern, got if got.endswith("\n") or not got else f"{got}\n") is not None
