"""The last line of a run: what to do next. Pure, except for `this_command`."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from bulkfetch.cli import exit_codes
from bulkfetch.errors import error_class, is_permanent
from bulkfetch.models import Report
from bulkfetch.text import jobs

# The most ids that a hint repeats; more are only counted.
_REPEATED_IDS = 10


def next_step(status: int, report: Report | None, command: str, *, stdin_list: bool) -> str | None:
    """Return how to continue after a run, None if nothing is left or the command must change.

    `command` is the one that was run; `stdin_list` means that its list came from stdin.
    """
    if status in (exit_codes.DONE, exit_codes.USAGE):  # nothing is left, or an edit is due
        return None
    again = f"{command}  (give the list again on stdin)" if stdin_list else command
    if status != exit_codes.FAILED or report is None:
        return f"to continue: {again}"
    codes = [failure.error.code for failure in report.failures if failure.error]
    passing = [code for code in codes if may_pass(code)]
    failed = report.failed - report.failed_before
    if passing or failed > len(codes):  # the report does not contain all of them
        return f"to retry the failed jobs: {again}"
    if not failed:
        return None
    whose = "it" if failed == 1 else "each of them"
    step = f"{jobs(failed)} would fail the same way again: first follow the hint for {whose}"
    if any(map(is_permanent, codes)):  # a plain run does not request these again
        step += "; then --failed requests what failed once more"
    return step


def may_pass(code: str) -> bool:
    """Return whether a job that failed with this code may succeed later, unchanged."""
    kind = error_class(code)
    return not (kind.permanent or kind.wants_edit)


def this_command(ids: Collection[str] = ()) -> str:
    """Return the command line of this process, quoted for a shell; many `ids` are only counted."""
    import shutil  # late: only an unfinished run shows its command

    program = sys.argv[0]
    if os.path.basename(program) == "__main__.py":
        words = [os.path.basename(sys.executable), "-m", "bulkfetch"]
    else:
        found = shutil.which(os.path.basename(program))
        same = found is not None and os.path.realpath(found) == os.path.realpath(program)
        words = [os.path.basename(program) if same else program]
    return command_line([*words, *sys.argv[1:]], ids)


def listing_of(out: str | Path) -> tuple[str, ...]:
    """Return the words of the command that lists all failures of an output folder."""
    return ("bulkfetch", "status", str(out), "--json")


def command_line(words: Sequence[str], ids: Collection[str]) -> str:
    """Return a command as text, with the number of ids instead of many of them."""
    import shlex

    if len(ids) <= _REPEATED_IDS:
        return shlex.join(words)
    others = set(ids)
    first = next((place for place, word in enumerate(words) if word in others), len(words))
    before = shlex.join(words[:first])
    after = shlex.join(word for word in words[first:] if word not in others)
    return " ".join(filter(None, [before, f"… (the same {len(ids)} ids)", after]))
