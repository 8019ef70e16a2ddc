"""What must fit together in [[jobs]] and [[exports]]: accounts, names, ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bulkfetch.config.export import Export, ExportKeys, ExportTable
from bulkfetch.config.misfit import listed, unknown
from bulkfetch.config.settings import JobEntry, default_among
from bulkfetch.config.tables import fields_of
from bulkfetch.errors import ConfigError
from bulkfetch.filenames import same_file

# From the key of a table to what a sentence about it begins with, and to its line, 0 if unknown.
Where = Callable[[str], tuple[str, int]]


def check_jobs(
    jobs: Sequence[JobEntry],
    accounts: Sequence[str],
    where: Where,
    places: Mapping[str, str | None],
) -> None:
    """Raise ConfigError for [[jobs]] of unknown accounts, with two names or with another's name.

    `places` are where each account's files are published, None for the folder.
    """
    owners: dict[tuple[str | None, str], tuple[str, str, str]] = {}
    named: dict[tuple[str, str], tuple[str | None, int]] = {}
    for index, job in enumerate(jobs):
        here, line = where(f"jobs[{index + 1}]")
        account = _account(job.account, accounts, here)
        before, named_in = named.setdefault((account, job.id), (job.name, line))
        if before != job.name:
            there = f"in line {named_in}" if named_in else "before"
            raise ConfigError(
                f"{here}: job {job.id} has {_name_text(job.name)}, {there} {_name_text(before)}",
                hint="A result is published under one name: remove one of the two tables.",
            )
        this = (account, job.id, job.stem)
        other = owners.setdefault((places[account], same_file(job.stem)), this)
        if other != this:
            raise ConfigError(
                f"{here}: job {job.id} and job {other[1]} would both be published as {job.stem!a}",
                hint="Give one of them another name.",
            )


def checked_exports(
    tables: Sequence[ExportTable],
    accounts: Sequence[str],
    where: Where,
    *,
    of_each: bool = False,
) -> tuple[Export, ...]:
    """Return the exports of [[exports]], each with its name and account.

    With `of_each`, one that names no account is of each of them, and its account None; an account
    then has its names for itself. Raises ConfigError for an unknown account, and for a name that
    another export has.
    """
    made: list[Export] = []
    owners: dict[str, dict[str | None, str]] = {}  # by name, then by whose it is, None for all
    for index, table in enumerate(tables):
        here, line = where(f"exports[{index + 1}]")
        of_all = of_each and table.account is None
        own = {
            "name": table.name or table.module,
            "account": None if of_all else _account(table.account, accounts, here),
            "overlap_s": table.overlap,
            "full_every_s": table.full_every,
            "index": index,
        }
        export = Export(**fields_of(ExportKeys, table) | own)
        others = owners.setdefault(same_file(export.name), {})
        whose = export.account if of_each else None
        for known in others if whose is None else others.keys() & {whose, None}:
            raise ConfigError(
                f"{here}: name {export.name!a} is that of the export in {others[known]}",
                hint="Each export has a folder of its own: give one of them another name.",
            )
        others[whose] = f"line {line}" if line else "another"
        made.append(export)
    return tuple(made)


def _account(given: str | None, names: Sequence[str], here: str) -> str:
    """Return the account of an entry. Raises ConfigError where there is no such account."""
    account = given or default_among(names)
    if account is None:
        raise ConfigError(f"{here}: account is missing", hint=f"One of {listed(names)}.")
    if account not in names:
        raise unknown(f"{here}: unknown account", account, names)
    return account


def _name_text(name: str | None) -> str:
    return "no name" if name is None else f"the name {name!a}"
