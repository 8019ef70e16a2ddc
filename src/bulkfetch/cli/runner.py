"""A run in an event loop: outcomes to stdout, events and progress to stderr, signals to the run.

Imported late, since it imports the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bulkfetch.cli import exit_codes
from bulkfetch.cli.options import TerminalGone
from bulkfetch.cli.printer import Printer, StdoutFailed, StdoutGone
from bulkfetch.cli.progress import ProgressDisplay
from bulkfetch.cli.signals import stop_on_signals
from bulkfetch.cli.steering import OutOfTime
from bulkfetch.client import Client
from bulkfetch.config import Settings
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.exporter.handle import ExportRun
from bulkfetch.models import ExportReport, Failure, Outcome, Report
from bulkfetch.observe.messages import NORMAL, event_level, event_line
from bulkfetch.pipeline.handle import Handle

# Begins something with a client.
Start = Callable[[Client], Handle]

# How often progress is updated: often enough for a countdown in seconds.
_LOOK_S = 0.5
# A run ends within eight seconds of the first signal, and immediately after the second, unless the
# system blocks one of its threads, as a hanging disk does. This long after the signal and the last
# outcome (there may be a million to report) the process ends without waiting for threads.
_PATIENCE_S = 9.0
_LAST_PATIENCE_S = 1.0


@dataclass(slots=True)
class Ending:
    """How a run ended. `report` is None if it never started; `error` is what aborted it.

    `stdout_gone`: it was closed, or cannot be written.
    `at_once`: a second signal stopped it. `hangs`: blocked threads remain, for which the process
    must not wait. `told` are the codes and messages of ended accounts already reported. `exports`
    are those that have ended, of a run of exports. `out_of_time` is set once the time that a run
    may take is over.
    """

    report: Report | None = None
    exports: list[ExportReport] | None = None
    error: Exception | None = None
    stdout_gone: bool = False
    at_once: bool = False
    hangs: bool = False
    out_of_time: OutOfTime | None = None
    told: set[tuple[str, str]] = field(default_factory=set)

    def has_told(self, failure: Failure) -> bool:
        """Return whether this failure was already reported."""
        return (failure.code, failure.message) in self.told

    def finish(self, report: Report) -> None:
        """Take the report of the run; what is left when the time is over has that as its cause."""
        if self.exports is None:
            left = report.pending > 0 or not report.list_read
        else:
            left = any(each.status == "pending" for each in self.exports)
        if self.out_of_time is not None and left and report.aborted is None:
            cause = Failure.of(self.out_of_time)
            report = replace(report, aborted=cause, interrupted=False)
        self.report = report

    @property
    def exit_status(self) -> int:
        """The exit status of the program."""
        if isinstance(self.error, ConfigError):
            return exit_codes.USAGE
        if isinstance(self.error, TerminalGone):
            return exit_codes.INTERRUPTED
        if self.error is not None:
            return exit_codes.ABORTED
        if self.at_once or self.hangs or self.report is None:
            return exit_codes.INTERRUPTED
        return exit_codes.exit_status(self.report, self.exports)


def carry_out(
    settings: Settings, start: Start, printer: Printer, max_s: float | None = None
) -> Ending:
    """Do what `start` begins with a client, report outcomes and events, and return how it ended.

    After `max_s` seconds it is stopped as by a signal; None for no limit.
    Errors are in the ending. No event loop and no thread remain, unless `hangs`.
    """
    periods_s = {
        account.name: account.window.period_s + account.window.margin_s
        for account in settings.accounts
    }
    with printer.display(periods_s) as display:
        printer.recorder.begun()
        runner = Runner(settings, printer, display, max_s)
        loop = asyncio.Runner()
        try:
            loop.run(runner.work(start))
        except asyncio.CancelledError:
            runner.ending.at_once = True
        except Exception as error:
            runner.ending.error = _inner(error)
        finally:
            if not runner.ending.hangs:  # else this would wait for the blocked threads
                loop.close()
    ending = runner.ending
    if ending.at_once or ending.hangs:
        printer.hurry()
    printer.leaves_threads = ending.hangs
    printer.recorder.report = ending.report
    return ending


class Runner:
    """One run with its output and its signals."""

    def __init__(
        self,
        settings: Settings,
        printer: Printer,
        display: ProgressDisplay,
        max_s: float | None = None,
    ) -> None:
        self.ending = Ending()
        self._max_s = max_s
        self._settings = settings
        self._printer = printer
        self._display = display
        self._run: Handle | None = None
        self._task: asyncio.Task[None] | None = None
        self._out_of_patience = asyncio.Event()
        self._moved_at = 0.0  # the last signal or outcome, on the loop's clock
        self._stop_asked = False
        self._writes = True
        # To look for nobody would read the window's file twice a second.
        self._looks = printer.shows_progress or printer.recorder.wants_progress

    async def work(self, start: Start) -> None:
        """Do the run. Raises what prevents it from starting.

        If cancelled: as the client; the ending still has the report.
        """
        self._task = asyncio.create_task(self._do(start))
        waiting = asyncio.create_task(self._out_of_patience.wait())
        if self._max_s is not None:
            asyncio.get_running_loop().call_later(self._max_s, self._on_time_over, self._max_s)
        with stop_on_signals(asyncio.get_running_loop(), self._on_signal, self._on_second_signal):
            await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self._task.done():
                await self._task
                return
        self.ending.hangs = True
        if self._run is not None:
            self.ending.finish(self._run.so_far())
        self._printer.warn(
            "stopped without waiting for what hangs, perhaps the disk or the reader of stdout"
        )

    async def _do(self, start: Start) -> None:
        try:
            async with Client(self._settings, on_event=self.on_event) as client:
                self._run = start(client)
                if self._stop_asked:
                    self._run.stop()
                await self._through(self._run)
        finally:
            if self._run is not None and self._run.ended:
                if isinstance(self._run, ExportRun):
                    self.ending.exports = self._run.ended_exports()
                self.ending.finish(self._run.so_far())

    async def _through(self, run: Handle) -> None:
        looking = asyncio.create_task(self._look(run))
        try:
            async for outcome in run:
                await self._take(run, outcome)
        except Exception as error:
            # Reported last; caught here, so that the client does not wrap it in a group.
            self.ending.error = self.ending.error or error
        finally:
            looking.cancel()
            self._show(run)

    def _show(self, run: Handle) -> None:
        """Show and record where the run stands, if anybody looks."""
        if self._looks and (progress := run.progress()) is not None:
            if self._printer.shows_progress:
                self._display.show(progress)
            self._printer.recorder.progress(progress)

    def _wait_no_longer_than(self, patience_s: float) -> None:
        """Give up when nothing has happened for so long."""
        loop = asyncio.get_running_loop()
        left_s = self._moved_at + patience_s - loop.time()
        if left_s > 0:
            loop.call_later(left_s, self._wait_no_longer_than, patience_s)
        else:
            self._out_of_patience.set()

    async def _take(self, run: Handle, outcome: Outcome) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        if not self._writes:
            return
        with self._minding_stdout(run):
            if self._printer.json:
                await self._printer.send(None, outcome.to_dict())
            elif not outcome.skipped:
                for file in outcome.files:
                    await self._printer.send(file.path, None)

    async def _look(self, run: Handle) -> None:
        while True:
            self._show(run)
            if self._writes:
                # Lines are written by another thread: only this shows that the last one failed.
                with self._minding_stdout(run):
                    self._printer.check_stdout()
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def _minding_stdout(self, run: Handle) -> Iterator[None]:
        """Stop the run if stdout is closed or cannot be written."""
        try:
            yield
        except StdoutGone:
            self._writes = False
            self.ending.stdout_gone = True
            self._printer.warn("stdout was closed: finishing transfers in flight, then stopping")
            run.stop()
        except StdoutFailed as error:
            self._writes = False
            self.ending.stdout_gone = True
            self.ending.error = error
            run.stop()

    def on_event(self, event: Event) -> None:
        """Record an event, and report it according to the printer's verbosity."""
        self._printer.recorder.event(event)
        line = event_line(event, max(self._printer.verbosity, NORMAL))
        if line is None:
            return
        match event_level(event):
            case "error":
                self._printer.error(line, str(event.data.get("hint", "")))
                self.ending.told.add((str(event.data.get("code")), event.message))
            case "warning":
                self._printer.warn(line)
            case "note":
                self._printer.note(line)

    def _on_signal(self, name: str) -> None:
        self.ending.out_of_time = None  # somebody did not want to wait for it
        self._printer.note(
            f"{name}: finishing transfers in flight; press Ctrl-C again to stop immediately"
        )
        self._stop()

    def _on_time_over(self, max_s: float) -> None:
        if self._stop_asked:
            return
        self.ending.out_of_time = OutOfTime.after(max_s)
        self._printer.note(f"{self.ending.out_of_time.message}: finishing transfers in flight")
        self._stop()

    def _stop(self) -> None:
        self._stop_asked = True
        self._moved_at = asyncio.get_running_loop().time()
        self._wait_no_longer_than(_PATIENCE_S)
        if self._run is not None:
            self._run.stop()

    def _on_second_signal(self) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        self._wait_no_longer_than(_LAST_PATIENCE_S)
        if self._task is not None:
            self._task.cancel()


def _inner(error: Exception) -> Exception:
    """Return the only error of a group of one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
