"""What takes long is done beside the event loop: imports, authorities, locks, syncs."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.support.fault_table import tls_server
from tests.support.programs import Program

import bulkfetch
from bulkfetch.download import tls
from bulkfetch.errors import OutputLocked
from bulkfetch.journal import OutputLock
from bulkfetch.sandbox import SandboxOptions, SandboxThread

PROGRAM = """
import asyncio, json, os, sys, threading, time
from bulkfetch import Client, Settings, load_settings

heavy, blocked = {}, []

class Watching:
    def find_spec(self, name, path=None, target=None):
        if name in ("aiohttp", "bulkfetch.download.downloader", "bulkfetch.archive"):
            heavy.setdefault(name, threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watching())

def watched(call, name):
    def watching(*arguments, **more):
        if threading.current_thread() is threading.main_thread():
            blocked.append(name)
        return call(*arguments, **more)
    return watching

os.fsync, os.fdatasync = watched(os.fsync, "fsync"), watched(os.fdatasync, "fdatasync")
time.sleep = watched(time.sleep, "sleep")

async def main():
    async with Client(load_settings(out="out")) as client:
        return [outcome.status async for outcome in client.fetch(["1", "2"])]

print(json.dumps([asyncio.run(main()), heavy, blocked]))
"""


@pytest.mark.slow
def test_the_first_fetch_imports_and_syncs_in_threads(tmp_path: Path) -> None:
    """A service that has imported the library alone is not held up by its first fetch."""
    with SandboxThread(SandboxOptions(records=5)) as sandbox:
        program = Program(tmp_path, {"ZOHO_API_DOMAIN": sandbox.url, "ZOHO_ACCESS_TOKEN": "1000.x"})
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=program.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    statuses, heavy, blocked = json.loads(ended.stdout)
    assert statuses == ["done", "done"]
    assert heavy == dict.fromkeys(
        ("aiohttp", "bulkfetch.download.downloader", "bulkfetch.archive"), False
    )
    assert blocked == []


def read_by(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Give the threads in which authorities are read from now on."""
    readers: list[threading.Thread] = []
    load = ssl.SSLContext.load_default_certs

    def loading(context: ssl.SSLContext, *arguments: Any) -> None:
        readers.append(threading.current_thread())
        load(context, *arguments)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", loading)
    monkeypatch.setattr(tls, "_contexts", {})
    return readers


@pytest.mark.slow
def test_authorities_are_read_once_and_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many clients there are, and anew only where the file was replaced."""
    readers = read_by(monkeypatch)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "jobs.toml").write_text('[account]\nca_file = "ca.pem"\n')

    async def main() -> list[int]:
        counts = []
        async with tls_server(authority, "127.0.0.1") as sandbox:
            env = {"ZOHO_API_DOMAIN": sandbox.url, "ZOHO_ACCESS_TOKEN": "1000.x"}
            for number in range(4):
                if number == 3:
                    trustme.CA().cert_pem.write_to_path(tmp_path / "more.pem")
                    both = [(tmp_path / name).read_text() for name in ("ca.pem", "more.pem")]
                    (tmp_path / "ca.pem").write_text("\n".join(both))
                out = tmp_path / f"out{number}"
                made = bulkfetch.load_settings(tmp_path / "jobs.toml", env, out=out)
                report = await bulkfetch.fetch(["1"], made)
                assert report.done == 1
                counts.append(len(readers))
        return counts

    assert asyncio.run(main()) == [1, 1, 1, 2]
    assert threading.main_thread() not in readers


def test_plain_http_reads_no_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody speaks TLS nothing is read for it."""
    readers = read_by(monkeypatch)
    with SandboxThread(SandboxOptions(records=5)) as sandbox:
        env = {"ZOHO_API_DOMAIN": sandbox.url, "ZOHO_ACCESS_TOKEN": "1000.x"}
        made = bulkfetch.load_settings(env=env, out=tmp_path / "out")
        assert asyncio.run(bulkfetch.fetch(["1"], made)).done == 1
    assert readers == []


def test_a_folder_that_is_held_for_a_moment_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Who takes the lock in a loop waits there without blocking it, and gets it once it is free."""

    async def main() -> None:
        held = OutputLock.take(tmp_path)
        taking = asyncio.ensure_future(OutputLock.take_in_loop(tmp_path))
        await asyncio.sleep(0)
        held.release()
        lock = await taking
        with pytest.raises(OutputLocked):
            await OutputLock.take_in_loop(tmp_path)
        lock.release()
        (await OutputLock.take_in_loop(tmp_path)).release()

    asyncio.run(main())
