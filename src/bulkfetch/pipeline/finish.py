"""From a complete body to a published file.

The order of steps is the promise (a power cut between any two leaves a state from which the next
run goes on): structure verified → synced → journal "downloaded" → extracted, every byte's CRC
checked, synced → renamed → folder synced → journal "done" → the ZIP removed.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import anyio.to_thread

from bulkfetch.archive import (
    Extracted,
    ExtractionCancelled,
    ExtractLimits,
    Member,
    extract,
    inspect,
)
from bulkfetch.disk import (
    Unsynced,
    disk_error,
    fsync_dir,
    fsync_file,
    publish,
    rename_into_place,
)
from bulkfetch.download.retry import RetryAction
from bulkfetch.errors import (
    ArchiveError,
    BulkfetchError,
    NotAZip,
    PublishConflict,
    ZipCorrupt,
)
from bulkfetch.events import Emit, Event, Kind, ignore
from bulkfetch.journal import Ended, Journal, Owner, Rival, Whole
from bulkfetch.models import Failure, Outcome, PublishedFile
from bulkfetch.pipeline.deliveries import Deliveries, Delivery
from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.outcomes import Conclude
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.work import Work

T = TypeVar("T")

# Small ZIPs may hold large files: after so many bytes the rest is left to a later hop.
UNPACK_BYTES = 32 << 20
# Finishers of large files, beyond two per core: an fsync lasts as long as unpacking the next file.
DISK_WAITS = 4


class Staged(NamedTuple):
    """A ZIP that is complete, verified in structure, and synced."""

    member: Member
    zip_bytes: int


class Published(NamedTuple):
    """What stands under its final name: the file, and the ZIP where it is kept."""

    file: PublishedFile
    zip: PublishedFile | None = None


class Standing(NamedTuple):
    """What the journal knows of files that stand in the way, by path: whose they are, and the sizes
    of those that bulkfetch has put there or was about to when it was killed. `rivals` are jobs of
    the same list, by the key of the job that they stand in the way of."""

    jobs: dict[str, Owner]
    sizes: dict[str, frozenset[int]]
    rivals: dict[int, Rival]


class Finishing(NamedTuple):
    """How to finish: guards of the archive, whether the ZIP is kept, how much of refused ones.

    `sha256` says whether published files are given their digest, `overwrite` whether a file that
    the journal did not publish may be replaced.
    """

    limits: ExtractLimits
    keep_zip: bool
    sha256: bool
    quarantine_bytes: int
    overwrite: bool = False


class Finisher:
    """Takes deliveries and brings each to its end.

    `cores` unpack at once, while others wait for the disk or the journal.
    """

    def __init__(
        self,
        journal: Journal,
        places: Places,
        finishing: Finishing,
        room: StagingRoom,
        cores: int,
        conclude: Conclude,
        emit: Emit,
    ) -> None:
        self._large_runs = 2 * cores + DISK_WAITS
        self._journal = journal
        self._places = places
        self._finishing = finishing
        self._room = room
        self._threads = anyio.CapacityLimiter(self._large_runs + 1)
        self._cores = threading.Semaphore(cores)
        self._conclude = conclude
        self._emit = emit
        self._is_followed = emit is not ignore
        self._halted = threading.Event()
        self._sorting_out = threading.Lock()
        # ZIPs of done jobs. The next step in a thread removes them on its way; what a kill leaves
        # is removed by the next run.
        self._spent: list[Path] = []

    def halt(self) -> None:
        """Have threads under way end soon: what they were unpacking is dropped."""
        self._halted.set()

    async def run(self, deliveries: Deliveries) -> None:
        """Finish deliveries until there will be no more.

        Raises RunError, in a group, which ends the run. If cancelled: waits for the threads under
        way, which `halt` makes short; a job that was not done is finished by a later run from its
        ZIP.
        """

        async def finish(batches: AsyncIterator[list[Delivery]]) -> None:
            async for batch in batches:
                await self._finish(batch)
                if self._spent and not deliveries.waiting:
                    await self._in_thread(lambda: None)  # nothing but the spent ones

        async with anyio.create_task_group() as runs:
            # One: several would share out what waits into small batches, and take the interpreter's
            # lock from one another for each of their many short calls.
            runs.start_soon(finish, deliveries.small())
            for _ in range(self._large_runs):
                runs.start_soon(finish, deliveries.large())

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

    async def _finish(self, batch: list[Delivery]) -> None:
        """Bring a batch to its end, each step for all of it: most of what a step costs is shared.

        What is wrong with one job is that job's end alone, and is told of after the good ones are
        safe; the disk's errors end the run.
        """
        try:
            found = await self._in_thread(lambda: self._stage(batch))
            unusable: list[tuple[Delivery, Exception | None]] = []
            whole: list[tuple[Delivery, Member]] = []
            for delivery, staged in zip(batch, found, strict=True):
                if isinstance(staged, Staged):
                    if delivery.salvaged:
                        self._count_in(delivery.work, staged)
                    whole.append((delivery, staged.member))
                else:
                    unusable.append((delivery, staged))
            # What is salvaged may have another name by now than when it was recorded.
            rivals = await self._record(
                [
                    (each.work, member)
                    for each, member in whole
                    if each.salvaged or not each.work.recorded
                ]
            )
            owners = await self._owners(whole, rivals)
            while whole:
                ends = await self._in_thread(partial(self._unpack, whole, owners))
                done = []
                for (delivery, _), end in zip(whole, ends, strict=False):
                    if isinstance(end, Exception):
                        unusable.append((delivery, end))
                    else:
                        done.append((delivery, self._ended(delivery.work, end)))
                await self._conclude_done(done)
                whole = whole[len(ends) :]
            for delivery, error in unusable:
                await self._unusable(delivery, error)
        except OSError as error:
            raise disk_error(error) from error

    async def _record(self, whole: list[tuple[Work, Member]]) -> dict[int, Rival]:
        rivals = {}
        if whole:
            rivals = await self._journal.all_downloaded(
                [
                    Whole(
                        work.entry,
                        work.zip_bytes or 0,
                        work.attempts,
                        self._places.report(self._places.published(work.job, member.suffix)),
                        member.bytes,
                    )
                    for work, member in whole
                ]
            )
        for work, _ in whole:
            work.recorded = True
        return rivals

    def _count_in(self, work: Work, staged: Staged) -> None:
        self._room.add(staged.zip_bytes)
        work.zip_bytes = staged.zip_bytes
        text = "its ZIP is here already; nothing is asked"
        self._say("salvaged", work, text, zip_bytes=staged.zip_bytes)

    async def _owners(
        self, whole: list[tuple[Delivery, Member]], rivals: dict[int, Rival]
    ) -> Standing:
        """Return what is known of what stands in the way; most often nothing does."""
        paths = [self._places.published(each.work.job, member.suffix) for each, member in whole]
        if self._finishing.keep_zip:
            paths += [self._places.kept_zip(each.work.job) for each, _ in whole]
        standing = [self._places.report(path) for path in paths if os.path.lexists(path)]
        if not standing:
            return Standing({}, {}, rivals)
        return Standing(
            await self._journal.owners(standing), await self._journal.sizes(standing), rivals
        )

    def _ended(self, work: Work, published: Published) -> Ended:
        outcome = Outcome(
            job_id=work.job.id,
            account=work.job.account,
            status="done",
            files=(published.file,),
            zip_bytes=work.zip_bytes,
            attempts=work.attempts,
        )
        return Ended(work.entry, outcome, published.zip)

    async def _conclude_done(self, done: list[tuple[Delivery, Ended]]) -> None:
        if done:
            await self._journal.all_done([ended for _, ended in done])
        for delivery, _ in done:
            self._spent.append(self._places.zip(delivery.work.job))
            self._room.remove(delivery.work.zip_bytes or 0)
            delivery.lane.concluded()
        for delivery, ended in done:
            self._tell_done(delivery, ended.outcome)
            await self._conclude(ended.outcome)

    def _tell_done(self, delivery: Delivery, outcome: Outcome) -> None:
        work, file = delivery.work, outcome.files[0]
        took_s = 0.0
        if work.started is not None:
            now = anyio.current_time()
            took_s = now - work.started
            delivery.lane.times.ended(work.started, now)
        if self._is_followed:
            text = f"published as {file.path}, {file.bytes} bytes"
            text += f", {took_s:.1f} s from its request" if work.started is not None else ""
            self._say("done", work, text, path=file.path, bytes=file.bytes, took_s=took_s)

    async def _unusable(self, delivery: Delivery, error: Exception | None) -> None:
        lane, work = delivery.lane, delivery.work
        match error:
            case None:
                # The journal speaks of a ZIP that is gone: somebody cleaned up.
                await self._again(lane, work)
            case ArchiveError() | NotAZip():
                await self._refused(delivery, error)
            case PublishConflict():
                # The ZIP stays in staging: once the way is free, a later run needs no request.
                self._room.remove(work.zip_bytes or 0)
                await self.fail(lane, work, error)
            case _:
                # Halted: the ZIP is complete here, and a later run unpacks it.
                assert isinstance(error, ExtractionCancelled)

    async def _refused(self, delivery: Delivery, error: ArchiveError | NotAZip) -> None:
        lane, work = delivery.lane, delivery.work
        if delivery.salvaged and isinstance(error, ZipCorrupt | NotAZip):
            # A dead run's body that never was complete, or that the disk has lost.
            await self._again(lane, work)
        elif lane.judge(work, None, error).next is RetryAction.REFETCH:
            work.refetched = True
            self._say(
                "attempt_failed",
                work,
                f"{error.code}: {error.message}; fetched once more",
                code=error.code,
                next=RetryAction.REFETCH.value,
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

    def _stage(self, batch: list[Delivery]) -> list[Staged | ArchiveError | NotAZip | None]:
        """Verify each ZIP's structure and have its file synced, if any; None: it is gone."""
        found: list[Staged | ArchiveError | NotAZip | None] = []
        for delivery in batch:
            try:
                found.append(self._stage_one(delivery.work))
            except (ArchiveError, NotAZip) as error:
                found.append(error)
        if any(isinstance(one, Staged) for one in found):
            fsync_dir(self._places.staging)
        return found

    def _stage_one(self, work: Work) -> Staged | None:
        limits, job = self._finishing.limits, work.job
        staged, part = self._places.zip(job), self._places.part(job)
        source = staged if staged.exists() else part
        if not source.exists():
            return None
        member = inspect(source, limits)
        fsync_file(source)
        if source is part:
            os.replace(part, staged)
        return Staged(member, staged.stat().st_size)

    def _unpack(
        self, whole: list[tuple[Delivery, Member]], owners: Standing
    ) -> list[Published | BulkfetchError | ExtractionCancelled]:
        """Publish the files of the first ones, until UNPACK_BYTES are written, one at least."""
        extracted: list[Extracted | BulkfetchError | ExtractionCancelled] = []
        written = 0
        try:
            with closing(Unsynced()) as unsynced:
                for delivery, member in whole:
                    try:
                        one = self._extract(delivery.work, member, unsynced)
                    except (ArchiveError, NotAZip, ExtractionCancelled) as error:
                        extracted.append(error)
                        continue
                    extracted.append(one)
                    written += one.bytes
                    if written >= UNPACK_BYTES:
                        break
                unsynced.sync()
            ends = [
                one
                if isinstance(one, Exception)
                else self._publish(delivery.work, member, one, owners)
                for (delivery, member), one in zip(whole, extracted, strict=False)
            ]
        except BaseException:
            # The disk's room may be what is lacking. Those published meanwhile have gone from here.
            for delivery, _ in whole:
                self._places.unpacked(delivery.work.job).unlink(missing_ok=True)
            raise
        if any(not isinstance(end, Exception) for end in ends):
            fsync_dir(self._places.out)
        return ends

    def _extract(self, work: Work, member: Member, unsynced: Unsynced) -> Extracted:
        target = self._places.unpacked(work.job)
        try:
            with self._cores:
                return extract(
                    self._places.zip(work.job),
                    member,
                    target,
                    self._finishing.limits,
                    cancelled=self._halted.is_set,
                    digest=self._finishing.sha256,
                    unsynced=unsynced,
                )
        except ExtractionCancelled:
            target.unlink(missing_ok=True)
            raise

    def _publish(
        self, work: Work, member: Member, extracted: Extracted, owners: Standing
    ) -> Published | PublishConflict:
        target = self._places.unpacked(work.job)
        final = self._places.published(work.job, member.suffix)
        kept: PublishedFile | None = None
        try:
            self._require_no_rival(work, owners)
            if self._finishing.keep_zip:
                kept = self._keep_zip(work, owners)
            rename_into_place(target, final, replace=self._may_replace(work, final, owners))
        except PublishConflict as error:
            target.unlink()
            return self._places.as_given(error)
        shown = self._places.report(final)
        return Published(PublishedFile(shown, extracted.bytes, extracted.sha256), kept)

    def _require_no_rival(self, work: Work, owners: Standing) -> None:
        """Raise PublishConflict where another job of the list has its file under this one's name.

        It was listed after this one, else this one would not have been asked for.
        """
        rival = owners.rivals.get(work.entry.key)
        if rival is not None and os.path.lexists(self._places.absolute(rival.path)):
            raise PublishConflict(
                f"job {rival.job_id} of the same list was published under the same name before: "
                f"{rival.path}",
                hint="Give one of them another name, or take one out of the list. The result is "
                "kept and not asked for again.",
            )

    def _may_replace(self, work: Work, final: Path, owners: Standing) -> bool:
        """Return whether a file under the final name may go: this job's, or as once published.

        A file of an older job that has another size by now was changed by somebody, who may need
        it.
        """
        path = self._places.report(final)
        if self._finishing.overwrite or path not in owners.sizes:
            return self._finishing.overwrite
        owner = owners.jobs.get(path)
        if owner is not None and owner.key == work.entry.key:
            return True
        return final.lstat().st_size in owners.sizes[path]

    def _keep_zip(self, work: Work, owners: Standing) -> PublishedFile:
        """Publish a second name of a staged ZIP, or a copy where links are not to be had."""
        staged = self._places.zip(work.job)
        copy = staged.with_suffix(".keep")
        copy.unlink(missing_ok=True)
        try:
            os.link(staged, copy)
        except OSError:
            shutil.copyfile(staged, copy)
        final = self._places.kept_zip(work.job)
        try:
            publish(copy, final, replace=self._may_replace(work, final, owners))
        except PublishConflict:
            copy.unlink()
            raise
        return PublishedFile(self._places.report(final), work.zip_bytes or 0, None)

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
