"""A list that may block (stdin, a pipe), read by a thread of its own.

A run reads plain iterables in its event loop, which a pausing producer would block. Here a daemon
thread opens and reads the list, and no other thread touches it: a file on which another thread
blocks can neither be closed nor finalized when the interpreter exits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

from bulkfetch.cli.loop_event import LoopEvent
from bulkfetch.models import Job

# Jobs read ahead: two of the run's batches.
_AHEAD_JOBS = 4000


class AsyncReader(AsyncIterator[Job]):
    """The jobs of a blocking list, as an async iterator. Reading starts with `wait_for_first`.

    Each job is available as soon as it is read: a producer may write one id per hour.
    """

    def __init__(self, open_list: Callable[[], AbstractContextManager[Iterator[Job]]]) -> None:
        self._open = open_list
        self._jobs: deque[Job] = deque()
        self._ended = False
        self._stopped = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._news = LoopEvent()

    def wait_for_first(self) -> bool:
        """Start reading, block until the first job or the end, and return whether there is a job.

        Raises what opening the list raises. A signal's exception passes through.
        """
        threading.Thread(target=self._read, name="job list", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._ended)
            if self._error is not None and not self._jobs:
                raise self._error
            return bool(self._jobs)

    async def __anext__(self) -> Job:
        """Return the next job. Raises what reading raises. If cancelled: no job is lost."""
        if not self._jobs:
            await self._more()
        job = self._jobs.popleft()
        if len(self._jobs) == _AHEAD_JOBS // 2:
            with self._changed:
                self._changed.notify_all()
        return job

    async def _more(self) -> None:
        while not self._jobs:
            with self._changed:
                if self._jobs:
                    return
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise StopAsyncIteration
                event = self._news.expect()
            await event.wait()

    def drain(self) -> Iterator[Job]:
        """Yield the jobs synchronously. Raises what reading raises."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._ended)
                batch = list(self._jobs)
                self._jobs.clear()
                self._changed.notify_all()
            if not batch:
                if self._error is not None:
                    raise self._error
                return
            yield from batch

    def stop(self) -> None:
        """Tell the thread to end. It may stay blocked for ever, which does no harm."""
        with self._changed:
            self._stopped = True
            self._news.forget()
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            with self._open() as jobs:
                for job in jobs:
                    if not self._put(job):
                        return
        except Exception as error:
            # Raised again where the list is iterated.
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._tell()

    def _put(self, job: Job) -> bool:
        with self._changed:
            if len(self._jobs) >= _AHEAD_JOBS:
                self._changed.wait_for(lambda: len(self._jobs) <= _AHEAD_JOBS // 2 or self._stopped)
            if self._stopped:
                return False
            self._jobs.append(job)
            self._tell()
            return True

    def _tell(self) -> None:
        self._changed.notify_all()
        self._news.set()
