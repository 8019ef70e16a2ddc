"""A guard against decay that cannot flake: counts, not times. Run `python -m benchmarks.guard`.

It counts what a megabyte streamed and a small job cost in system calls (waiting ones apart,
for load moves them), and holds them against bounds two to four times what they were when
these were written. Load on the machine moves none of the counts far; a lost buffer size, a write
per chunk or a file opened twice moves them by an order. Needs strace (apt install strace) and
nginx. Exit status 0 within all bounds, 1 beyond one, 2 where it cannot be run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpus, nginx
from benchmarks.corpus import STREAM, TINY
from benchmarks.revisions import checkout, compiled
from benchmarks.stage import DATA, HERE

# Jobs of the two runs whose difference is a job's own cost, free of start-up and shut-down.
FEW, MANY = 100, 600
# Waiting calls depend on how the machine's load cuts a stream into pieces.
WAITING = frozenset({"futex", "epoll_wait", "sched_yield", "restart_syscall"})


@dataclass(frozen=True, slots=True)
class Bound:
    """A count, per megabyte or per job, and what it may come to."""

    says: str
    value: float
    at_most: float

    @property
    def kept(self) -> bool:
        """Whether the count is within."""
        return self.value <= self.at_most


def main() -> int:
    """Count, print, judge."""
    lacking = nginx.missing() or (None if shutil.which("strace") else "strace (apt install strace)")
    if lacking:
        print(f"error: not here: {lacking}", file=sys.stderr)
        return 2
    compiled(checkout())
    bodies = corpus.prepare(DATA, quick=True, tell=print)
    with nginx.Nginx(DATA / "nginx-guard", bodies.folder) as server:
        base, ca_file = server.base(tls=True), os.fspath(server.ca_file)
        body = bodies.bodies[STREAM]
        stream = ("stream", base, ca_file, "nosync")
        fetch = ("fetch", base, ca_file, "10", "sha256")
        for warm_up in (stream, fetch):
            # A program's first run finds modules uncompiled, reads more than the next, and would
            # hide as much of what the next one does.
            count_calls(*warm_up, *body.job_ids(1))
        one, three = (count_calls(*stream, *body.job_ids(count)) for count in (1, 3))
        megabytes = 2 * body.zip_bytes / 1e6
        few, many = (count_calls(*fetch, f"{TINY}*{count}") for count in (FEW, MANY))
        bounds = [*of_stream(three - one, megabytes), *of_jobs(many - few, MANY - FEW)]
    width = max(len(bound.says) for bound in bounds)
    for bound in bounds:
        verdict = "" if bound.kept else "   TOO MANY"
        print(f"{bound.says:{width}}  {bound.value:8.2f}   at most {bound.at_most:g}{verdict}")
    return 0 if all(bound.kept for bound in bounds) else 1


def of_stream(calls: Counter[str], megabytes: float) -> list[Bound]:
    """Judge the calls that streaming so much took."""
    return [
        Bound("writes per MB", _sum(calls, "write", "writev", "pwrite64") / megabytes, 4),
        Bound("receives per MB", _sum(calls, "recvfrom", "recvmsg", "read") / megabytes, 12),
        Bound("syncs per MB", _sum(calls, "fsync", "fdatasync") / megabytes, 0.25),
        Bound("maps and unmaps per MB", _sum(calls, "mmap", "munmap", "mremap") / megabytes, 2),
        Bound("all calls but waiting per MB", _working(calls) / megabytes, 24),
    ]


def of_jobs(calls: Counter[str], jobs: int) -> list[Bound]:
    """Judge the calls that so many small jobs took."""
    return [
        Bound("fsyncs per job", _sum(calls, "fsync", "fdatasync", "syncfs") / jobs, 4),
        Bound("files opened per job", _sum(calls, "openat", "open") / jobs, 4),
        Bound("sent per job", _sum(calls, "sendto", "sendmsg") / jobs, 8),
        Bound("connections per job", _sum(calls, "connect") / jobs, 0.1),
        Bound("threads started per job", _sum(calls, "clone", "clone3") / jobs, 0.1),
        Bound("all calls but waiting per job", _working(calls) / jobs, 100),
    ]


def count_calls(driver: str, *arguments: str) -> Counter[str]:
    """Count the system calls of a driver, its threads included. Raises RuntimeError."""
    program = os.fspath(HERE / "ours" / f"{driver}.py")
    with tempfile.TemporaryDirectory(dir=DATA) as room:
        out, counted = Path(room, "out"), Path(room, "calls")
        out.mkdir()
        env = checkout().env | {
            "BULKFETCH_STATE_DIR": os.fspath(Path(room, "state")),
            "ZOHO_ACCESS_TOKEN": "benchmark",
        }
        strace = ["strace", "-f", "-c", "-o", os.fspath(counted)]
        done = subprocess.run(
            [*strace, sys.executable, program, os.fspath(out), *arguments],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{driver}: {done.stderr.strip()[-400:]}")
        return read_counts(counted.read_text())


def read_counts(table: str) -> Counter[str]:
    """Read the table that `strace -c` writes: calls by name."""
    row = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+([a-z_]\w*)$")
    found = (row.match(line) for line in table.splitlines())
    return Counter({m.group(2): int(m.group(1)) for m in found if m and m.group(2) != "total"})


def _sum(calls: Counter[str], *names: str) -> int:
    return sum(calls[name] for name in names)


def _working(calls: Counter[str]) -> int:
    return sum(count for name, count in calls.items() if name not in WAITING)


if __name__ == "__main__":
    sys.exit(main())
