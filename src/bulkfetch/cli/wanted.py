"""What a list asks for, and which of its jobs stand in one another's way; without a journal."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from bulkfetch.filenames import same_file
from bulkfetch.models import Job


@dataclass(slots=True)
class Wanted:
    """The different ids of each account in the order of the list, with their names.

    `malformed` counts jobs that a run would make fail for their id, name or account. Unless they
    are done already, `second` would fail as well, whose name another job had first, and each of
    `renamed`, which are mentions of an id under another name than its first. Some 150 bytes for an
    id, some 300 with a name.
    """

    ids: dict[str, dict[str, str | None]] = field(default_factory=dict)
    malformed: int = 0
    renamed: list[tuple[str, str]] = field(default_factory=list)
    second: dict[tuple[str, str], None] = field(default_factory=dict)


def read_wanted(listed: Iterable[Job], accounts: Container[str]) -> Wanted:
    """Read a list to its end."""
    from bulkfetch.pipeline.refusal import refusal

    wanted = Wanted()
    owners: dict[str, tuple[str, str]] = {}  # by folded name, where it is not the id itself
    for job in listed:
        if refusal(job, accounts) is not None:
            wanted.malformed += 1
            continue
        ids = wanted.ids.setdefault(job.account, {})
        if job.id in ids:
            if job.name is not None and job.name != ids[job.id]:
                wanted.renamed.append((job.account, job.id))
            continue
        if _is_taken(job, wanted, owners):
            wanted.second[job.account, job.id] = None
        elif job.name is not None:
            owners[same_file(job.name)] = (job.account, job.id)
        ids[job.id] = job.name
    return wanted


def _is_taken(job: Job, wanted: Wanted, owners: Container[str]) -> bool:
    stem = same_file(job.stem)
    if stem in owners:
        return True
    # An id without a name has itself for one.
    return any(
        ids.get(stem, stem) is None and (account, stem) not in wanted.second
        for account, ids in wanted.ids.items()
    )
