"""Why jobs failed, in groups: what many have in common is said once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bulkfetch.models import Failure, Outcome
from bulkfetch.observe.messages import failure_lines, of_account
from bulkfetch.text import escape, jobs

# Ids that a group names; more are only counted.
_NAMED = 5


class SharedHints:
    """Collects the hints of failures that are told one by one, to be told once, at the end."""

    def __init__(self) -> None:
        """Begin without any."""
        self._codes: dict[str, dict[str, None]] = {}  # by hint; a dict keeps the order

    def add(self, failure: Failure | None) -> None:
        """Keep the hint of a failure that was told with its code."""
        if failure is not None and failure.hint:
            self._codes.setdefault(failure.hint, {})[failure.code] = None

    def lines(self) -> Iterator[str]:
        """Yield each hint with the codes that it is for."""
        for hint, codes in self._codes.items():
            yield escape(f"hint for {', '.join(codes)}: {hint}")


def grouped(failed: Iterable[Outcome]) -> list[tuple[str, str]]:
    """Return sentences about failed jobs, each with its hint, "" without one.

    Jobs of one account that failed with the same words share a sentence; a hint that several
    sentences share stands at the last of them.
    """
    alike: dict[tuple[str, Failure | None, str | None], list[Outcome]] = {}
    for outcome in failed:
        # A refused archive is kept under a name of its own.
        own = outcome.job_id if outcome.quarantine or outcome.export else None
        alike.setdefault((outcome.account, outcome.error, own), []).append(outcome)
    groups = sorted(alike.values(), key=_cause)  # stable: otherwise in the order of the list
    told = [failure_lines(group[0]) if len(group) == 1 else _together(group) for group in groups]
    return [
        (sentence, "" if place + 1 < len(told) and told[place + 1][1] == hint else hint)
        for place, (sentence, hint) in enumerate(told)
    ]


def _cause(group: list[Outcome]) -> tuple[str, str]:
    error = group[0].error
    return ("", "") if error is None else (error.code, error.hint)


def _together(group: list[Outcome]) -> tuple[str, str]:
    first, error = group[0], group[0].error
    what = f"{jobs(len(group))}{of_account(first.account)}"
    names = ", ".join(outcome.job_id for outcome in group[:_NAMED])
    if (others := len(group) - _NAMED) > 0:
        names += f" and {others} more"
    if error is None:
        return escape(f"{what} failed: {names}"), ""
    http = f" (HTTP {error.http})" if error.http else ""
    return escape(f"{what}: {error.code}{http}: {error.message}: {names}"), escape(error.hint)
