"""Extraction: ZIPs of CRM-like CSV that lie on disk, unpacked by one thread and by two.

Ours tells a SHA-256 of every file and has the disk begin to write it meanwhile, which no rival
does. So it comes with both and with neither, and so does the C limit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks.corpus import CRM
from benchmarks.model import Case, Contest, Target, figure, ratio
from benchmarks.stage import Stage

OURS, BARE = "bulkfetch", "bulkfetch, no SHA-256, disk left alone"
LIMIT, LIMIT_FULL = "C, ISA-L (limit)", "C, the same + SHA-256, disk begins"


def contests(stage: Stage) -> Sequence[Contest]:
    """One thread and two."""
    return [_contest(stage, 1), _contest(stage, 2)]


def _contest(stage: Stage, threads: int) -> Contest:
    codes = [code for code in CRM for _ in range(2)]
    bodies = [stage.corpus.bodies[code] for code in codes]
    zips = [os.fspath(stage.corpus.path(code)) for code in codes]
    count = str(threads)
    cases = [
        stage.ours(OURS, "extract", count, "full", *zips),
        stage.ours(BARE, "extract", count, "bare", *zips),
    ]
    # One thread's time stands in the contest of two, so that scaling is told from one run.
    if threads == 2:
        cases.append(stage.ours(f"{OURS}, one thread", "extract", "1", "full", *zips))
    if stage.options.peers:
        cases += _peers(stage, count, codes, zips)
    packed = sum(body.zip_bytes for body in bodies)
    return Contest(
        name=f"extract-{threads}",
        title=f"{len(zips)} ZIPs, {packed / 1e6:.0f} MB, unpacked to "
        f"{sum(body.bytes for body in bodies) / 1e6:.0f} MB, "
        f"{'one thread' if threads == 1 else 'two threads'}",
        cases=cases,
        reference="zipfile",
        leaves=stage.corpus.files(codes),
        times=2,
        gigabytes=sum(body.bytes for body in bodies) / 1e9,
        targets=_targets(threads),
    )


def _targets(threads: int) -> list[Target]:
    if threads == 2:
        return [
            Target(
                "speed, × one thread",
                ratio(f"{OURS}, one thread", OURS, "wall_s"),
                at_least=1.5,
            )
        ]
    return [
        Target("wall, × C over ISA-L, both with sums", ratio(OURS, LIMIT_FULL, "wall_s"), 1.15),
        Target("without sums: speed, × zipfile", ratio("zipfile", BARE, "wall_s"), at_least=2.2),
        Target("peak RSS, MiB", figure(OURS, "rss_bytes", 1 / 2**20), 80),
    ]


def _peers(stage: Stage, count: str, codes: list[str], zips: list[str]) -> list[Case]:
    each = 'o=$1; p=$2; shift 2; printf "%s\\n" "$@" | nl -w1 -s" " | xargs -P"$p" -L1 sh -ec '
    unzip = each + """'unzip -p "$2" > "$0/$1"' "$o" """
    bsdtar = each + """'bsdtar -xOf "$2" > "$0/$1"' "$o" """
    igzip = each + """'igzip -dc "$2" > "$0/$1"' "$o" """
    packed = [os.fspath(stage.corpus.gzip_path(code)) for code in codes]
    libraries = ["isal", "crypto"]
    return [
        stage.peer("zipfile", "unpack", count, "zlib", *zips, needs=[]),
        stage.peer("zipfile with isal's inflate", "unpack", count, "isal", *zips, needs=["isal"]),
        stage.shell("unzip", unzip, count, *zips, needs=["unzip", "xargs"]),
        stage.shell("bsdtar", bsdtar, count, *zips, needs=["bsdtar", "xargs"]),
        stage.shell("igzip (gzip files)", igzip, count, *packed, needs=["igzip", "xargs"]),
        stage.c(LIMIT, "inflate", libraries, count, "crc", "OUT", *zips),
        stage.c(LIMIT_FULL, "inflate", libraries, count, "sha256+begin", "OUT", *zips),
    ]
