"""An org that changes while exports run: what they bring together is what the org holds."""

from __future__ import annotations

import asyncio
import csv
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.exporting import export, exporting, manifest, org, rows

from bulkfetch import Export
from bulkfetch.sandbox import Sandbox

pytestmark = pytest.mark.slow

FIELDS = ["Last_Name", "Modified_Time"]


class Copy:
    """What a user has who keeps the newest row of each Id and takes the deleted away."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, str]] = {}
        self.deleted: set[str] = set()

    def take(self, out: Path) -> None:
        """Take over the newest export."""
        for row in rows(out, "Leads"):
            known = self.records.get(row["Id"])
            if known is None or _changed(known) <= _changed(row):
                self.records[row["Id"]] = row
        told = manifest(out, "Leads")
        if told["deleted"] is not None:
            folder = max(path for path in (out / "Leads").iterdir() if path.is_dir())
            with (folder / told["deleted"]["file"]).open(newline="", encoding="utf-8") as file:
                self.deleted |= {row["id"] for row in csv.DictReader(file)}

    def now(self) -> dict[str, dict[str, str]]:
        """Return the records that are left."""
        return {key: row for key, row in self.records.items() if key not in self.deleted}


def _changed(row: dict[str, str]) -> datetime:
    return datetime.fromisoformat(row["Modified_Time"])


async def _stir(sandbox: Sandbox, rng: Random) -> None:
    """Change the org for ever, some seconds apart."""
    for number in range(10**6):
        await asyncio.sleep(rng.uniform(0.1, 25))
        records = sandbox.rows("Leads", [])
        what = rng.choice(["insert", "modify", "modify", "delete"])
        if what == "insert" or not records:
            sandbox.insert("Leads", {"Last_Name": f"new {number}"})
        elif what == "modify":
            record = rng.choice(records)
            sandbox.modify("Leads", record["Id"], {"Last_Name": f"again {number}"})
        else:
            record = rng.choice(records)
            sandbox.delete("Leads", record["Id"], permanent=rng.random() < 0.3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "way", [{}, {"pages": "live"}, {"query_lag_s": 120.0}, {"pages": "live", "query_lag_s": 400.0}],
    ids=str,
)  # fmt: skip
def test_full_and_changes_and_deletions_are_the_org(
    tmp_path: Path, way: dict[str, Any], seed: int
) -> None:
    """Changes fall before, between and after the pages of chains; in the end nothing is missing."""

    async def main(sandbox: Sandbox) -> None:
        rng, copy = Random(f"{way}/{seed}"), Copy()
        changes = Export(module="Leads", fields=FIELDS, sync="changes", deleted=True)
        for number in range(4):
            stirring = asyncio.create_task(_stir(sandbox, rng))
            seen = await export(sandbox, tmp_path, changes)
            assert seen.error is None
            assert (seen.only().mode, seen.only().status) == (
                "changes" if number else "full",
                "done",
            )
            copy.take(tmp_path)
            await asyncio.sleep(rng.uniform(0, 3000))
            stirring.cancel()
        await asyncio.sleep(500)
        await export(sandbox, tmp_path, changes)
        copy.take(tmp_path)
        assert copy.now() == {row["Id"]: row for row in sandbox.rows("Leads", FIELDS)}
        accepted = [(each.page_token or each.job_id) for each in sandbox.arrivals("create")]
        assert len(set(accepted)) == len(accepted)

    # The client compares days by its own clock.
    exporting(main, org(**{"epoch": None, **way}))
