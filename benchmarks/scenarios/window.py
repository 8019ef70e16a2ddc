"""The window: its schedule against the earliest possible, its cost, and many at once.

The schedule and the cost are taken on a virtual clock; the scaled windows run on real sockets
against a counting server of their own, in real time with a period of a second or two.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Contest, Target, figure
from benchmarks.stage import Stage

SCHEDULE, LEAKY = "ten slots", "AsyncLimiter(10, 60)"
SPACED = "AsyncLimiter(1, 6)"


def contests(stage: Stage) -> Sequence[Contest]:
    """Schedule, cost with many waiting, real sockets, a thousand accounts."""
    waiting = stage.scaled(100_000, 5_000)
    accounts = stage.scaled(1_000, 50)
    schedule = Contest(
        name="window-schedule",
        title="1,000 grants on a virtual clock, answers at once",
        cases=[
            stage.ours(SCHEDULE, "schedule", "slots", "1000", out=False),
            stage.ours(LEAKY, "schedule", "leaky", "1000", out=False),
            stage.ours(SPACED, "schedule", "spaced", "1000", out=False),
        ],
        reference=SCHEDULE,
        repeats=1,
        y_figures=("worst_in_60_s", "last_s", "late_s", "late_beyond_margin_s"),
        notes="late: behind the earliest schedule that keeps ten in any 60 s, at the last grant.",
        targets=[
            Target("most grants in any 60 s", figure(SCHEDULE, "worst_in_60_s"), 10),
            Target("late beyond the margin, s", figure(SCHEDULE, "late_beyond_margin_s"), 0.01),
        ],
    )
    cost = Contest(
        name="window-cost",
        title=f"The cost of a grant with {waiting:,} callers waiting",
        cases=[
            stage.ours("bulkfetch", "grants", "slots", str(waiting), out=False),
            stage.ours("AsyncLimiter", "grants", "leaky", str(waiting), out=False),
        ],
        reference="bulkfetch",
        times=2,
        y_figures=("us_per_grant", "bytes_per_waiter"),
        notes="Time between the first and the last of 10,000 grants out of the line, CPU, each.",
        targets=[Target("µs per grant", figure("bulkfetch", "us_per_grant"), 10)],
    )
    sockets = Contest(
        name="window-sockets",
        title="Ten a period of 2 s on real sockets, 60 requests, latency 0 to 0.3 s",
        cases=[stage.ours("bulkfetch", "sockets", "1", "60", "2", out=False)],
        reference="bulkfetch",
        repeats=stage.scaled(3, 1),
        y_figures=("worst_in_period", "last_s", "earliest_s"),
        targets=[
            Target("most at the server in any period", figure("bulkfetch", "worst_in_period"), 10)
        ],
    )
    fleet = Contest(
        name="window-accounts",
        title=f"{accounts:,} accounts in one process, each ten a period of 20 s, 30 requests each",
        cases=[stage.ours("bulkfetch", "fleet", str(accounts), "30", "20", out=False)],
        reference="bulkfetch",
        repeats=stage.scaled(3, 1),
        y_figures=("worst_late_percent", "median_late_percent", "worst_in_period"),
        notes="late: an account's last grant against its own schedule, in percent of that.",
        targets=[
            Target("worst account, % behind", figure("bulkfetch", "worst_late_percent"), 2),
            Target("most grants in any period", figure("bulkfetch", "worst_in_period"), 10),
        ],
    )
    return [schedule, cost, sockets, fleet]
