"""What several tests of fleets begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.fleet_exports import EXPORTS, ExportScene
from tests.support.fleet_scene import fleet_scene
from tests.support.postgres import PostgresServer


@pytest.fixture
def export_scene(tmp_path: Path, postgres: PostgresServer, database: str) -> Iterator[ExportScene]:
    """Give what makes a fleet with exports, of one account whose pages are prepared at once.

    Its arguments are other ones of `fleet_scene`.
    """
    usual: dict[str, Any] = {
        "accounts": 1,
        "heartbeat_s": 5,
        "exports": EXPORTS,
        "org": {"prepare_s": 0.0},
        "period_s": 1.0,
    }
    with ExitStack() as scenes:
        yield lambda **others: scenes.enter_context(
            fleet_scene(tmp_path, postgres, database, **usual | others)
        )
