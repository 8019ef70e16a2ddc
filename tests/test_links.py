"""Every link of the Markdown files leads to something."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)


def _prose(text: str) -> str:
    """Return Markdown without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Return the targets of inline links, images, reference definitions and HTML attributes."""
    prose = re.sub(r"`[^`\n]*`", "`", _prose(text))
    inline = re.findall(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", prose)
    references = re.findall(r"^ {0,3}\[[^\]]+\]:\s+<?([^>\s]+)", prose, re.MULTILINE)
    attributes = re.findall(r"\b(?:src|href)=\"([^\"]+)\"", prose)
    return [*inline, *references, *attributes]


def anchors(text: str) -> set[str]:
    """Return the fragments that headings have where Markdown is shown, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", _prose(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_something(path: Path) -> None:
    """A relative link names a file or folder of the project, its fragment a heading there."""
    text = path.read_text(encoding="utf-8")
    for link in links(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, fragment = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT.resolve()), link
        assert target.exists(), link
        if fragment and target.suffix == ".md":
            assert fragment in anchors(target.read_text(encoding="utf-8")), link


def test_links_and_anchors_are_found_in_every_form() -> None:
    """Links, images, references and attributes are seen; code is not; headings may repeat."""
    text = (
        '# A `b`, c\n[x](one.md) ![y](two.svg "t") `[no](no.md)`\n'
        '```\n[no](no.md)\n# no\n```\n[r]: <three.md>\n<img src="four.png">\n## Twice\n## Twice\n'
    )
    assert links(text) == ["one.md", "two.svg", "three.md", "four.png"]
    assert anchors(text) == {"a-b-c", "twice", "twice-1"}
    assert {ROOT / "README.md", ROOT / "docs/faults.md"} <= set(DOCUMENTS)
