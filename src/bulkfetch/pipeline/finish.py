"""From a complete body to a published file.

The order of steps is the promise (a power cut between any two leaves a state from which the next
run goes on): structure verified → synced → journal "downloaded" → extracted, every byte's CRC
checked, synced → renamed → folder synced → journal "done" → the ZIP removed.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from bulkfetch.archive import Extracted, ExtractionCancelled, Limits, Member, extract, inspect
from bulkfetch.disk import disk_error, fsync_dir, fsync_file, publish
from bulkfetch.errors import ArchiveError, BulkfetchError, NotAZip, PublishConflict, ZipCorrupt
from bulkfetch.events import Emit, Event, Kind
from bulkfetch.journal import Journal
from bulkfetch.models import Failure, Outcome, PublishedFile
from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.work import Work
from bulkfetch.transfer.decide import Next

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job whose ZIP is complete in staging, and the lane that it came from."""

    lane: Lane
    work: Work


@dataclass(frozen=True, slots=True)
class Finishing:
    """How to finish: guards of the archive, whether the ZIP is kept, how much of refused ones.

    `sha256` says whether published files are given their digest.
    """

    limits: Limits
    keep_zip: bool
    sha256: bool
    quarantine_bytes: int


class Finisher:
    """Takes deliveries and brings each to its end. Several `run`s may work on one stream."""

    def __init__(
        self,
        journal: Journal,
        places: Places,
        finishing: Finishing,
        room: StagingRoom,
        threads: anyio.CapacityLimiter,
        conclude: Callable[[Outcome], Awaitable[None]],
        emit: Emit,
    ) -> None:
        self._journal = journal
        self._places = places
        self._finishing = finishing
        self._room = room
        self._threads = threads
        self._conclude = conclude
        self._emit = emit
        self._halted = threading.Event()
        self._sorting_out = threading.Lock()
        # ZIPs of done jobs. The next step in a thread removes them on its way; what a kill leaves
        # is removed by the next run.
        self._spent: list[Path] = []

    def halt(self) -> None:
        """Have threads under way end soon: what they were unpacking is dropped."""
        self._halted.set()

    async def run(self, deliveries: MemoryObjectReceiveStream[Delivery]) -> None:
        """Finish deliveries until their stream ends.

        Raises RunError, which ends the run. If cancelled: waits for the thread under way, which
        `halt` makes short; a job that was not done is finished by a later run from its ZIP.
        """
        async with deliveries:
            async for delivery in deliveries:
                await self._finish(delivery)
                if not deliveries.statistics().current_buffer_used:
                    await self._in_thread(lambda: None)  # nothing but the spent ones

    async def fail(
        self, lane: Lane, work: Work, error: BulkfetchError, quarantine: Path | None = None
    ) -> None:
        """Record a job's failure and tell of it.

        If cancelled: recorded or not, never half.
        """
        outcome = Outcome(
            job_id=work.job.id,
            account=work.job.account,
            status="failed",
            zip_bytes=work.zip_bytes,
            attempts=work.attempts,
            quarantine=None if quarantine is None else self._places.report(quarantine),
            error=Failure.of(error),
        )
        await self._journal.failed(work.entry, outcome)
        lane.concluded()
        await self._conclude(outcome)

    async def _finish(self, delivery: Delivery) -> None:
        lane, work = delivery.lane, delivery.work
        salvaged = work.zip_bytes is None
        try:
            staged = await self._in_thread(lambda: self._stage(work))
            if staged is None:
                # The journal speaks of a ZIP that is gone: somebody cleaned up.
                await self._again(lane, work)
                return
            member, size = staged
            if salvaged:
                self._room.add(size)
                work.zip_bytes = size
                text = "its ZIP is here already; nothing is asked"
                self._say("salvaged", work, text, zip_bytes=size)
            if not work.recorded:
                await self._journal.downloaded(work.entry, zip_bytes=size, attempts=work.attempts)
                work.recorded = True
            path, extracted = await self._in_thread(lambda: self._unpack(work, member))
        except (ArchiveError, NotAZip) as error:
            await self._refused(lane, work, error, salvaged)
            return
        except ExtractionCancelled:
            # Halted: the ZIP is complete in staging, and a later run unpacks it.
            return
        except PublishConflict as error:
            # The ZIP stays in staging: once the way is free, a later run needs no request.
            self._room.remove(work.zip_bytes or 0)
            await self.fail(lane, work, error)
            return
        except OSError as error:
            raise disk_error(error) from error
        outcome = Outcome(
            job_id=work.job.id,
            account=work.job.account,
            status="done",
            files=(PublishedFile(self._places.report(path), extracted.bytes, extracted.sha256),),
            zip_bytes=size,
            attempts=work.attempts,
        )
        await self._journal.done(work.entry, outcome)
        self._spent.append(self._places.zip(work.job))
        self._room.remove(size)
        lane.concluded()
        await self._conclude(outcome)

    async def _refused(
        self, lane: Lane, work: Work, error: ArchiveError | NotAZip, salvaged: bool
    ) -> None:
        if salvaged and isinstance(error, ZipCorrupt | NotAZip):
            # A dead run's body that never was complete, or that the disk has lost.
            await self._again(lane, work)
        elif lane.judge(work, None, error).next is Next.REFETCH:
            work.refetched = True
            self._say(
                "attempt_failed",
                work,
                f"{error.code}: {error.message}; fetched once more",
                code=error.code,
                next=Next.REFETCH.value,
                attempt=work.attempts,
                delay_s=0.0,
            )
            await self._again(lane, work)
        else:
            kept = await self._in_thread(lambda: self._quarantine(work))
            if kept is not None:
                shown = self._places.report(kept)
                text = f"the refused archive is kept as {shown}"
                self._say("quarantined", work, text, path=shown)
            self._room.remove(work.zip_bytes or 0)
            await self.fail(lane, work, error, kept)

    async def _again(self, lane: Lane, work: Work) -> None:
        await self._in_thread(lambda: self._discard(work))
        if work.recorded:
            await self._journal.back_to_pending(work.entry)
            work.recorded = False
        self._room.remove(work.zip_bytes or 0)
        lane.put_back(work)

    async def _in_thread(self, step: Callable[[], T]) -> T:
        spent, self._spent = self._spent, []

        def step_after_spent() -> T:
            for path in spent:
                path.unlink(missing_ok=True)
            return step()

        # Not abandoned on cancel: a thread left running could rename after the run's end.
        return await anyio.to_thread.run_sync(step_after_spent, limiter=self._threads)

    # --- in a thread -----------------------------------------------------------------------------

    def _stage(self, work: Work) -> tuple[Member, int] | None:
        staged, part = self._places.zip(work.job), self._places.part(work.job)
        source = staged if staged.exists() else part
        if not source.exists():
            return None
        member = inspect(source, self._finishing.limits)
        fsync_file(source)
        if source is part:
            os.replace(part, staged)
            fsync_dir(staged.parent)
        return member, staged.stat().st_size

    def _unpack(self, work: Work, member: Member) -> tuple[Path, Extracted]:
        places, staged = self._places, self._places.zip(work.job)
        target = places.unpacked(work.job)
        target.unlink(missing_ok=True)
        try:
            extracted = extract(
                staged,
                member,
                target,
                self._finishing.limits,
                cancelled=self._halted.is_set,
                digest=self._finishing.sha256,
            )
            if self._finishing.keep_zip:
                _keep(staged, places.out / f"{work.job.id}.zip")
            final = places.published(work.job, member.suffix)
            publish(target, final)
        finally:
            target.unlink(missing_ok=True)
        return final, extracted

    def _discard(self, work: Work) -> None:
        self._places.zip(work.job).unlink(missing_ok=True)
        self._places.part(work.job).unlink(missing_ok=True)

    def _quarantine(self, work: Work) -> Path | None:
        """Keep a refused archive within the quarantine's size; the oldest go first."""
        staged, part = self._places.zip(work.job), self._places.part(work.job)
        source = staged if staged.exists() else part
        with self._sorting_out:  # another thread must not remove what this one looks at
            return self._keep_refused(source, self._places.quarantined(work.job))

    def _keep_refused(self, source: Path, target: Path) -> Path | None:
        folder, limit = self._places.quarantine, self._finishing.quarantine_bytes
        size = source.stat().st_size
        if size > limit:
            source.unlink()
            return None
        folder.mkdir(exist_ok=True)
        kept = sorted(
            ((entry.stat(), Path(entry.path)) for entry in os.scandir(folder)),
            key=lambda pair: pair[0].st_mtime_ns,
        )
        total = sum(stat.st_size for stat, _ in kept)
        while kept and total + size > limit:
            stat, oldest = kept.pop(0)
            oldest.unlink(missing_ok=True)
            total -= stat.st_size
        os.replace(source, target)
        return target

    def _say(self, kind: Kind, work: Work, message: str, **data: int | float | str) -> None:
        self._emit(Event(kind, message, work.job.account, work.job.id, data))


def _keep(staged: Path, final: Path) -> None:
    """Publish a second name of a staged ZIP, or a copy where links are not to be had."""
    copy = staged.with_suffix(".keep")
    copy.unlink(missing_ok=True)
    try:
        os.link(staged, copy)
    except OSError:
        shutil.copyfile(staged, copy)
    publish(copy, final)
