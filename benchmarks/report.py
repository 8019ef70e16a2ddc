"""What a run found, as JSON, as a Markdown table with its targets, and as charts. Pure but writing.

The functions take and give plain values; only `write` touches files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import chart, figures
from benchmarks.chart import number
from benchmarks.model import Case, Contest, Sample

# What follows it in README.md is written by `publish`.
MARK = "<!-- the last full run -->"


@dataclass(frozen=True, slots=True)
class Result:
    """A contest with what was measured; `wrong` are cases that failed, `lacking` not tried."""

    contest: Contest
    cases: Sequence[Case]
    samples: Mapping[str, Sequence[Sample]]
    wrong: Mapping[str, str]
    lacking: Mapping[str, str]


def as_json(result: Result, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Give all that was measured: every sample, and the medians."""
    return {
        "contest": result.contest.name,
        "title": result.contest.title,
        "reference": result.contest.reference,
        "machine": dict(machine),
        "cases": {
            name: {
                "medians": {k: f.median for k, f in figures.sum_up(taken).items()},
                "samples": [asdict(sample) for sample in taken],
            }
            for name, taken in result.samples.items()
        },
        "wrong": dict(result.wrong),
        "missing": dict(result.lacking),
        "targets": [
            {"says": says, "bound": bound, "value": value, "met": met}
            for says, bound, value, met in targets(result)
        ],
    }


def targets(result: Result) -> list[tuple[str, str, float | None, bool | None]]:
    """Give each target with its bound in words, its value, and whether it is met."""
    medians = figures.medians(result.samples)
    rows: list[tuple[str, str, float | None, bool | None]] = []
    for target in result.contest.targets:
        value = target.value(medians)
        bound = (
            f"≤ {number(target.at_most)}"
            if target.at_most is not None
            else f"≥ {number(target.at_least or 0)}"
        )
        rows.append((target.says, bound, value, None if value is None else target.met(value)))
    return rows


def as_markdown(result: Result) -> str:
    """Give the contest's section: heading, table, targets, what is missing."""
    contest = result.contest
    parts = [f"### {contest.title}", "", f"`{contest.name}`. {contest.notes}".rstrip(), ""]
    parts += _table(result)
    rows = [_judged(*row) for row in targets(result)]
    if rows:
        parts += ["", "| target | bound | measured | |", "|---|---|---|---|"]
        parts += [f"| {row} |" for row in rows]
    told = [f"{name}: {why}" for name, why in (*result.lacking.items(), *result.wrong.items())]
    if told:
        parts += ["", "Not measured: " + "; ".join(told) + "."]
    return "\n".join([*parts, ""])


def overview(results: Sequence[Result]) -> str:
    """Give the targets of all contests in one table."""
    rows = [
        f"| `{result.contest.name}` | {_judged(*row)} |"
        for result in results
        for row in targets(result)
    ]
    head = [
        "### All targets",
        "",
        "| contest | target | bound | measured | |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""]) if rows else ""


def _judged(says: str, bound: str, value: float | None, met: bool | None) -> str:
    verdict = "–" if met is None else "met" if met else "**missed**"
    shown = "not measured" if value is None else number(value)
    return f"{says} | {bound} | {shown} | {verdict}"


def _table(result: Result) -> list[str]:
    contest = result.contest
    summed = {name: figures.sum_up(taken) for name, taken in result.samples.items()}
    own = sorted({k for figs in summed.values() for k in figs} - set(figures.ACCOUNTS))
    if contest.y_figures:
        own = [name for name in own if name in contest.y_figures]
    elif contest.gigabytes:
        own = []
    reference = summed.get(contest.reference)
    cpu = "CPU s per GB" if contest.gigabytes else "CPU s"
    head = ["who", "wall s (lowest – highest)", cpu, "peak RSS MB"]
    if reference:
        head.append(f"wall, × {contest.reference}")
    head += [name.replace("_", " ") for name in own]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    ours = {case.name for case in result.cases if case.ours}
    order = sorted(summed, key=lambda name: summed[name]["wall_s"].median)
    if any(case.x is not None for case in result.cases):
        order = [case.name for case in result.cases if case.name in summed]
    for name in order:
        found = summed[name]
        wall = found["wall_s"]
        used = found["cpu_s"].median / (contest.gigabytes or 1.0)
        cells = [
            f"**{name}**" if name in ours else name,
            f"{wall.median:.2f} ({wall.low:.2f} – {wall.high:.2f})",
            f"{used:.2f}",
            f"{found['rss_bytes'].median / 1e6:.0f}",
        ]
        if reference:
            cells.append(f"{wall.median / reference['wall_s'].median:.2f}")
        cells += [number(found[k].median) if k in found else "" for k in own]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def charts(result: Result) -> dict[str, str]:
    """Give the contest's charts, by file name."""
    contest = result.contest
    summed = {name: figures.sum_up(taken) for name, taken in result.samples.items()}
    if not summed:
        return {}
    curves = [case for case in result.cases if case.x is not None and case.name in summed]
    if curves:
        drawn = {}
        for wanted in contest.y_figures:
            series: dict[str, list[tuple[float, float]]] = {}
            for case in curves:
                if wanted in summed[case.name] and case.x is not None:
                    point = (case.x, summed[case.name][wanted].median)
                    series.setdefault(case.series or "bulkfetch", []).append(point)
            label = wanted.replace("_", " ")
            drawn[f"{contest.name}-{wanted.replace('_', '-')}.svg"] = chart.lines(
                contest.title, contest.x_label, label, series
            )
        return drawn
    ours = {case.name for case in result.cases if case.ours}
    entries = [
        chart.Bar(name, f["wall_s"].median, f["wall_s"].low, f["wall_s"].high, name in ours)
        for name, f in summed.items()
    ]
    return {f"{contest.name}.svg": chart.bars(contest.title, "s", entries)}


def about(machine: Mapping[str, Any]) -> str:
    """Give the lines that say where and with what was measured."""
    libraries, programs = (
        ", ".join(f"{name} {version}" for name, version in machine[kind].items())
        for kind in ("libraries", "programs")
    )
    return (
        f"Measured {machine['when']} at revision `{machine['revision']}` on {machine['cores']} "
        f"cores of {machine['cpu']}, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}, Python {machine['python']}; {libraries}; {programs}. "
        f"Load before the run: {machine['load']}.\n"
    )


def publish(readme: Path, folder: Path) -> None:
    """Put the last run's targets into README.md, after its mark; tables and charts beside it."""
    pictures = readme.with_name("charts")
    shutil.rmtree(pictures, ignore_errors=True)
    shutil.copytree(folder / "charts", pictures)
    results = (folder / "results.md").read_text()
    readme.with_name("last-run.md").write_text(f"# The last run, case by case\n\n{results}")
    kept, mark, _ = readme.read_text().partition(MARK)
    if not mark:
        raise ValueError(f"{readme} has lost its mark: {MARK}")
    summary, _, _ = results.partition("\n### ")
    targets = results.removeprefix(summary).partition("\n### ")[2].partition("\n\n### ")[0]
    readme.write_text(f"{kept}{MARK}\n\n{summary}\n### {targets}\n")


def write(folder: Path, results: Sequence[Result], machine: Mapping[str, Any]) -> None:
    """Write {contest}.json, charts/*.svg and results.md, which shows them all."""
    pictures = folder / "charts"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    sections = [about(machine), overview(results)]
    for result in results:
        text = json.dumps(as_json(result, machine), indent=1)
        (folder / f"{result.contest.name}.json").write_text(text)
        sections.append(as_markdown(result))
        for name, drawing in charts(result).items():
            (pictures / name).write_text(drawing)
            sections.append(f"![{result.contest.title}](charts/{name})\n")
    (folder / "results.md").write_text("\n".join(sections))
