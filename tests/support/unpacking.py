"""An archive's file, unpacked to a file as the pipeline does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bulkfetch.archive import (
    ISAL,
    ArchivedFile,
    Extracted,
    ExtractLimits,
    FileDraft,
    InflateEngine,
    Member,
    RecordCounter,
    extract,
)


def unpack(
    archive: Path,
    member: Member,
    target: Path,
    limits: ExtractLimits,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    digest: bool = True,
    counter: RecordCounter | None = None,
    engine: InflateEngine = ISAL,
) -> Extracted:
    """Unpack an inspected archive's file to `target`, of which nothing stays if that fails."""
    draft = FileDraft(target, limits.reserve_bytes)
    file = ArchivedFile(archive, member, limits, cancelled, engine)
    try:
        found = extract(file, draft, digest=digest, counter=counter)
        draft.close()
    except BaseException:
        draft.drop()
        raise
    return found
