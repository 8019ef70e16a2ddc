"""What keeps how far exports have come, in each of its forms, to be opened as often as wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.support.fleets import make_fleet
from tests.support.journals import opened

from bulkfetch.config.regions import THIS_MACHINE
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_store import TurnExports
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.journal import (
    Change,
    ExportStore,
    GenerationRow,
    Journal,
    PageRow,
    StoredExport,
)

ACCOUNT = "acme"
QUERY = {"query": {"module": {"api_name": "Leads"}}}


class OpenedStore(NamedTuple):
    """A store, and the journal of the output folder that its exports are downloaded into."""

    store: ExportStore
    journal: Journal


class Keeper(Protocol):
    """Opens the same store again and again, as one command after the other does."""

    def __call__(self) -> AbstractAsyncContextManager[OpenedStore]: ...


def folder_keeper(out: Path) -> Keeper:
    """The journal of an output folder."""

    @asynccontextmanager
    async def keeper() -> AsyncIterator[OpenedStore]:
        async with opened(out) as journal:
            yield OpenedStore(journal.exports, journal)

    return keeper


def fleet_keeper(out: Path, url: str) -> Keeper:
    """A fleet's journal; each time a turn of its own begins."""
    asyncio.run(make_fleet(url))

    @asynccontextmanager
    async def keeper() -> AsyncIterator[OpenedStore]:
        async with opened(out) as journal, turn(url) as (connections, generation):
            yield OpenedStore(
                TurnExports(connections, ACCOUNT, generation, journal.exports), journal
            )

    return keeper


@asynccontextmanager
async def turn(url: str) -> AsyncIterator[tuple[Connections, int]]:
    """Begin the account's next turn; give connections to the fleet's database, and its number."""
    connections = await Connections.open(url, None)
    try:
        journal = FleetJournal(connections, {ACCOUNT: THIS_MACHINE})
        yield connections, await journal.begin_turn(ACCOUNT, "host")
    finally:
        await connections.aclose()


async def begun(store: ExportStore, name: str = "Leads") -> StoredExport:
    """Begin a generation of one chain."""
    row = (await store.begin([(name, ACCOUNT)]))[name]
    generation = GenerationRow(
        0, row.key, ACCOUNT, "ACTIVE", "{}", (QUERY,), "ab", "2026-09-30T02:00:00+00:00"
    )
    return StoredExport(row, *await store.open(generation, [PageRow(0, 1, 1)], Change()))
