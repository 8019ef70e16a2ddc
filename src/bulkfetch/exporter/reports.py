"""What became of an export in one command."""

from __future__ import annotations

from dataclasses import dataclass

from bulkfetch.models import Failure, Outcome, Status


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How an export ended: done (published), failed, or pending (another call goes on with it).

    `mode` is "full" or "changes", None where it did not begin. `parts` are the pages that were
    brought home, under their final paths once it is done; `records` is their sum, None if unknown.
    `manifest` is the path of manifest.json, None unless done. The cursor is when the service
    accepted the first page, in its own words, and that of the export before; None if unknown.
    Credits are the sum over all runs. `skipped`: an earlier call of the same command has done it.
    """

    name: str
    account: str
    status: Status
    mode: str | None = None
    parts: tuple[Outcome, ...] = ()
    records: int | None = None
    manifest: str | None = None
    cursor_from: str | None = None
    cursor_to: str | None = None
    credits_spent: int = 0
    credits_wasted: int = 0
    error: Failure | None = None
    warnings: tuple[str, ...] = ()
    skipped: bool = False
