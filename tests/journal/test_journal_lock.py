"""The lock of an output folder: one run at a time, told who, gone with its process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bulkfetch.errors import NotWritable, OutputLocked
from bulkfetch.journal import OutputLock

_HOLD = """
import sys, pathlib
from bulkfetch.journal import OutputLock
lock = OutputLock.take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def _state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_second_taker_is_told_who(tmp_path: Path) -> None:
    """A second taker hears the holder's pid and since when, and has changed nothing."""
    lock = OutputLock.take(tmp_path / ".bulkfetch")
    before = _state(tmp_path / ".bulkfetch")
    with pytest.raises(OutputLocked) as caught:
        OutputLock.take(tmp_path / ".bulkfetch")
    assert _state(tmp_path / ".bulkfetch") == before
    lock.release()
    assert re.search(
        rf"held by pid {os.getpid()} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
        caught.value.message,
    )


def test_released_is_free(tmp_path: Path) -> None:
    """Once released, however often, the folder is free for the next."""
    lock = OutputLock.take(tmp_path)
    assert OutputLock.holder(tmp_path) is not None
    lock.release()
    lock.release()
    assert OutputLock.holder(tmp_path) is None
    OutputLock.take(tmp_path).release()


def test_lock_dies_with_its_process(tmp_path: Path) -> None:
    """The lock of a killed process is free at once, though its record is still in the file."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        holder = OutputLock.holder(tmp_path)
        assert holder is not None
        assert holder.pid == process.pid
        with pytest.raises(OutputLocked, match=f"pid {process.pid} since"):
            OutputLock.take(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert OutputLock.holder(tmp_path) is None
    OutputLock.take(tmp_path).release()


def test_asking_creates_nothing(tmp_path: Path) -> None:
    """Asking who holds a folder in which no run has been creates nothing."""
    assert OutputLock.holder(tmp_path / ".bulkfetch") is None
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    """A holder whose record is missing or garbage is still a holder."""
    lock = OutputLock.take(tmp_path)
    for record in (b"", b"\xff", b"[]", b'{"pid": null}'):
        (tmp_path / "lock").write_bytes(record)
        with pytest.raises(OutputLocked, match="held by another process"):
            OutputLock.take(tmp_path)
    lock.release()


def test_no_lock_through_a_link(tmp_path: Path) -> None:
    """A lock file that is a link to elsewhere is refused and its target left alone."""
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(NotWritable):
        OutputLock.take(tmp_path)
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """An output folder that cannot be made is a run error in words."""
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(NotWritable, match="out"):
        OutputLock.take(tmp_path / "out" / ".bulkfetch")


@pytest.mark.slow
def test_many_takers_one_winner(tmp_path: Path) -> None:
    """Of processes that start at the same time exactly one gets the folder."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    try:
        answers = []
        for process in processes:
            assert process.stdout is not None
            answers.append(process.stdout.readline())
        assert sorted(answers) == [b"", b"", b"", b"held\n"]
    finally:
        for process in processes:
            process.communicate(b"")
