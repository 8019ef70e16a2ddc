"""The file of --metrics: what Prometheus's own parser reads of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families
from tests.support.fences import ROOT
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli import metrics_file, runner
from bulkfetch.cli.metrics_file import MetricsFile
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.ratelimit import WindowState

WINDOW = (
    "slots",
    "free_slots",
    "in_flight_requests",
    "waiting_requests",
    "closed_seconds",
    "held_seconds",
)


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


def test_the_window_while_the_run_goes_on(
    program: Program, call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gauges are there with the account until the end, and those of the document are all."""
    texts: list[str] = []

    def write(path: str, registry: CollectorRegistry) -> None:
        texts.append(generate_latest(registry).decode())
        write_to_textfile(path, registry)

    monkeypatch.setattr(metrics_file, "write_to_textfile", write)
    monkeypatch.setattr(metrics_file, "WRITTEN_EVERY_S", 0.01)
    monkeypatch.setattr(runner, "_LOOK_S", 0.02)
    name = program.settings(sandbox="latency_s = [0.1, 0.1]")
    call("run", name, *IDS[:4], "--metrics", "m.prom")
    told = [
        {family.name: family for family in text_string_to_metric_families(text)} for text in texts
    ]
    stood = [each for each in told if each["bulkfetch_window_slots"].samples]
    page = (ROOT / "docs" / "how-to-follow-a-run.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(bulkfetch_window_\w+)` \|", page, re.MULTILINE))
    assert documented == {name for name in told[0] if name.startswith("bulkfetch_window_")} - {
        "bulkfetch_window_closed"
    }
    assert stood
    for family in (stood[0][name] for name in documented):
        assert family.type == "gauge"
        assert [sample.labels for sample in family.samples] == [{"account": "default"}]
    assert not any(told[-1][name].samples for name in documented)


def test_a_window_as_it_stands(tmp_path: Path) -> None:
    """The gauges give what the limiter says of each account."""
    file = MetricsFile(str(tmp_path / "m.prom"), pytest.fail)
    closed = WindowState(0, 3, 7, None, 41.5, 9, 10, held_s=2.0)
    file.metrics.look({"eu": closed, "us": WindowState(10, 0, 0, 0.0, 0.0, 10, 10)})
    file.close()
    read = samples(tmp_path / "m.prom")
    assert [read[f"bulkfetch_window_{name}", "eu"] for name in WINDOW] == [9, 0, 3, 7, 41.5, 2]
    assert [read[f"bulkfetch_window_{name}", "us"] for name in WINDOW] == [10, 10, 0, 0, 0, 0]
