"""Where this user's home and state are; in containers many users have neither."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def state_dir(env: Mapping[str, str]) -> Path | None:
    """Return the state directory, BULKFETCH_STATE_DIR first; None where this user has none.

    It holds the machine-wide window and shared tokens. Nothing is created. None happens for users
    without a home, as in some containers, also where the variable begins with `~`: who sets it
    outside of a shell leaves that to whoever reads it.
    """
    if given := env.get("BULKFETCH_STATE_DIR", "").strip():
        try:
            return expand_home(Path(given)).absolute()
        except RuntimeError:
            return None
    if not os.path.isabs(os.environ.get("XDG_STATE_HOME", "").strip()):
        if (found := home()) is None:
            return None
        if not os.path.isabs(os.environ.get("HOME", found)):
            # Some versions of platformdirs take an empty HOME for the root of the file system.
            return found / ".local" / "state" / "bulkfetch"
    import platformdirs  # late: only a run needs it, `--help` does not

    try:
        path = platformdirs.user_state_path("bulkfetch", appauthor=False)
    except RuntimeError:  # what some versions do where there is no home, others give "~/…"
        return None
    return path if path.is_absolute() else None


def home() -> Path | None:
    """Return this user's home: HOME, else what the user database says; None where there is none.

    A HOME that is empty or relative is none.
    """
    if os.path.isabs(given := os.environ.get("HOME", "")):
        return Path(given)
    try:
        import pwd

        found = pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        return None
    return Path(found) if os.path.isabs(found) else None


def expand_home(path: Path) -> Path:
    """Return a path with a leading `~` or `~user` replaced by that home.

    Raises RuntimeError where there is no such home.
    """
    if path.parts[:1] != ("~",):
        return path.expanduser()
    if (found := home()) is None:
        raise RuntimeError("this user has no home")
    return found.joinpath(*path.parts[1:])
