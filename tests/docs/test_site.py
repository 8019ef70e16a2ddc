"""The site has every page; `.ci/docs` builds it."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_each_page_stands_in_the_table() -> None:
    """A page that docs/index.md does not name cannot be found on the site, which fails to build."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    tables = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    entries = [
        entry for table in tables for entry in re.findall(r"^[\w/*-]+$", table, re.MULTILINE)
    ]
    named = {page for entry in entries for page in DOCS.glob(f"{entry}.md")}
    assert set(DOCS.rglob("*.md")) == named | {DOCS / "index.md"}
