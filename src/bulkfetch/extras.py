"""Packages that only some runs need, which the extras install."""

from __future__ import annotations

from importlib.util import find_spec

from bulkfetch.errors import ConfigError


def require_package(package: str, needed_by: str, hint: str) -> None:
    """Raise ConfigError, which says what it is needed by, where a package is not installed.

    The package is not imported: a run that ends before it is used is not held up.
    """
    if find_spec(package) is None:
        raise ConfigError(f"{needed_by} {package}, which is not installed", hint=hint)
