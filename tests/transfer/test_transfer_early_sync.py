"""A large body is synced while it arrives: one sync at a time, and none that fails is forgotten."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from bulkfetch.transfer.early_sync import EARLY_SYNC_BYTES, EarlySync

LONG_S = 60.0


class Disk:
    """Notes each sync, lets it last until told otherwise, and has it fail where told so."""

    def __init__(self, failure: OSError | None = None) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.synced: list[int] = []
        self._failure = failure

    def sync(self, fd: int) -> None:
        """Be asked for a sync."""
        self.begun.release()
        assert self.may_end.acquire(timeout=LONG_S)
        if self._failure is not None:
            raise self._failure
        self.synced.append(fd)

    def begins(self) -> None:
        """Wait for a sync to begin."""
        assert self.begun.acquire(timeout=LONG_S)


def write_on(early: EarlySync) -> None:
    """Tell of more bytes again and again, until the failure of the first sync is told."""
    early.grown(EARLY_SYNC_BYTES)
    while True:
        early.grown(2 * EARLY_SYNC_BYTES)
        threading.Event().wait(0.001)


def fill_the_disk(early: EarlySync) -> None:
    """Have a sync begun, then a write that fails."""
    early.grown(EARLY_SYNC_BYTES)
    raise OSError(errno.ENOSPC, "full")


def test_it_syncs_when_enough_is_new() -> None:
    """A sync begins with every 16 MiB or more; who writes goes on, and meanwhile none is added."""
    disk = Disk()
    with EarlySync(7, disk.sync) as early:
        early.grown(EARLY_SYNC_BYTES - 1)
        assert not disk.begun.acquire(blocking=False)
        early.grown(EARLY_SYNC_BYTES)
        disk.begins()
        early.grown(3 * EARLY_SYNC_BYTES)
        assert not disk.begun.acquire(blocking=False)
        disk.may_end.release()
        while not disk.begun.acquire(blocking=False):  # the first has ended: the next may begin
            early.grown(4 * EARLY_SYNC_BYTES)
        disk.may_end.release()
    assert disk.synced == [7, 7]


def test_leaving_waits_for_the_sync_under_way() -> None:
    """A descriptor is not closed, nor perhaps another file's by then, while it is being synced."""
    disk, left = Disk(), threading.Event()

    def write() -> None:
        with EarlySync(7, disk.sync) as early:
            early.grown(EARLY_SYNC_BYTES)
        left.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    disk.begins()
    assert not left.wait(0.05)
    disk.may_end.release()
    writer.join(LONG_S)
    assert left.is_set()
    assert disk.synced == [7]


def test_a_failed_sync_is_told_to_who_goes_on_writing() -> None:
    """The system reports a lost write once: it is told here, with the next bytes."""
    failure = OSError(errno.EIO, "lost")
    disk = Disk(failure)
    disk.may_end.release()
    with pytest.raises(OSError, match="lost") as told, EarlySync(7, disk.sync) as early:
        write_on(early)
    assert told.value is failure


def test_a_failed_sync_is_told_at_the_end() -> None:
    """A body that ends while its last sync fails does not count as written."""
    disk = Disk(OSError(errno.EIO, "lost"))
    disk.may_end.release()
    with pytest.raises(OSError, match="lost"), EarlySync(7, disk.sync) as early:
        early.grown(EARLY_SYNC_BYTES)


def test_what_failed_first_is_told() -> None:
    """A write that failed is not hidden by a sync that failed after it."""
    disk = Disk(OSError(errno.EIO, "lost"))
    disk.may_end.release()
    with pytest.raises(OSError, match="full"), EarlySync(7, disk.sync) as early:
        fill_the_disk(early)


def test_it_is_the_systems_sync(tmp_path: Path) -> None:
    """With no other given it is the system's, which a file on a disk has and a pipe has not."""
    with (tmp_path / "part").open("wb", buffering=0) as file, EarlySync(file.fileno()) as early:
        file.write(bytes(1000))
        early.grown(EARLY_SYNC_BYTES)
    ends = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"), EarlySync(ends[1]) as early:
            early.grown(EARLY_SYNC_BYTES)
    finally:
        for end in ends:
            os.close(end)
