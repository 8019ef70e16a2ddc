"""Measuring: whole processes, interleaved, their work checked, nothing of one left for the next."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.model import Case, Contents, Contest, Sample

LAUNCH = Path(__file__).with_name("launch.py")
# A case that takes longer is hung; a million jobs take most of an hour on two slow cores.
LIMIT_S = 7200.0


class WentWrong(Exception):
    """A case failed, or left something else than it should."""


def run_contest(
    contest: Contest,
    cases: Sequence[Case],
    repeats: int,
    scratch: Path,
    tell: Callable[[str], None],
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    """Measure the cases in turn, `repeats` times over; give samples and, by case, what went wrong.

    Every other round goes backwards, so that no case always follows the same one. A case that went
    wrong is not run again. In the first round every byte left behind is checked, later its amount.
    """
    if contest.hoards:
        # ext4 looks at every inode freed in the last minutes before it takes another: removing
        # thousands of files would be paid for by whoever makes files next.
        scratch = scratch / f"hoard-{os.getpid()}"
        try:
            return _rounds(contest, cases, repeats, scratch, tell)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return _rounds(contest, cases, repeats, scratch, tell)


def _rounds(
    contest: Contest,
    cases: Sequence[Case],
    repeats: int,
    scratch: Path,
    tell: Callable[[str], None],
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    wrong: dict[str, str] = {}
    for turn in range(repeats):
        for case in cases if turn % 2 == 0 else reversed(cases):
            if case.name in wrong:
                continue
            try:
                leaves = case.leaves or contest.leaves
                sample = run_case(case, leaves, scratch, whole=turn == 0, keep=contest.hoards)
            except WentWrong as error:
                wrong[case.name] = str(error)
                tell(f"  {case.name}: {error}")
                continue
            samples[case.name].append(sample)
            tell(
                f"  {turn + 1}/{repeats} {case.name}: wall {sample.wall_s:.2f} s, "
                f"CPU {sample.cpu_s:.2f} s, RSS {sample.rss_bytes / 1e6:.0f} MB"
            )
    return {name: taken for name, taken in samples.items() if taken}, wrong


def run_case(
    case: Case, leaves: Contents | None, scratch: Path, *, whole: bool, keep: bool = False
) -> Sample:
    """Run a case once in an empty folder, which is removed unless kept. Raises WentWrong."""
    scratch.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    out = room / "out"
    out.mkdir()
    try:
        # What earlier cases left dirty is on the disk before this one begins.
        os.sync()
        sample = _launch(case, out, room)
        if leaves is not None:
            check(out, leaves, whole=whole)
        return sample
    finally:
        if not keep:
            shutil.rmtree(room)


def check(out: Path, leaves: Contents, *, whole: bool) -> None:
    """Compare what lies in a folder with what should, names aside. Raises WentWrong."""
    paths = [
        path
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".bulkfetch" not in path.parts and path.suffix != ".zip-source"
    ]
    if whole:
        found = Counter((path.stat().st_size, crc32(path)) for path in paths)
        if found != leaves:
            raise WentWrong(f"left {_says(found)}, should have left {_says(leaves)}")
    sizes = Counter(path.stat().st_size for path in paths)
    due: Counter[int] = Counter()
    for (size, _), count in leaves.items():
        due[size] += count
    if sizes != due:
        raise WentWrong(f"left {sizes.total()} files of other sizes than it should")


def crc32(path: Path) -> int:
    """Sum up a file."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value


def _says(contents: Contents) -> str:
    return f"{contents.total()} files with {sum(n * size for (size, _), n in contents.items())} B"


def _launch(case: Case, out: Path, room: Path) -> Sample:
    report, told = room / "report.json", room / "stdout"
    python = [sys.executable, "-I", "-S", "-B", os.fspath(LAUNCH), os.fspath(report)]
    with told.open("wb") as stdout:
        try:
            done = subprocess.run(
                [*python, *case.argv(out)],
                env={**os.environ, **case.env},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise WentWrong(f"still running after {LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise WentWrong(f"exit status {done.returncode}: {' / '.join(tail)}")
    return Sample(**json.loads(report.read_text()), figures=last_figures(told.read_bytes()))


def last_figures(told: bytes) -> dict[str, float]:
    """Read the numbers that a program told in its last line, {} where it told none."""
    lines = told.strip().splitlines()
    if not lines or not lines[-1].startswith(b"{"):
        return {}
    try:
        found = json.loads(lines[-1])
    except ValueError:
        return {}
    return {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
