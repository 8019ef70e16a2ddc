"""The journal alone: how long a list takes to go in, to open again, to give its first jobs."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Contest
from benchmarks.stage import Stage


def contests(stage: Stage) -> Sequence[Contest]:
    """Lists of growing length."""
    lengths = [1_000, 10_000] if stage.options.quick else [10_000, 100_000, 1_000_000]
    return [
        Contest(
            name="journal",
            title="A journal of many jobs",
            cases=[
                stage.ours(
                    f"{length:,} jobs", "journal", str(length), series="bulkfetch", x=float(length)
                )
                for length in lengths
            ],
            reference=f"{lengths[0]:,} jobs",
            repeats=stage.scaled(3, 1),
            x_label="jobs in the list",
            y_figures=(
                "admit_us_per_job",
                "open_ms",
                "first_take_ms",
                "done_us_per_job",
                "bytes_per_job",
            ),
            notes="done: recorded downloaded, then done, fifty callers at once, durable each.",
        )
    ]
