"""What nobody knows of Zoho: an export comes out the same, whichever way it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.exporting import export, exporting, org, rows

from bulkfetch import Export
from bulkfetch.sandbox import Sandbox

EXPORT = Export(module="Leads", fields=["Last_Name", "Owner.last_name", "Modified_Time"])

WAYS: list[dict[str, Any]] = [
    {"token_reuse": False},
    {"page_on_v7": "same"},
    {"page_on_v7": "refused"},
    {"unfinished_result": True},
    {"token_on_unfinished": True},
    {"create_errors": "top"},
    {"pages": "live"},
    {"pages": "shifting"},
    {"csv_zone": "utc"},
    {"count_lag_s": 600.0},
    {"not_ready": "202"},
    {"not_found_status": 400},
    {"framing": "chunked"},
    {"retry_after": "seconds", "creates_per_minute": 1},
    {"concurrency": 1},
    {"credits_per_day": 250},
    {"check_scopes": False, "paths": "bulk"},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_export_is_the_same_whichever_way_zoho_is(tmp_path: Path, way: dict[str, Any]) -> None:
    """Three pages, three creates, every record once."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, EXPORT)
        assert seen.error is None
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads", EXPORT.fields)
        accepted = [each.page for each in sandbox.arrivals("create") if each.job_id]
        assert accepted == [1, 2, 3]

    exporting(main, org(**way))
