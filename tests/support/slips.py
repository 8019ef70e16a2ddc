"""Mistakes in jobs.toml, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkfetch import load_settings
from bulkfetch.errors import ConfigError


def require_told(folder: Path, text: str, message: str, line: int | None, hint: str) -> ConfigError:
    """Load settings with a mistake, and see that one sentence leads to the very place.

    `line` None: whether a line is told does not matter. Returns the error.
    """
    path = folder / "jobs.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    error = caught.value
    assert error.message.startswith(f"{path}: {message}")
    assert line is None or error.message.endswith(f" (line {line})")
    assert hint in error.hint
    return error
