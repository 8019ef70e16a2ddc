"""The exports of a trial: one of some accounts, and whether they came to what was served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bulkfetch.config.fleet import ExportKey
from bulkfetch.sandbox import Sandbox

MODULE = "Leads"
# Few, for their pages come one after the other and take slots of their accounts.
MOST_EXPORTS, PAGES = 3, 2


def exports_of(accounts: Sequence[str]) -> list[ExportKey]:
    """Return one export of each account."""
    return [ExportKey(account, MODULE) for account in accounts]


def settings_of(exports: Sequence[ExportKey]) -> str:
    """Return the tables of FLEET.toml for them."""
    return "".join(
        f'[[exports]]\nmodule = "{MODULE}"\naccount = "{export.account}"\n' for export in exports
    )


def is_as_served(folder: Path, served: Sandbox) -> bool:
    """Return whether an export is published below a folder, all pages as they were served."""
    try:
        latest = json.loads((folder / "latest.json").read_text())
        parts = json.loads((folder / latest["manifest"]).read_text())["parts"]
        files = [(folder / latest["folder"] / part["file"]).read_bytes() for part in parts]
    except FileNotFoundError:
        return False
    wanted = [served.file_of(part["job_id"]) for part in parts]
    return files == wanted and len(parts) == PAGES
