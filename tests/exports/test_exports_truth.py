"""Changes after a full export, put together as a reader does, equal the store; on a virtual clock.

Records are added, changed and deleted before, while and after chains of pages run. Whatever an
export misses of that, a later one must bring.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.exports_reading import Row, published, read_back
from tests.support.flow_clock import run_flow
from tests.support.flows import loop_windows, settings_for

from bulkfetch import Client, Export
from bulkfetch.sandbox import Sandbox, SandboxOptions

pytestmark = pytest.mark.slow

FIELDS = ["Last_Name", "City", "Created_Time", "Modified_Time"]
RECORDS, PER_PAGE = 12, 5
# A chain of three pages with some polling and downloading takes about as long.
NIGHT_S = 60.0


class Deed(NamedTuple):
    """What somebody does in the CRM, when after the export's beginning, and to which record."""

    after_s: float
    kind: Literal["insert", "modify", "delete", "delete for good"]
    pick: int


class Night(NamedTuple):
    """One export, and what is done meanwhile."""

    deeds: list[Deed]
    full: bool


DEEDS = st.builds(
    Deed,
    st.floats(0, NIGHT_S).map(lambda s: round(s, 2)),
    st.sampled_from(["insert", "modify", "modify", "delete", "delete for good"]),
    st.integers(0, 1_000),
)
NIGHTS = st.lists(
    st.builds(Night, st.lists(DEEDS, max_size=12), st.booleans()), min_size=1, max_size=4
)


def do(sandbox: Sandbox, deed: Deed) -> None:
    """Do one deed, if there is a record to do it to."""
    there = [row["Id"] for row in sandbox.rows("Leads", ["Last_Name"])]
    if deed.kind == "insert":
        sandbox.insert("Leads", {"Last_Name": f"New {deed.pick}"})
    elif there:
        record_id = there[deed.pick % len(there)]
        if deed.kind == "modify":
            sandbox.modify("Leads", record_id, {"City": f"City {deed.pick}"})
        else:
            sandbox.delete("Leads", record_id, permanent=deed.kind == "delete for good")


async def work(sandbox: Sandbox, deeds: list[Deed]) -> None:
    """Do the deeds of a night, each at its time."""
    start = asyncio.get_running_loop().time()
    for deed in sorted(deeds):
        await asyncio.sleep(max(0.0, start + deed.after_s - asyncio.get_running_loop().time()))
        do(sandbox, deed)


async def export(sandbox: Sandbox, out: Path, *, full: bool, overlap_s: float, split: int) -> None:
    """Export changes once, as one call of the command does."""
    wanted = Export(
        module="Leads",
        fields=FIELDS,
        sync="changes",
        deleted=True,
        overlap_s=overlap_s,
        split=split,
    )
    async with Client(settings_for(sandbox.url, out)) as client:
        report = await client.export(wanted, full=full).report()
    assert report.status == "done", report.error


def plain(row: Row) -> Row:
    """Return a row with its times as instants: offsets are free."""
    moments = {
        name: datetime.fromisoformat(row[name]).astimezone(UTC).isoformat()
        for name in ("Created_Time", "Modified_Time")
    }
    return row | moments


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    nights=NIGHTS,
    pages=st.sampled_from(["snapshot", "live"]),
    overlap_s=st.sampled_from([0.0, 5.0, 600.0]),
    split=st.integers(1, 2),
)
def test_full_and_changes_and_deletions_together_equal_the_store(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[Night],
    pages: Literal["snapshot", "live"],
    overlap_s: float,
    split: int,
) -> None:
    """Newest row of each Id, minus the deleted: after a quiet export, that is the store."""
    out = tmp_path_factory.mktemp("truth") / "out"
    options: dict[str, Any] = {
        "per_page": PER_PAGE,
        "module_records": RECORDS,
        "pages": pages,
        "prepare_s": 10.0,
    }

    async def play() -> None:
        async with Sandbox(SandboxOptions(**options)) as sandbox:
            with loop_windows():
                for night in [*nights, Night([], full=False)]:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(work(sandbox, night.deeds))
                        await export(
                            sandbox, out, full=night.full, overlap_s=overlap_s, split=split
                        )
                    await asyncio.sleep(1)  # so that folders differ in their second
            rows = {row["Id"]: plain(row) for row in sandbox.rows("Leads", FIELDS)}
            read = {record_id: plain(row) for record_id, row in read_back(out / "Leads").items()}
            assert read == rows

    run_flow(play())
    assert len(published(out / "Leads")) == len(nights) + 1
