"""References to public names lead to where they are documented: `bulkfetch.NAME`.

Signatures name a class by the module that holds it (`bulkfetch.models.Outcome`), which users need
not know.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import bulkfetch


def to_the_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | nodes.TextElement | None:
    """Return a reference to the public name; bare text for a name of Python's or of our own."""
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py":
        return None
    name = target.rpartition(".")[2]
    if name in bulkfetch.__all__ and target != f"bulkfetch.{name}":
        domain = env.get_domain("py")
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", f"bulkfetch.{name}", node, content
        )
    # Not documented here: the standard library, and what a signature names but nobody has to.
    return content if node.get("reftype") in ("class", "data", "obj", "exc") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the hook."""
    app.connect("missing-reference", to_the_public_name)
    return {"parallel_read_safe": True}
