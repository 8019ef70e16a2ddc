"""A log file of a run: what is told on stderr, with the time, as text or JSON.

Lines are written by a thread of the standard library's: a disk that is slow never delays a
transfer. Foreign text is escaped, so that each record is one line.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any, Literal

from bulkfetch.observe.messages import Level
from bulkfetch.text import escape

LogFormat = Literal["text", "json"]

_NUMBERS = {"note": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogFile:
    """Appends records to a file. One that cannot be opened or written is told of once.

    `problem` is why it could not be opened, "" if it could.
    """

    def __init__(self, path: str, form: LogFormat) -> None:
        self.problem = ""
        self._failed: list[str] = []
        self._listener: QueueListener | None = None
        self._logger = logging.Logger("bulkfetch.run")  # of its own: nobody else configures it
        try:
            handler = _Handler(path, self._failed)
        except OSError as error:
            self.problem = _problem(path, error)
            return
        handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
        queue: SimpleQueue[Any] = SimpleQueue()
        self._logger.addHandler(_Unformatted(queue))
        self._listener = QueueListener(queue, handler)
        self._listener.start()

    def write(self, level: Level, text: str, hint: str = "") -> None:
        """Have a record written, without waiting; never raises."""
        if self._listener is not None:
            extra = {"hint": escape(hint)} if hint else {}
            self._logger.log(_NUMBERS[level], "%s", escape(text), extra=extra)

    def problem_since(self) -> str:
        """Return why a record could not be written, once; "" without a reason."""
        return self._failed.pop() if self._failed else ""

    def close(self) -> None:
        """Wait until all records are written, and close the file; more calls do no harm."""
        if self._listener is not None:
            self._listener.stop()
            for handler in self._listener.handlers:
                handler.close()
            self._listener = None


class _Unformatted(QueueHandler):
    """Hands records over as they are: the usual one formats them first."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


class _Handler(logging.FileHandler):
    """Keeps the first error in `failed`, and writes nothing more after it."""

    def __init__(self, path: str, failed: list[str]) -> None:
        super().__init__(path, mode="a", encoding="utf-8", errors="backslashreplace")
        self._path = path
        self._failed = failed
        self._broken = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._broken:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self._broken = True
        error = sys.exception()
        self._failed.append(_problem(self._path, error))

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # what could not be written is flushed once more
            self._broken = True


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = _time(record)
        line = f"{time} {_level(record)}: {record.getMessage()}"
        hint = getattr(record, "hint", "")
        return f"{line}\n{time} hint: {hint}" if hint else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        hint = getattr(record, "hint", "")
        said = {"time": _time(record), "level": _level(record), "message": record.getMessage()}
        return json.dumps(said | ({"hint": hint} if hint else {}))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _level(record: logging.LogRecord) -> str:
    return next(name for name, number in _NUMBERS.items() if number == record.levelno)


def _problem(path: str, error: BaseException | None) -> str:
    said = error.strerror if isinstance(error, OSError) else type(error).__name__
    return f"the log file {path}: {said}; the run goes on without it"
