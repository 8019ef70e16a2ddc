"""Hints of errors, which a run tells, a worker that goes on by itself, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterator

from bulkfetch.errors import AccountError, BulkfetchError, JobError, RunError


def _below(kind: type[BulkfetchError]) -> Iterator[type[BulkfetchError]]:
    if kind.__module__.startswith("bulkfetch.errors"):
        yield kind
        for other in kind.__subclasses__():
            yield from _below(other)


def test_a_hint_says_what_to_mend_and_no_command() -> None:
    """How to go on is another command in a fleet than in a run, and each says its own at its end.

    What ends an account or a run may also be tried again by the worker itself.
    """
    hints = {
        (base, kind.code): kind.default_hint.lower()
        for base in (AccountError, JobError, RunError)
        for kind in _below(base)
    }
    assert len(hints) > 40
    found = [key for key, hint in hints.items() if "command again" in hint or "run again" in hint]
    found += [
        (base, code)
        for (base, code), hint in hints.items()
        if base is not JobError and "try again" in hint
    ]
    assert not found
