"""Packages that only some runs need; each extra of bulkfetch installs one."""

from __future__ import annotations

import re
from importlib.util import find_spec

from bulkfetch.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def require_extra(extra: str, needed_by: str, *, otherwise: str = "") -> None:
    """Raise ConfigError, which says what it is needed by, where an extra's package is missing.

    The hint says how to install the package, as bulkfetch's own metadata want it, and `otherwise`.
    The package is not imported: a run that ends before it is used is not held up.
    """
    requirement = _requirement(extra)
    package = _NAME.match(requirement)
    assert package is not None, "a requirement begins with a name"
    if find_spec(package[0].replace("-", "_")) is None:
        raise ConfigError(
            f"{needed_by} {package[0]}, which is not installed",
            hint=f"Install it: pip install '{requirement}'{otherwise}.",
        )


def _requirement(extra: str) -> str:
    """Return what an extra installs, as pip takes it."""
    from importlib.metadata import requires  # late: most runs need no extra

    for requirement in requires("bulkfetch") or ():
        what, _, marker = requirement.partition(";")
        if re.search(rf"""extra == ['"]{extra}['"]""", marker):
            return what.strip()
    raise ValueError(f"bulkfetch has no extra {extra}")
