"""An export whose progress is in the fleet's journal, told by who waits for it. A real server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.exporting import org
from tests.support.fleets import fleet_journal, submit_to
from tests.support.flows import settings_for
from tests.support.postgres import PostgresServer

from bulkfetch import Client
from bulkfetch.config import Export
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_codec import EndedExport
from bulkfetch.fleet.watch import Watch
from bulkfetch.models import Status
from bulkfetch.observe.export_words import export_record
from bulkfetch.sandbox import JobPlan, Sandbox

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("plans", "status"), [([], "done"), ([JobPlan(), JobPlan(rows_off=1)], "failed")]
)
def test_who_waits_is_told_what_the_command_tells(
    tmp_path: Path, postgres: PostgresServer, database: str, plans: list[JobPlan], status: Status
) -> None:
    """The same pages with their files or causes, and the same record of the export.

    But for where a refused archive is kept, which is on the host that has refused it.
    """

    async def main() -> None:
        url = postgres.url(database)
        async with (
            fleet_journal(url) as journal,
            Sandbox(org(records=12, prepare_s=0.0)) as sandbox,
        ):
            sandbox.plan("Leads", *plans)
            mine = await submit_to(url, [], exports=["acme/Leads"])
            turn = await journal.begin_turn("acme", "host-1")
            settings = settings_for(
                sandbox.url,
                tmp_path,
                accounts={"acme": {"period_s": 1.0}},
                state_dir=tmp_path / "state",
                exports=(Export(module="Leads"),),
            )
            told: list[dict[str, Any]] = []
            async with Client(
                settings, exports=lambda local: journal.exports.in_turn("acme", turn, local)
            ) as client:
                run = client.export()
                async for outcome in run:
                    told.append(outcome.to_dict())
            [report] = run.ended_exports()
            assert report.status == status
        connections = await Connections.open(url, None)
        [ended] = [news async for news in Watch(connections, mine.submission).news()]
        await connections.aclose()
        assert isinstance(ended, EndedExport)
        assert export_record(ended.report) == export_record(report)
        pages = [page.to_dict() for page in ended.pages]
        for record in told:
            record.pop("quarantine", None)  # a path of the host that has it
        assert pages == sorted(told, key=lambda record: record["page"])
        assert len(pages) == 2

    asyncio.run(main())
