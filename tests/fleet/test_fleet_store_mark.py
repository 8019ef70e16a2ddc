"""Whether all hosts of a fleet publish in the same folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.fleets import fleet_journal, make_fleet
from tests.support.postgres import PostgresServer

from bulkfetch.errors import ConfigError, NotWritable
from bulkfetch.fleet.store_mark import MARK, require_shared


@pytest.mark.slow
def test_a_host_with_a_folder_of_its_own_is_refused(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """The first host marks the folder; who has the same one goes on, whatever it is mounted over.

    A folder of the same path without that mark is somebody else's, is left as it was, and is told
    with the way to say that it is the right one.
    """
    root, shared = tmp_path / "exports", tmp_path / "shared"
    root.mkdir()

    async def hosts() -> None:
        await make_fleet(postgres.url(database))
        async with fleet_journal(postgres.url(database)) as journal:
            await require_shared(root, journal)
            await require_shared(root, journal)
            root.rename(shared)
            root.mkdir()  # as on a host where nothing is mounted there
            with pytest.raises(ConfigError, match="is not the folder") as caught:
                await require_shared(root, journal)
            assert list(root.iterdir()) == []
            mark = (shared / MARK).read_text().strip()
            assert f"write {mark} into {root / MARK}" in caught.value.hint
            (root / MARK).write_text(mark)
            await require_shared(root, journal)

    asyncio.run(hosts())


def test_what_is_no_mark_and_no_folder_is_told(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """The database learns nothing of it, so that the next start finds things as they were."""

    async def hosts() -> None:
        await make_fleet(postgres.url(database))
        async with fleet_journal(postgres.url(database)) as journal:
            (tmp_path / MARK).write_bytes(b"\xff" * 1000)
            with pytest.raises(ConfigError, match="is not a mark"):
                await require_shared(tmp_path, journal)
            with pytest.raises(NotWritable, match="there is no folder"):
                await require_shared(tmp_path / "absent", journal)
            (tmp_path / MARK).unlink()
            await require_shared(tmp_path, journal)

    asyncio.run(hosts())
