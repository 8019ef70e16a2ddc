"""Many small results: jobs a second with the journal on, and memory against the list's length.

The disk sets a limit of its own: a file a job is synced. A C program that does nothing else
shows it; and a program that asks and does nothing else shows what aiohttp takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.corpus import TINY
from benchmarks.model import Contest, Medians, Target, figure
from benchmarks.stage import Stage

# In flight at once: whose window is open this wide opens this too; and what settings say where
# nothing is said. Over TLS, as the service is.
SEATS, SEATS_UNASKED = "40", "10"


def contests(stage: Stage) -> Sequence[Contest]:
    """Lists of growing length, each fetched, verified, unpacked, published, journalled."""
    lengths = [1_000, 10_000, 100_000]
    if stage.options.quick:
        lengths = [100, 1_000]
    elif stage.options.full:
        lengths.append(1_000_000)
    cases = [
        stage.online(
            f"{length:,} jobs",
            "fetch",
            SEATS,
            "sha256",
            f"{TINY}*{length}",
            series="bulkfetch",
            x=float(length),
        )
        for length in lengths
    ]
    cases.append(
        stage.online(
            f"{lengths[1]:,} jobs, ten at once",
            "fetch",
            SEATS_UNASKED,
            "sha256",
            f"{TINY}*{lengths[1]}",
        )
    )
    if stage.options.peers:
        # The middle length: what disk and HTTP client do without us.
        count = str(lengths[1])
        cases += [
            stage.c(f"C, the files alone, {name}", "files", [], count, threads, "OUT")
            for threads, name in (("1", "one thread"), ("8", "eight threads"))
        ]
        if stage.server_missing is None:
            url = stage.server.url(stage.corpus.bodies[TINY].job_ids(1)[0], tls=True)
            asking = stage.peer(
                "aiohttp, bodies dropped", "many_get", SEATS, count, url, needs=["aiohttp"]
            )
            cases.append(asking)
    longest, shortest = f"{lengths[-1]:,} jobs", f"{lengths[0]:,} jobs"
    middle = f"{lengths[1]:,} jobs"

    def growth(medians: Medians) -> float | None:
        long, short = (medians.get(name, "peak_rss_bytes") for name in (longest, shortest))
        return None if long is None or short is None else (long - short) / 2**20

    def drift(medians: Medians) -> float | None:
        long, short = (medians.get(name, "cpu_us_per_job") for name in (longest, middle))
        return None if not long or not short else (long / short - 1) * 100

    return [
        Contest(
            name="small",
            title="Tiny results over TLS, whole path, journal and fsync on",
            cases=cases,
            reference=shortest,
            repeats=stage.scaled(2, 1),  # minutes each
            hoards=True,
            x_label="jobs in the list",
            y_figures=("jobs_per_s", "cpu_us_per_job", "peak_rss_bytes"),
            targets=[
                Target(
                    "jobs per second, longest list", figure(longest, "jobs_per_s"), at_least=200
                ),
                Target("RSS grown from the shortest to the longest list, MiB", growth, 8),
                Target("CPU per job, longest against ten times fewer, %", drift, 10),
            ],
        )
    ]
