"""Streaming: one large body, and ten at once, over TLS and plain HTTP, to files.

Ours comes twice: `bulkfetch` is the streaming path (window, request, stream to the staging file,
fsync), which does what the rivals do and the fsync besides; `bulkfetch, whole` is the client with
journal, verifying, and unpacking what was fetched to a second file, which no rival does. One more
line is the least that a program with aiohttp could take: its import, then the C program; and one
the least that it could take in Python: its import, then sockets, TLS as asyncio does it, and files.
What the disk takes for as many bytes, synced, is a line as well: no rival waits for that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.corpus import STREAM, STREAM_TENTH
from benchmarks.model import Case, Contest, Target, figure, ratio
from benchmarks.stage import Stage

OURS = "bulkfetch"
NAIVE = "aiohttp + aiofiles, 64 KiB"
LIMIT = "C, OpenSSL read-ahead (limit)"
LIMIT_PLAIN = "C, recv (limit)"
SYNCED, LATE = "C, the same, synced", "import aiohttp, then C"
LEAST = "import aiohttp, then Python's least"
SDK = "Zoho's SDK's shape"
RSS_MIB = Target("peak RSS, MiB", figure(OURS, "rss_bytes", 1 / 2**20), at_most=80)


def contests(stage: Stage) -> Sequence[Contest]:
    """One and ten bodies, TLS and plain."""
    return [
        _contest(stage, tls=True, ten=False),
        _contest(stage, tls=False, ten=False),
        _contest(stage, tls=True, ten=True),
        _contest(stage, tls=False, ten=True),
    ]


def _contest(stage: Stage, *, tls: bool, ten: bool) -> Contest:
    code, count = (STREAM_TENTH, 10) if ten else (STREAM, 1)
    body = stage.corpus.bodies[code]
    ids = body.job_ids(count)
    leaves = stage.corpus.zips([code] * count)
    over = "TLS" if tls else "plain HTTP"
    size = f"{body.zip_bytes / 1e6:.0f} MB"
    name = f"stream-{'tls' if tls else 'plain'}{'-10' if ten else ''}"
    cases = _ours(stage, tls, ids, code)
    if stage.options.peers and stage.server_missing is None:
        cases += _peers(stage, tls, ids)
        cases.append(stage.disk(round(count * body.zip_bytes / 2**20)))
    return Contest(
        name=name,
        title=f"{'Ten bodies at once, ' if ten else 'One body of '}{size}"
        f"{' each' if ten else ''}, over {over}",
        cases=cases,
        reference="curl --parallel" if ten else "curl",
        leaves=leaves,
        gigabytes=count * body.zip_bytes / 1e9,
        targets=_targets(tls, ten),
    )


def _targets(tls: bool, ten: bool) -> list[Target]:
    if ten:
        at_once = ratio(OURS, "curl --parallel", "wall_s")
        return [Target("wall, × curl --parallel", at_once, 1.5), RSS_MIB] if tls else [RSS_MIB]
    if not tls:
        return [RSS_MIB]
    rivals = ("parfive", "httpx + aiofiles", SDK)
    return [
        Target("wall, × curl", ratio(OURS, "curl", "wall_s"), 1.4),
        Target("CPU, × curl", ratio(OURS, "curl", "cpu_s"), 1.4),
        Target("wall, × naive", ratio(OURS, NAIVE, "wall_s"), 0.5),
        *(Target(f"wall, × {name}", ratio(OURS, name, "wall_s"), 0.4) for name in rivals),
        RSS_MIB,
    ]


def _ours(stage: Stage, tls: bool, ids: list[str], code: str) -> list[Case]:
    whole = stage.online(f"{OURS}, whole", "fetch", str(len(ids)), "sha256", *ids, tls=tls)
    return [
        stage.online(OURS, "stream", "sync", *ids, tls=tls),
        stage.online(f"{OURS}, no fsync", "stream", "nosync", *ids, tls=tls),
        replace(whole, leaves=stage.corpus.files([code] * len(ids))),
    ]


def _peers(stage: Stage, tls: bool, ids: list[str]) -> list[Case]:
    server = stage.server
    urls = [server.url(job_id, tls=tls) for job_id in ids]
    ca_file = os.fspath(server.ca_file)
    listed = '; n=0; for u in "$@"; do n=$((n+1)); printf'
    curl_list = f"""o=$1; c=$2; shift 2{listed} 'url = "%s"\\noutput = "%s/%s"\\n' "$u" "$o" $n;
        done | curl -sSf --cacert "$c" --parallel --parallel-immediate -K -"""
    aria_list = f"""o=$1; c=$2; shift 2{listed} '%s\\n dir=%s\\n out=%s\\n' "$u" "$o" $n;
        done | aria2c -q --ca-certificate="$c" -j10 -i -"""
    wget2 = 'o=$1; c=$2; shift 2; cd "$o"; wget2 -q --ca-certificate="$c" --max-threads=10 "$@"'

    def get(name: str, how: str) -> Case:
        return stage.c(name, "get", ["ssl", "crypto"], how, ca_file, "OUT", *urls)

    cases = [
        stage.shell("wget2", wget2, ca_file, *urls, needs=["wget2"]),
        stage.shell("aria2c", aria_list, ca_file, *urls, needs=["aria2c"]),
        stage.peer(NAIVE, "naive", *urls, needs=["aiohttp", "aiofiles"]),
        stage.peer("parfive", "parfive_get", *urls, needs=["parfive"]),
        stage.peer("pypdl", "pypdl_get", *urls, needs=["pypdl"]),
        stage.peer("httpx + aiofiles", "httpx_get", *urls, needs=["httpx", "aiofiles"]),
        stage.peer("requests, threads", "requests_get", *urls, needs=["requests"]),
        get(LIMIT if tls else LIMIT_PLAIN, "plain"),
        get(SYNCED, "sync"),
        stage.behind(get(LATE, "plain"), "import aiohttp"),
        stage.peer(LEAST, "least", *urls, needs=["aiohttp"]),
    ]
    if len(ids) > 1:
        cases.insert(0, stage.shell("curl --parallel", curl_list, ca_file, *urls, needs=["curl"]))
    else:
        one = 'curl -sSf --cacert "$2" -o "$1/1" "$3"'
        cases.insert(0, stage.shell("curl", one, ca_file, *urls, needs=["curl"]))
        sdk = stage.peer(SDK, "sdk_shape", *urls, needs=["requests"])
        cases.append(sdk)
    return cases
