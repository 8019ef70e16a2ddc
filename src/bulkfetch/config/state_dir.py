"""Where this user's state lives: the machine-wide window, shared tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_dir(env: Mapping[str, str]) -> Path | None:
    """Give the state directory, BULKFETCH_STATE_DIR first; None where this user has none.

    Nothing is created. None happens for users without a home, as in some containers.
    """
    if given := env.get("BULKFETCH_STATE_DIR", "").strip():
        return Path(given).absolute()
    import platformdirs  # late: only a run needs it, `--help` does not

    found = platformdirs.user_state_path("bulkfetch", appauthor=False)
    return found if found.is_absolute() else None
