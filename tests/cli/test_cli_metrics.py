"""The file of --metrics: what Prometheus's own parser reads of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli.metrics_file import MetricsFile
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event


def samples(path: Path) -> dict[tuple[str, ...], float]:
    """Return what the parser reads: name and labels to value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8"))
        for sample in family.samples
    }


def test_a_run_is_counted(program: Program, call: Callable[..., Ended]) -> None:
    """At its end the file has the run's figures, and no other file is left beside it."""
    name = program.settings(sandbox=f'faults = {{ "{IDS[0]}" = ["error_400_not_found"] }}')
    ended = call("run", name, *IDS[:4], "--metrics", "m.prom")
    read = samples(program.folder / "m.prom")
    assert read["bulkfetch_run_exit_status",] == ended.status
    assert read["bulkfetch_run_active",] == 0
    assert read["bulkfetch_jobs_done_total", "default"] == len(ended.out.splitlines())
    asked = sum(value for key, value in read.items() if key[0] == "bulkfetch_requests_total")
    assert asked >= 4
    assert read["bulkfetch_received_bytes_total", "default"] > 0
    assert [each for each in os.listdir(program.folder) if each.startswith("m.prom")] == ["m.prom"]


def test_without_its_package_nothing_is_started(
    program: Program, call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, with the command that installs it; no folder is made."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    ended = call("run", program.settings(), IDS[0], "--metrics", "run.prom")
    assert ended.status == 2
    assert ended.err.splitlines() == [
        "error: --metrics needs prometheus-client, which is not installed",
        "hint: Install it: pip install 'prometheus-client<1,>=0.21'.",
    ]
    assert [path.name for path in program.folder.iterdir()] == ["jobs.toml"]


def test_labels_are_escaped(tmp_path: Path) -> None:
    """The parser reads back whatever an account or a code is called."""
    odd = 'a"b\\c\nd é'
    file = MetricsFile(str(tmp_path / "m.prom"), pytest.fail)
    file.metrics.count(Event("failed", "", odd, "1", {"code": odd, "hint": "", "attempts": 1}))
    file.close()
    assert samples(tmp_path / "m.prom")["bulkfetch_jobs_failed_total", odd, odd] == 1


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is a usage error at the start, and a warning at the end where it comes later."""
    with pytest.raises(ConfigError, match="--metrics"):
        MetricsFile(str(tmp_path / "none" / "m.prom"), pytest.fail)
    told: list[str] = []
    folder = tmp_path / "folder"
    folder.mkdir()
    file = MetricsFile(str(folder / "m.prom"), told.append)
    (folder / "m.prom").unlink()
    folder.rmdir()
    file.close()
    assert len(told) == 1
    assert "cannot be written" in told[0]
