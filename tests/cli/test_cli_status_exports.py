"""`bulkfetch status` tells how far exports are, page by page, and never a page token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tests.support.journals import opened
from tests.support.programs import Ended, Program

from bulkfetch.journal import Change, GenerationRow, PageRow
from bulkfetch.models import ExportReport, Failure

Call = Callable[..., Ended]

TOKEN = "a4d1c8ffhushhush"
COMMITTED = (
    '{"cursor_to": "2026-09-30T02:00:01Z", "folder": "20260930T020001Z-full", '
    '"finished": "2026-09-30T02:10:00Z"}'
)


def furnish(program: Program) -> None:
    """An output folder with a complete export, one that is under way, and one that nobody began."""

    async def main() -> None:
        async with opened(program.folder / "exports") as journal:
            tables = journal.exports
            rows = await tables.begin([(name, "default") for name in ("Leads", "Deals", "New")])
            made = GenerationRow(
                0,
                0,
                "default",
                "ACTIVE",
                '{"mode": "changes"}',
                ({},),
                "ab",
                "2026-10-01T02:00:00Z",
            )
            for name in ("Leads", "Deals"):
                leads = replace(made, export=rows[name].key)
                generation, _ = await tables.open(leads, [PageRow(0, 1, 1)], Change())
                if name == "Leads":
                    row = replace(rows[name], committed=COMMITTED)
                    ended = replace(generation, state="COMMITTED", spent=53)
                    end = ExportReport(name, "default", "done")
                    await tables.write(Change(generation=ended, export=row, end=end))
                    continue
                pages = [
                    PageRow(generation.key, 1, 1, "COUNTED", job_id="71", records=200_000),
                    PageRow(generation.key, 1, 2, "PREPARING", job_id="72", token=TOKEN),
                    PageRow(generation.key, 2, 1, "FAILED", error=Failure("X", "no", "ask", 400)),
                ]
                await tables.write(Change(pages, generation=replace(generation, spent=1_180)))

    asyncio.run(main())


def test_status_tells_of_exports(program: Program, call: Call) -> None:
    """What is complete with its cursor; what is under way page by page, with the job's ids."""
    furnish(program)
    ended = call("status", "exports")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "export Leads: nothing under way; last 20260930T020001Z-full, cursor 2026-09-30T02:00:01Z",
        "export Deals: changes, pages: 1 fetched and counted, 1 being prepared, 1 failed; "
        "1,180 credits; none complete yet",
        "  page 1: fetched and counted, job 71, 200,000 records",
        "  page 2: being prepared, job 72",
        "  chain 2, page 1: failed: X: no",
        "export New: nothing under way; none complete yet",
        "no run is active",
    ]
    assert call("status", "exports", "--check").status == 1


def test_status_as_json(program: Program, call: Call) -> None:
    """One object for each export, one for each page that is under way; no page token in any."""
    furnish(program)
    ended = call("status", "exports", "--json")
    leads, deals, *pages, new, _ = ended.records
    assert (leads["type"], leads["name"], leads["status"]) == ("export", "Leads", "done")
    assert leads["cursor"] == "2026-09-30T02:00:01Z"
    assert leads["folder"] == "20260930T020001Z-full"
    assert (deals["status"], deals["state"], deals["mode"]) == ("pending", "ACTIVE", "changes")
    assert deals["credits"] == {"spent": 1180, "wasted": 0}
    assert [(page["chain"], page["page"], page["state"], page["id"]) for page in pages] == [
        (1, 1, "COUNTED", "71"),
        (1, 2, "PREPARING", "72"),
        (2, 1, "FAILED", None),
    ]
    assert new["status"] == "pending"
    assert TOKEN not in ended.out
