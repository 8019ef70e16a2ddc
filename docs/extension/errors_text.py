"""The reference of errors as Markdown, made of their classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages

import bulkfetch
from bulkfetch.errors import AccountError, BulkfetchError, ConfigError, JobError, RunError

_REACHES = (
    (ConfigError, "Nothing was started", "Exit status 2. The message names the key and its line."),
    (
        JobError,
        "One job failed",
        "An outcome's `error` holds the code; other jobs go on, and the exit status is 1.",
    ),
    (
        AccountError,
        "An account ended",
        "Nothing more is asked for it in this run, its jobs stay pending; other accounts go on. "
        "Exit status 3.",
    ),
    (RunError, "The run stopped", "Exit status 3; the same command goes on later."),
    (BulkfetchError, "The program stopped", "Exit status 3, and nothing is lost."),
)


def errors_text() -> list[str]:
    """Return lines of Markdown: by how far they reach, each code with its sentence and hint."""
    for module in walk_packages(bulkfetch.__path__, "bulkfetch."):
        # A room may have errors of its own; one that lacks its extra has none.
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):
                import_module(module.name)
    lines: list[str] = []
    told: set[type[BulkfetchError]] = {BulkfetchError}
    for base, title, about in _REACHES:
        lines += [f"## {title}", "", f"`bulkfetch.{base.__name__}`: {about}", ""]
        kinds = set(_with_code(base)) - told
        told |= kinds
        for kind in sorted(kinds, key=lambda kind: kind.code):
            lines += [f"### {kind.code}", "", _first_line(kind), ""]
            if kind.default_hint:
                lines += [f"**Hint:** {_plain(kind.default_hint)}", ""]
            if base is JobError:
                lines += [_again(kind), ""]
    return lines


def _with_code(base: type[BulkfetchError]) -> Iterator[type[BulkfetchError]]:
    """Give the classes below a base, itself included, that have a code of their own."""
    if "code" in vars(base):
        yield base
    for kind in base.__subclasses__():
        yield from _with_code(kind)


def _first_line(kind: type[BulkfetchError]) -> str:
    return _plain((kind.__doc__ or "").splitlines()[0])


def _plain(text: str) -> str:
    """Return a text with nothing in it that Markdown would take for markup."""
    return "".join(f"\\{sign}" if sign in "*_[]<>#`" else sign for sign in text)


def _again(kind: type[BulkfetchError]) -> str:
    if kind.permanent:
        return "*Asked for again* only with `--failed` or `--again`."
    if kind.wants_edit:
        return "*Tried again* by the next run, once the list or the folder has been changed."
    if kind.retryable:
        return "*Tried again* in the same run, then by the next one."
    return "*Tried again* by the next run."
