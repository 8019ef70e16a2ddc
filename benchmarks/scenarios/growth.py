"""Growth: cost against the number of jobs and against the size of each, on one chart per figure.

Flat is the aim: CPU per gigabyte must not grow with a body's size nor with how many there are, and
memory with neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.corpus import CRM, STREAM, STREAM_TENTH
from benchmarks.model import Contest, Target, figure
from benchmarks.stage import Stage


def contests(stage: Stage) -> Sequence[Contest]:
    """Sizes streamed one at a time and ten at once; numbers of jobs through the whole path."""
    sizes = []
    # The same bytes in all, as one body after another or as ten at once.
    for code, count in ((STREAM, 1), (STREAM, 2), (STREAM, 4), (STREAM_TENTH, 10)):
        body = stage.corpus.bodies[code]
        moved = count * body.zip_bytes
        name = f"{count} × {body.zip_bytes / 1e6:.0f} MB"
        ids = body.job_ids(count)
        sizes.append(
            stage.online(
                name,
                "stream",
                "nosync",
                *ids,
                series=f"{body.zip_bytes / 1e6:.0f} MB each",
                x=moved / 1e6,
            )
        )
    numbers = []
    for count in (1, 3, 10, 30):
        numbers.append(
            stage.online(
                f"{count} jobs",
                "fetch",
                "10",
                "sha256",
                *(stage.corpus.bodies[CRM[n % 4]].job_ids(1, n)[0] for n in range(count)),
                series="CRM tables, whole path",
                x=float(count),
            )
        )
    return [
        Contest(
            name="growth-size",
            title="Streaming: cost against megabytes moved",
            cases=sizes,
            reference=sizes[0].name,
            x_label="MB moved",
            y_figures=("cpu_s", "rss_bytes"),
            repeats=stage.scaled(3, 1),
            targets=[
                Target("peak RSS of ten, MiB", figure(sizes[-1].name, "rss_bytes", 2**-20), 80)
            ],
        ),
        Contest(
            name="growth-jobs",
            title="Whole path: cost against the number of jobs",
            cases=numbers,
            reference=numbers[0].name,
            x_label="jobs of 15 MB",
            y_figures=("wall_s", "cpu_s", "rss_bytes"),
            repeats=stage.scaled(3, 1),
        ),
    ]
