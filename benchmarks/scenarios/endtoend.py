"""End to end over TLS: ZIPs fetched, verified, unpacked to CSV; the product's whole path.

Ours keeps its journal, syncs every file and tells its SHA-256; no rival does any of it. A second
line of ours leaves the digest out, as a setting does; two more C programs owe what these two owe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks.corpus import CRM
from benchmarks.model import Case, Contest, Target, figure, ratio
from benchmarks.stage import Stage

OURS, BARE = "bulkfetch", "bulkfetch, no SHA-256"
XARGS, ARIA = "xargs -P10 curl, unzip × 2", "aria2c, unzip × 2"
SDK = "Zoho's SDK's shape + zipfile"
LIMIT = "C, raw get + ISA-L, two at a time (limit)"
LIMIT_SYNCED = "C, the same, synced"
LATE = "import aiohttp, then C, synced"
LIMIT_FULL = "C, the same + SHA-256, synced"
ZIPS = 30


def contests(stage: Stage) -> Sequence[Contest]:
    """Thirty ZIPs of 15 MB."""
    codes = [CRM[number % len(CRM)] for number in range(ZIPS)]
    ids = [stage.corpus.bodies[code].job_ids(1, number)[0] for number, code in enumerate(codes)]
    bodies = [stage.corpus.bodies[code] for code in codes]
    packed = sum(body.zip_bytes for body in bodies)
    size = sum(body.bytes for body in bodies)
    cases = [
        stage.online(OURS, "fetch", "10", "sha256", *ids),
        stage.online(BARE, "fetch", "10", "crc", *ids),
    ]
    if stage.options.peers and stage.server_missing is None:
        cases += _peers(stage, ids)
        cases.append(stage.disk(round((packed + size) / 2**20)))  # ours syncs both
    return [
        Contest(
            name="endtoend",
            title=f"End to end over TLS: {ZIPS} ZIPs, {packed / 1e6:.0f} MB, "
            f"to {size / 1e6:,.0f} MB of CSV on disk",
            cases=cases,
            reference=XARGS,
            leaves=stage.corpus.files(codes),
            gigabytes=size / 1e9,
            targets=[
                Target("speed, × xargs curl + unzip", ratio(XARGS, OURS, "wall_s"), at_least=1.8),
                Target("speed, × aria2c + unzip", ratio(ARIA, OURS, "wall_s"), at_least=1.8),
                Target("speed, × SDK's shape + zipfile", ratio(SDK, OURS, "wall_s"), at_least=2.5),
                Target("CPU, × xargs curl + unzip", ratio(OURS, XARGS, "cpu_s"), 0.5),
                Target("CPU, × aria2c + unzip", ratio(OURS, ARIA, "cpu_s"), 0.5),
                Target("peak RSS, MiB", figure(OURS, "rss_bytes", 1 / 2**20), 80),
            ],
        )
    ]


def _peers(stage: Stage, ids: list[str]) -> list[Case]:
    server = stage.server
    urls = [server.url(job_id, tls=True) for job_id in ids]
    ca_file = os.fspath(server.ca_file)
    # Members have one name per body, and bodies repeat: each goes to a file of its own.
    unpack = """; ls | xargs -P2 -I{} sh -ec '%s; rm "$0"' {}"""
    unzip, bsdtar = unpack % 'unzip -p "$0" > "$0.csv"', unpack % 'bsdtar -xOf "$0" > "$0.csv"'
    head = 'o=$1; c=$2; shift 2; cd "$o"; ' + """printf '%s\\n' "$@" | nl -w1 -s' ' | """
    xargs = head + """xargs -P10 -L1 sh -ec 'curl -sSf --cacert "$0" -o $1 $2' "$c\""""
    # Both take their lists from files: each URL with the name that it goes to.
    to_aria = """sed -E 's/^([0-9]+) (.*)/\\2\\n out=\\1/' | """
    aria = head + to_aria + """aria2c -q --ca-certificate="$c" -j10 -i -"""
    to_curl = """sed -E 's/^([0-9]+) (.*)/url=\\2\\noutput=\\1/' | """
    curl = (
        head
        + to_curl
        + """curl -sSf --cacert "$c" -Z --parallel-immediate --parallel-max 10 -K -"""
    )

    def limit(name: str, how: str) -> Case:
        libraries = ["isal", "ssl", "crypto"]
        return stage.c(name, "endtoend", libraries, "2", how, ca_file, "OUT", *urls)

    return [
        stage.shell(XARGS, xargs + unzip, ca_file, *urls, needs=["curl", "unzip", "xargs"]),
        stage.shell(
            "curl --parallel, unzip × 2", curl + unzip, ca_file, *urls, needs=["curl", "unzip"]
        ),
        stage.shell(ARIA, aria + unzip, ca_file, *urls, needs=["aria2c", "unzip", "xargs"]),
        stage.shell(
            "aria2c, bsdtar × 2", aria + bsdtar, ca_file, *urls, needs=["aria2c", "bsdtar", "xargs"]
        ),
        stage.peer("requests × 10 + zipfile", "threads", "zlib", *urls, needs=["requests"]),
        stage.peer("requests × 10 + isal", "threads", "isal", *urls, needs=["requests", "isal"]),
        stage.peer(SDK, "sdk_shape", "--unpack", *urls, needs=["requests"]),
        stage.peer(
            "aiohttp + aiofiles 64 KiB + zipfile",
            "naive",
            "--unpack",
            *urls,
            needs=["aiohttp", "aiofiles"],
        ),
        limit(LIMIT, "crc"),
        limit(LIMIT_SYNCED, "crc+sync"),
        stage.behind(limit(LATE, "crc+sync"), "import aiohttp"),
        limit(LIMIT_FULL, "sha256+sync"),
    ]
