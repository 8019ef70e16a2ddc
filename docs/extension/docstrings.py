"""Docstrings, which are plain text, as reStructuredText for autodoc."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def as_restructured(
    app: Sphinx, what: str, name: str, held: Any, options: Any, lines: list[str]
) -> None:
    """Make code of what stands in single backquotes, and a block of code of what is indented."""
    made: list[str] = []
    in_code = False
    for line in lines:
        # Right below a line it is a section such as `Args:`, which napoleon reads.
        indented = line.startswith("    ") and (in_code or not (made and made[-1].strip()))
        if indented and not in_code:
            made += ["", "::", ""]
        if in_code and line.strip() and not indented:
            made.append("")
        in_code = indented or (in_code and not line.strip())
        # A plural stands right behind its code: `Job`s.
        made.append(line if in_code else _CODE.sub(r"``\1``\\ ", line))
    lines[:] = made


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the hook."""
    app.connect("autodoc-process-docstring", as_restructured)
    return {"parallel_read_safe": True}
