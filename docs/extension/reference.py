"""The parts of the reference that are made from the code: directives, and help as it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from errors_text import errors_text
from settings_text import settings_text
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bulkfetch.config.schema import fleet_schema, json_schema


class _Generated(SphinxDirective, ABC):
    """Reads what `text` returns as if it stood in the page."""

    @abstractmethod
    def text(self) -> list[str]:
        """Return the lines of a page."""

    def run(self) -> list[nodes.Node]:
        place, _ = self.get_source_info()
        return self.parse_text_to_nodes(
            StringList(self.text(), source=place), allow_section_headings=True
        )


class SettingsDirective(_Generated):
    """`settings-reference`: every table and key of jobs.toml."""

    def text(self) -> list[str]:
        return settings_text(json_schema())


class FleetSettingsDirective(_Generated):
    """`fleet-settings-reference`: every table and key of FLEET.toml."""

    def text(self) -> list[str]:
        return settings_text(fleet_schema())


class ErrorsDirective(_Generated):
    """`errors-reference`: every error with its code and hint."""

    def text(self) -> list[str]:
        return errors_text()


def examples_as_code(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Show what a help page keeps as it stands (its examples, its exit statuses) as code.

    sphinx-click gives it as a block of lines, in which a terminal's columns are lost.
    """
    kept: list[str] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("| "):
            block.append(line[2:])
            continue
        if block:
            kept += [f"**{block[0].strip().rstrip(':')}**", "", ".. code-block:: text", ""]
            kept += [f"   {each.strip() if 'Exit' not in block[0] else each}" for each in block[1:]]
            kept += [""]
            block = []
        kept.append(line)
    lines[:] = kept


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives and the hooks."""
    app.add_directive("settings-reference", SettingsDirective)
    app.add_directive("fleet-settings-reference", FleetSettingsDirective)
    app.add_directive("errors-reference", ErrorsDirective)
    app.connect("sphinx-click-process-description", examples_as_code)
    app.connect("sphinx-click-process-epilog", examples_as_code)
    return {"parallel_read_safe": True}
