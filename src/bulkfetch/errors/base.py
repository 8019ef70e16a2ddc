"""What all errors have."""

from __future__ import annotations

from typing import Any, ClassVar, Self


class BulkfetchError(Exception):
    """Base class of everything that bulkfetch raises on purpose.

    `code` is stable, for programs; `message` and `hint` are for people and may change. `http` is
    the status of the response that caused it, None without one. `retryable` failures are retried
    in the same run; `permanent` ones not even by later runs, unless requested. After those that
    are `wants_edit`, no request leaves before the list or the folder is changed. What is
    `transient` ends a run for one account, and may be over by itself some minutes later.
    """

    code: ClassVar[str] = "ERROR"
    retryable: ClassVar[bool] = False
    permanent: ClassVar[bool] = False
    wants_edit: ClassVar[bool] = False
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if "code" in vars(cls):
            _classes[cls.code] = cls

    def __init__(
        self, message: str = "", *, hint: str | None = None, http: int | None = None
    ) -> None:
        self.message = message or (self.__doc__ or self.code).splitlines()[0]
        self.hint = self.default_hint if hint is None else hint
        self.http = http
        super().__init__(self.message)


_classes: dict[str, type[BulkfetchError]] = {}


def error_class(code: str) -> type[BulkfetchError]:
    """Return the class of a code; BulkfetchError for one of another version."""
    return _classes.get(code, BulkfetchError)


def is_permanent(code: str) -> bool:
    """Return whether a job that failed with this code is not requested again by a plain run."""
    return error_class(code).permanent


def is_transient(code: str) -> bool:
    """Return whether the cause with this code may be over by itself."""
    return error_class(code).transient


def permanent_codes() -> list[str]:
    """Return the codes of which `is_permanent` is true."""
    return sorted(code for code, kind in _classes.items() if kind.permanent)


class NamesPath:
    """Mixin of errors whose message may name a file or folder: `path`, None if it names none."""

    message: str
    args: tuple[Any, ...]
    path: str | None = None

    def renamed(self, path: str) -> Self:
        """Return this error with another name for its file or folder. Does nothing without one."""
        if self.path is not None:
            self.message = self.message.replace(self.path, path)
            self.args = (self.message,)
            self.path = path
        return self


class ConfigError(BulkfetchError):
    """The command line, jobs.toml or the environment cannot be used as given."""

    code = "CONFIG"
