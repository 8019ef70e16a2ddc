"""The one place that decides what goes where: results to stdout, everything else to stderr.

Each result has a text and a JSON form. Foreign text is escaped here, once for all. Descriptors are
written directly: the buffers of the standard streams would be flushed at exit, to a terminal that
may be gone.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from bulkfetch.cli.hooks import Hooks
from bulkfetch.cli.progress import ProgressDisplay, Renderer
from bulkfetch.cli.recording import Recorder
from bulkfetch.cli.stamp import stamp
from bulkfetch.cli.stdout_writer import StdoutWriter, write_all
from bulkfetch.errors import BulkfetchError
from bulkfetch.models import Failure, Outcome
from bulkfetch.observe.failures import grouped
from bulkfetch.observe.messages import (
    DEBUG,
    NORMAL,
    QUIET,
    Level,
    more_failures_line,
)
from bulkfetch.text import escape

if TYPE_CHECKING:
    from bulkfetch.cli.log_file import LogFile

_STDOUT, _STDERR = 1, 2
_MOMENT_S = 0.5
# How often a slow terminal is polled.
_LOOK_S = 0.05
# The reader of the pipe, or the terminal, is gone.
_GONE = frozenset({errno.EPIPE, errno.EIO})


class StdoutGone(Exception):
    """Stdout was closed by its reader."""


class StdoutFailed(BulkfetchError):
    """The results cannot be written to stdout."""

    code = "STDOUT_FAILED"
    default_hint = "Free some space, or redirect stdout elsewhere; then run the same command again."


class Printer:
    """Writes everything that the program says.

    `json`, `verbosity`, `shows_progress`, `timestamps` and `hooks` are set by the command.
    `summary` is the last record of a run, None before there is one; `cause` is the last error told
    that ended it.
    """

    def __init__(self) -> None:
        self.json = False
        self.verbosity = NORMAL
        self.shows_progress = True
        self.timestamps = False
        self.hooks = Hooks()
        self.summary: Mapping[str, Any] | None = None
        self.cause: Failure | None = None
        # The process must end without waiting for blocked threads.
        self.leaves_threads = False
        self.recorder = Recorder()
        self._stdout = StdoutWriter(_STDOUT)
        self._display: ProgressDisplay | None = None
        self._shares_terminal = False
        self._log: LogFile | None = None
        self._can_say_more = False
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"

    def configure(
        self,
        *,
        json: bool,
        quiet: bool,
        verbose: int,
        no_progress: bool,
        timestamps: bool = False,
        log: LogFile | None = None,
    ) -> None:
        """Take the options of a command that runs. Raises click.UsageError."""
        if quiet and verbose:
            raise click.UsageError("-q and -v cannot be used together")
        self.json = json
        self.verbosity = QUIET if quiet else verbose
        self._can_say_more = True
        self.shows_progress = not (no_progress or quiet)
        self.timestamps = timestamps
        self._log = log
        if log is not None and log.problem:
            self.warn(log.problem)

    # --- results ---------------------------------------------------------------------------------

    def result(self, text: str | None, record: Mapping[str, Any] | None) -> None:
        """Write a result as text or JSON, as requested; None if it has no such form. May wait.

        Raises StdoutGone, StdoutFailed. Not for an event loop: see `send`.
        """
        if (line := self._line(text, record)) is not None:
            with _stdout_errors():
                self._stdout.put(line)

    def sum_up(self, record: Mapping[str, Any], *, write: bool = True) -> None:
        """Write the summary of a run, as JSON if requested; as `result`. Else only keep it."""
        self.summary = record
        if write:
            self.result(None, record)

    async def send(self, text: str | None, record: Mapping[str, Any] | None) -> None:
        """Write a result as text or JSON, as requested, waiting while the reader pauses.

        Raises StdoutGone, StdoutFailed. If cancelled: the result is not written.
        """
        import asyncio  # late: only a run has a loop

        if (line := self._line(text, record)) is None:
            return
        if self._shares_terminal and self._display is not None:
            # Polled: a notification from the drawing thread would not be worth its code.
            while not self._display.has_room:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
            self._display.line(line.decode(errors="replace").rstrip("\n"))
            return
        with _stdout_errors():
            await self._stdout.send(line)

    @contextmanager
    def pages(self) -> Iterator[None]:
        """Have the pages that click prints, of --help and --version, written as results are."""
        with redirect_stdout(cast("TextIO", _Pages(self._put))):
            yield

    def _put(self, text: str) -> None:
        with _stdout_errors():
            self._stdout.put(text.encode(errors="surrogateescape"))

    def check_stdout(self) -> None:
        """Raise StdoutGone or StdoutFailed if an earlier result could not be written."""
        with _stdout_errors():
            if self._stdout.error is not None:
                raise self._stdout.error

    def _line(self, text: str | None, record: Mapping[str, Any] | None) -> bytes | None:
        if self.json:
            return None if record is None else json.dumps(record).encode("ascii") + b"\n"
        if text is None:
            return None
        # Programs get paths byte for byte; a terminal would interpret control characters.
        return os.fsencode(escape(text) if os.isatty(_STDOUT) else text) + b"\n"

    # --- everything else -------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Write a note; not with -q, but always to the log file."""
        self._write_log("note", text)
        if self.verbosity > QUIET:
            self._say("note", text)

    def warn(self, *texts: str) -> None:
        """Write warnings, always."""
        for text in texts:
            self._write_log("warning", text)
            self._say("warning", text)

    def error(self, text: str, hint: str = "") -> None:
        """Write an error and a hint what to do, always."""
        self._write_log("error", text, hint)
        self._say("error", text)
        if hint:
            self._say("hint", hint)

    def failure(self, failure: BulkfetchError | Failure) -> None:
        """Write an error with its code, unless it is the cause that was told last."""
        cause = failure if isinstance(failure, Failure) else Failure.of(failure)
        if cause == self.cause:  # each line of a full stdout fails alike
            return
        self.cause = cause
        plain = failure.code in ("CONFIG", "ERROR")
        self.error(failure.message if plain else f"{failure.code}: {failure.message}", failure.hint)

    def failures(self, failures: Sequence[Outcome], more: int, listing: Sequence[str]) -> None:
        """Write why jobs failed, and that `more` did, which the command `listing` lists."""
        for sentence, hint in grouped(failures):
            self.error(sentence, hint)
        if more > 0:
            self.note(more_failures_line(more, shlex.join(listing)))

    def aborted(self, error: Exception) -> None:
        """Write the error that aborted a run."""
        if isinstance(error, BulkfetchError):
            self.failure(error)
        else:
            self.bug(error)

    def bug(self, error: BaseException) -> None:
        """Report a bug in this program; with -vv its traceback, but never any values."""
        if self.verbosity >= DEBUG:
            # capture_locals stays off: a frame may contain a token.
            for line in traceback.format_exception(error):
                for part in line.rstrip("\n").split("\n"):
                    self._say("note", part)
        message = f"unexpected {type(error).__name__}: {error}"
        self.cause = Failure("BUG", escape(message))
        how = "run again with -vv and report the output" if self._can_say_more else "report it"
        self.error(message, f"This is a bug in bulkfetch: please {how}. Running again is safe.")

    def raw(self, text: str) -> None:
        """Write text of several lines to stderr, such as a help page."""
        self._write("".join(f"{escape(line)}\n" for line in text.splitlines()))

    def _write_log(self, level: Level, text: str, hint: str = "") -> None:
        if self._log is None:
            return
        self._log.write(level, text, hint)
        if problem := self._log.problem_since():
            self._say("warning", problem)

    def _say(self, level: str, text: str) -> None:
        if self.timestamps:
            line = f"{stamp()} {level}: {escape(text)}"
        else:
            line = escape(text) if level == "note" else f"{level}: {escape(text)}"
        if self._display is not None:
            self._display.line(line)
        else:
            self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        try:
            self._write_or_raise(text)
        except OSError:
            # Stderr is gone; the exit status still tells.
            return

    # --- during a run ----------------------------------------------------------------------------

    @contextmanager
    def display(self, periods_s: Mapping[str, float]) -> Iterator[ProgressDisplay]:
        """Show progress while the block runs; `periods_s` are the windows' by account."""
        display = self._display = ProgressDisplay(self._renderer(periods_s))
        try:
            yield display
        finally:
            self._display = None
            self._shares_terminal = False
            display.close()

    def _renderer(self, periods_s: Mapping[str, float]) -> Renderer:
        from bulkfetch.observe.plain_renderer import PlainRenderer

        draws = self.shows_progress and os.isatty(_STDERR)
        if not draws or os.environ.get("TERM", "dumb") == "dumb":
            return PlainRenderer(self._write_or_raise, periods_s, stamp=stamp)
        from bulkfetch.observe.live_renderer import LiveRenderer

        # Results on the same terminal go above the bar, written by the same thread.
        self._shares_terminal = os.isatty(_STDOUT)
        return LiveRenderer(cast("TextIO", _Terminal(self._encoding)), periods_s)

    def _write_or_raise(self, text: str) -> None:
        write_all(_STDERR, text.encode(self._encoding, "backslashreplace"))

    def hurry(self) -> None:
        """Wait only a moment for a pausing reader from now on."""
        self._stdout.patience_s = _MOMENT_S

    def close(self) -> None:
        """Wait until all results are written. Raises StdoutGone, StdoutFailed if they were not.

        A signal's exception passes through; results not written by then are lost.
        """
        self._stdout.close()
        if self._stdout.error is not None:
            with _stdout_errors():
                raise self._stdout.error

    def close_log(self) -> None:
        """Wait until the log file is written, unless the process leaves threads behind."""
        if self._log is not None and not self.leaves_threads:
            log, self._log = self._log, None
            log.close()
            if problem := log.problem_since():
                self.warn(problem)


class _Terminal(io.TextIOBase):
    """Stderr as a text file without a buffer."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    # A plain attribute in typeshed, a read-only one in TextIOBase itself.
    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return _STDERR

    def write(self, text: str) -> int:
        write_all(_STDERR, text.encode(self._encoding, "backslashreplace"))
        return len(text)


class _Pages(io.TextIOBase):
    """Stdout as a text file that only passes on what is written."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put

    def write(self, text: str) -> int:
        self._put(text)
        return len(text)

    def isatty(self) -> bool:
        return os.isatty(_STDOUT)


@contextmanager
def _stdout_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _GONE:
            raise StdoutGone from None
        raise StdoutFailed(f"stdout: {error.strerror}") from None
