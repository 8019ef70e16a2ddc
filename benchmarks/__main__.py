"""The command: `python -m benchmarks [scenario …] [--peers] [--against REV] …`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, measure, memory, nginx, report, revisions, scenarios
from benchmarks.model import Case, Contest
from benchmarks.revisions import Revision
from benchmarks.servers import Servers
from benchmarks.stage import DATA, HERE, Options, Stage

# What the largest contest writes, the page cache of its rivals included.
RAM_DISK_BYTES = 8 << 30

EPILOG = f"""\
scenarios: {", ".join(scenarios.NAMES)}
A scenario's name, or a contest's such as stream-tls. Results go to benchmarks/results/.
"""


def main() -> int:
    """Measure what was asked for. Exit status 0; 1 where one of our own cases failed; 2 usage."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure bulkfetch beside what people would otherwise pick.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenario", nargs="*", help="what to measure (default: everything)")
    add("--peers", action="store_true", help="measure the rivals too")
    add("--against", metavar="REV", help="measure another revision of this project beside")
    add("--repeats", type=int, metavar="N", help="samples of each case (default: 5, quick: 2)")
    add("--quick", action="store_true", help="small data: does it work, not how fast is it")
    add("--full", action="store_true", help="the longest lists too (a million jobs, an hour)")
    add("--peers-python", default=sys.executable, metavar="PYTHON", help="runs Python peers")
    add("--scratch", type=Path, default=_scratch(), metavar="DIR", help="where files are written")
    add("--publish", action="store_true", help="put the results into benchmarks/README.md")
    add("--only", metavar="TEXT", help="only cases whose name holds TEXT")
    asked = parser.parse_args()

    options = Options(asked.peers, asked.quick, asked.full, asked.peers_python)
    repeats = asked.repeats or (2 if asked.quick else 5)
    with ExitStack() as stack:
        try:
            revision = revisions.lay_out(asked.against, DATA / "trees") if asked.against else None
        except ValueError as error:
            parser.error(str(error))
        if revision:
            stack.callback(revisions.clear, revision)
            revisions.compiled(revision)
        revisions.compiled(revisions.checkout())
        stage = Stage(
            options,
            lambda bodies: stack.enter_context(nginx.Nginx(DATA / "nginx", bodies.folder)),
            lambda results: stack.enter_context(Servers(results)),
        )
        try:
            contests = list(_pick(asked.scenario, stage))
        except KeyError as error:
            parser.error(f"no scenario or contest {error}; there are: {', '.join(scenarios.NAMES)}")
        where = machine.describe()
        if not asked.quick:
            stack.enter_context(memory.held(_tell))
            stage.load_corpus()  # holding threw them out: 1 s for whoever comes first
        results = []
        for contest in contests:
            count = contest.repeats or contest.times * repeats
            results.append(_measure(contest, revision, asked.only, count, asked.scratch))
            report.write(HERE / "results", results, where)
    if asked.publish:
        report.publish(HERE / "README.md", HERE / "results")
    print(f"\nwritten to {HERE / 'results'}: results.md, JSON, charts")
    ours = {case.name for result in results for case in result.cases if case.ours}
    return 1 if any(name in ours for result in results for name in result.wrong) else 0


def _scratch() -> Path:
    """Return a folder on a RAM disk with room for the largest contest, else one on the disk."""
    ram = Path("/dev/shm")
    has_room = ram.is_dir() and shutil.disk_usage(ram).free >= RAM_DISK_BYTES
    return ram / "bulkfetch-benchmarks" if has_room else DATA / "out"


def _tell(line: str) -> None:
    print(line, flush=True)


def _pick(names: Sequence[str], stage: Stage) -> list[Contest]:
    if not names:
        return [contest for name in scenarios.NAMES for contest in scenarios.contests(name, stage)]
    found = []
    for name in names:
        module = name if name in scenarios.NAMES else name.split("-")[0]
        if module not in scenarios.NAMES:
            raise KeyError(name)
        chosen = [
            contest
            for contest in scenarios.contests(module, stage)
            if name in (module, contest.name)
        ]
        if not chosen:
            raise KeyError(name)
        found += chosen
    return found


def _measure(
    contest: Contest, revision: Revision | None, only: str | None, repeats: int, scratch: Path
) -> report.Result:
    print(f"\n{contest.name}: {contest.title}", flush=True)
    cases, lacking = [], {}
    for case in contest.cases:
        if only and only not in case.name:
            continue
        if case.missing:
            lacking[case.name] = case.missing
            print(f"  {case.name}: not here: {case.missing}")
        else:
            cases += list(_with_revisions(case, revision))
    samples, wrong = measure.run_contest(contest, cases, repeats, scratch, _tell)
    result = report.Result(contest, cases, samples, wrong, lacking)
    print("\n" + report.as_markdown(result), flush=True)
    return result


def _with_revisions(case: Case, other: Revision | None) -> list[Case]:
    """Give the case, and where it is ours the same with the other revision's bulkfetch."""
    if not case.ours:
        return [case]
    here = replace(case, env={**case.env, **revisions.checkout().env})
    if other is None:
        return [here]
    series = f"{case.series or 'bulkfetch'} {other.label}"
    there = replace(
        case, name=f"{case.name} {other.label}", env={**case.env, **other.env}, series=series
    )
    return [here, there]


if __name__ == "__main__":
    sys.exit(main())
