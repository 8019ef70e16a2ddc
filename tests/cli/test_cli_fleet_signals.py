"""Signals that come while a command of a fleet connects to a database that never answers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.programs import Program

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def connecting(program: Program, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command of a fleet, and give it when it has sent its first bytes to the database."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (program.folder / "fleet.toml").write_text(
            f'[fleet]\ndatabase = "postgresql://u@127.0.0.1:{port}/x?sslmode=disable"\n'
            'store = "s3://lake/{account}"\nstaging = "staging"\n'
            '[accounts.acme]\ndata_center = "eu"\n'
        )
        process = program.start("fleet", words[0], "fleet.toml", *words[1:])
        listener.settimeout(60)
        asking, _ = listener.accept()
        with asking:
            assert asking.recv(1)
            yield process


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_wait_is_interrupted_before_it_has_begun(
    program: Program, number: signal.Signals
) -> None:
    """As later on: 130, a summary that says so, and how to wait again."""
    with connecting(program, "wait", "17", "--json") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    summary = json.loads(out)
    assert (summary["interrupted"], summary["list_read"]) == (True, False)
    assert b"the fleet goes on; to wait again: " in err
    assert b"Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_worker_is_stopped_before_it_has_begun(program: Program, number: signal.Signals) -> None:
    """As later on: 0, and it waits neither for the database nor for a second signal.

    It does not say that it works before the database answers.
    """
    with connecting(program, "work", "--name", "one") as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.endswith(b"stopped\n")
    assert b"works for" not in err
    assert b"Traceback" not in err
