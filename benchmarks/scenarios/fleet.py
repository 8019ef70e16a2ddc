"""A fleet's growth: what a request costs the database, from 100 to 10,000 accounts at full pace.

Flat, or falling, is the aim: what is asked at the same time is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Contest, Target, figure
from benchmarks.stage import Stage

PER_WORKER = 500
# A worker gathers what its own accounts ask: the fewer it has, the less is gathered.
APART = 4


def contests(stage: Stage) -> Sequence[Contest]:
    """The database of a fleet, without HTTP; each worker has a process of its own."""
    numbers = [100, 1_000] if stage.options.quick else [100, 300, 1_000, 3_000, 10_000]
    seconds = stage.scaled(15, 3)
    cases = [
        stage.ours(
            f"{count:,} accounts",
            *("fleet_pace", str(count), str(seconds), str(-(-count // PER_WORKER))),
            series="bulkfetch",
            x=float(count),
            out=False,
        )
        for count in numbers
    ]
    most, apart = cases[-1].name, f"1,000 accounts, {APART} workers"
    cases.append(stage.ours(apart, "fleet_pace", "1000", str(seconds), str(APART), out=False))
    return [
        Contest(
            name="fleet",
            title="A fleet at full pace: what a request costs its database",
            cases=cases,
            reference=cases[0].name,
            repeats=1,
            x_label="accounts, ten requests a minute each",
            y_figures=(
                "db_cpu_ms_per_request",
                "commits_per_request",
                "wal_bytes_per_request",
                "claim_ms",
                "db_cores",
                "requests_per_s",
                "median_late_ms",
            ),
            notes="fsync is on; commits: transactions that write, of window and journal; claim: "
            "ten turns, where each account has one waiting and one being served.",
            targets=[
                Target(
                    f"transactions a request, {apart}",
                    figure(apart, "commits_per_request"),
                    0.3,
                ),
                Target("claim with most accounts, ms", figure(most, "claim_ms"), 10),
            ],
        )
    ]
