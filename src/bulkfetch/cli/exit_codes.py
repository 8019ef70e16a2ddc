"""The exit statuses: they never change, so that scripts can rely on them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bulkfetch.models import ExportReport, Report

DONE = 0
FAILED = 1
USAGE = 2
ABORTED = 3
INTERRUPTED = 130  # by a signal, or stdout was closed


def epilog(**meanings: str) -> str:
    """Return the end of a help page: the meaning of each exit status, given as `s0="…"`."""
    lines = [f"  {name.removeprefix('s'):>3}  {meaning}" for name, meaning in meanings.items()]
    return "\n".join(["\b", "Exit status:", *lines, ""])


EPILOG = epilog(
    s0="all done",
    s1="the run finished, some jobs failed",
    s2="usage or configuration error: nothing was started",
    s3="aborted (credentials, disk, lock), or not ready in time: safe to run again",
    s130="interrupted, or stdout was closed: safe to run again",
)


def exit_status(report: Report, exports: Sequence[ExportReport] | None = None) -> int:
    """Return the exit status for a report; of `exports` those count that have ended, not pages."""
    if exports is None:
        return report.exit_status
    statuses = [each.status for each in exports]
    counted = replace(report, pending=statuses.count("pending"), failed=statuses.count("failed"))
    return counted.exit_status
