"""The harness' own pure parts: figures, charts, tables, what it reads of other programs."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.cells import Compared, compare
from benchmarks.model import Case, Contest, Sample, Target, ratio

from benchmarks import chart, figures, guard, measure, memory, report


def sample(wall_s: float, **own: float) -> Sample:
    return Sample(wall_s, wall_s / 2, wall_s / 4, 10_000_000, figures=own)


def contest(*targets: Target) -> Contest:
    cases = [Case("ours", lambda _: [], ours=True), Case("theirs", lambda _: [])]
    return Contest("race", "A race", cases, reference="theirs", gigabytes=0.5, targets=targets)


def result(*targets: Target) -> report.Result:
    race = contest(*targets)
    samples = {"ours": [sample(1.0), sample(3.0), sample(2.0)], "theirs": [sample(4.0)]}
    return report.Result(race, race.cases, samples, {}, {"another": "apt install another"})


def test_median_and_extent_come_from_all_samples() -> None:
    """A case is summed up as the median, lowest and highest of its samples."""
    wall = figures.sum_up([sample(1.0), sample(3.0), sample(2.0)])["wall_s"]
    assert (wall.median, wall.low, wall.high, wall.spread) == (2.0, 1.0, 3.0, 1.0)


def test_own_figures_stand_beside_the_accounts() -> None:
    """What a program tells of itself is summed up like what the system accounts to it."""
    summed = figures.sum_up([sample(1.0, jobs_per_s=10.0), sample(1.0, jobs_per_s=30.0)])
    assert summed["jobs_per_s"].median == 20.0
    assert summed["cpu_s"].median == 0.75


def test_a_target_is_judged_on_medians_and_none_where_unmeasured() -> None:
    """A target whose rival was not measured is neither met nor missed."""
    met = Target("wall", ratio("ours", "theirs", "wall_s"), at_most=0.5)
    missed = Target("speed", ratio("theirs", "ours", "wall_s"), at_least=2.5)
    unknown = Target("wall, × another", ratio("ours", "another", "wall_s"), at_most=1)
    rows = report.targets(result(met, missed, unknown))
    assert [(row[2], row[3]) for row in rows] == [(0.5, True), (2.0, False), (None, None)]


def test_all_targets_stand_in_one_table() -> None:
    """A run can be read from its first table: each contest's targets, bounds, figures, verdicts."""
    missed = Target("speed", ratio("theirs", "ours", "wall_s"), at_least=2.5)
    assert "| `race` | speed | ≥ 2.50 | 2.00 | **missed** |" in report.overview([result(missed)])
    assert report.overview([result()]) == ""


def test_the_table_tells_ratio_and_what_is_missing() -> None:
    """The Markdown holds each case, its ratio to the reference, and how to get what is missing."""
    text = report.as_markdown(result())
    assert "| **ours** | 2.00 (1.00 – 3.00) | 3.00 | 10 | 0.50 |" in text
    assert "another: apt install another" in text


def test_charts_are_well_formed_and_escape_names() -> None:
    """A chart is an XML document whatever the names in it."""
    bars = chart.bars("<b> & c", "s", [chart.Bar("a<b", 1.0, 0.5, 2.0, ours=True)])
    curves = chart.lines("t", "x", "y", {"a&b": [(1.0, 2.0), (100.0, 2.5), (0.0, 1.0)]})
    empty = chart.lines("t", "x", "y", {})
    for drawing in (bars, curves, empty):
        assert ET.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"


def test_growth_is_drawn_one_chart_for_each_figure() -> None:
    """A contest whose cases have an x gives a chart of lines for each figure asked for."""
    case = Case("1,000 jobs", lambda _: [], x=1000.0)
    growth = Contest("grow", "Growth", [case], "1,000 jobs", y_figures=("wall_s", "jobs_per_s"))
    samples = {"1,000 jobs": [sample(1.0, jobs_per_s=1000.0)]}
    drawn = report.charts(report.Result(growth, [case], samples, {}, {}))
    assert sorted(drawn) == ["grow-jobs-per-s.svg", "grow-wall-s.svg"]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (b"", {}),
        (b"done\n", {}),
        (b"{broken\n", {}),
        (b'noise\n{"jobs_per_s": 12, "name": "x", "ok": true}\n', {"jobs_per_s": 12.0}),
    ],
)
def test_figures_are_read_from_the_last_line(told: bytes, found: dict[str, float]) -> None:
    """Only numbers in a JSON object on a program's last line are figures."""
    assert measure.last_figures(told) == found


def test_what_a_case_leaves_is_compared_by_content(tmp_path: Path) -> None:
    """A run that leaves the right amount of wrong bytes is found out."""
    (tmp_path / "any name").write_bytes(b"right")
    right = Counter({(5, measure.crc32(tmp_path / "any name")): 1})
    measure.check(tmp_path, right, whole=True)
    (tmp_path / "any name").write_bytes(b"wrong")
    with pytest.raises(measure.WentWrong):
        measure.check(tmp_path, right, whole=True)


def test_cases_run_in_turn_and_a_failing_one_is_not_run_again(tmp_path: Path) -> None:
    """Rounds are interleaved, every other one backwards; who fails once is out."""
    race = contest()
    cases = [
        Case("good", lambda _: ["true"]),
        Case("bad", lambda _: ["sh", "-c", "echo why >&2; exit 3"]),
    ]
    told: list[str] = []
    samples, wrong = measure.run_contest(race, cases, 2, tmp_path, told.append)
    assert len(samples["good"]) == 2
    assert wrong == {"bad": "exit status 3: why"}
    assert list(tmp_path.iterdir()) == []


def test_counts_are_read_from_the_tracer(tmp_path: Path) -> None:
    """The guard reads calls by name, errors and the total left out."""
    table = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        " 75.01    1.308345         227      5740       545 futex\n"
        "  7.52    0.131082         102      1280           write\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    1.439427         205      7020       545 total\n"
    )
    assert guard.read_counts(table) == Counter({"futex": 5740, "write": 1280})


@pytest.mark.parametrize(
    ("device", "features", "taken"),
    [("0x0005", "0110010110", True), ("0x0005", "0110000110", False), ("0x0002", "111111", False)],
)
def test_a_host_that_takes_memory_back_is_known_by_its_balloon(
    tmp_path: Path, device: str, features: str, taken: bool
) -> None:
    """Free page reporting is a feature bit of the balloon device, and of no other."""
    (tmp_path / "virtio0").mkdir()
    (tmp_path / "virtio0/device").write_text(device + "\n")
    (tmp_path / "virtio0/features").write_text(features + "\n")
    (tmp_path / "virtio1").mkdir()
    assert memory.is_taken_back(tmp_path) is taken
    assert not memory.is_taken_back(tmp_path / "none")


@pytest.mark.slow
def test_what_is_held_is_single_pages() -> None:
    """The holder has used it all, keeps a page here and there, and ends with its stdin."""
    size = 256 << 20
    with subprocess.Popen(
        [sys.executable, "-I", "-S", memory.__file__, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        status = Path(f"/proc/{holder.pid}/status").read_text().splitlines()
        kb = {
            name: int(row.split()[0]) for name, row in (r.split(":") for r in status) if "kB" in row
        }
        assert kb["VmHWM"] * 1024 > size
        assert kb["VmRSS"] * 1024 < size // 8
        holder.communicate()
    assert holder.returncode == os.EX_OK


def test_cells_are_compared_one_by_one(tmp_path: Path) -> None:
    """Equal ones are counted, and each that is another, in a row that is missing too."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed here")
    table, parquet = tmp_path / "table.csv", tmp_path / "table.parquet"
    table.write_bytes(b'A,B\n1,"say ""x""\nhi"\n,2\n')
    cells = {"A": ["1", None], "B": ['say "x"\nhi', "2"]}
    pq.write_table(pa.table(cells), parquet)
    assert compare(table, parquet) == Compared(rows=2, cells=6, others=0)
    pq.write_table(pa.table(cells | {"A": ["1", "0"]}), parquet)
    assert compare(table, parquet) == Compared(rows=2, cells=6, others=1)
    pq.write_table(pa.table(cells).slice(0, 1), parquet)
    assert compare(table, parquet) == Compared(rows=2, cells=6, others=2)
