"""The exit status: fixed from the start, so that a cron job can trust it. Pure."""

from __future__ import annotations

from bulkfetch.models import Report

DONE = 0  # all done
FAILED = 1  # the run finished, some jobs failed
USAGE = 2  # usage or configuration; nothing was started
ABORTED = 3  # credentials, disk, lock; safe to run again
INTERRUPTED = 130  # told to stop, or nobody reads stdout any more; safe to run again


def epilog(**meanings: str) -> str:
    """Write the end of a help page: what each exit status of a command means, as `s0="…"`."""
    lines = [f"  {name.removeprefix('s'):>3}  {meaning}" for name, meaning in meanings.items()]
    return "\n".join(["\b", "Exit status:", *lines, ""])


EPILOG = epilog(
    s0="all done",
    s1="the run finished, some jobs failed",
    s2="usage or configuration: nothing was started",
    s3="aborted (credentials, disk, lock): safe to run again",
    s130="interrupted, or stdout was closed: safe to run again",
)


def exit_status(report: Report) -> int:
    """Say how a run ended.

    A run that was asked to stop when nothing was left to do ended as if it had not been asked.
    """
    if report.aborted is not None:
        return ABORTED
    if report.pending or not report.list_read:
        return INTERRUPTED if report.interrupted else ABORTED
    return FAILED if report.failed else DONE
