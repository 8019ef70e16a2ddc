"""A way to a PostgreSQL that can be cut: its connections stay open, and nothing passes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

_SOCKET = ".s.PGSQL.5432"


class CutLine:
    """`folder` is where its socket is. Bound to the loop of its own thread.

    What is sent while it is cut arrives once it is mended, as TCP has it; so does the end of a
    connection, and a new one is accepted at once and leads nowhere until then.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, database: str) -> str:
        """Return the address of a database by this way."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder))}"

    def cut(self) -> None:
        """Let nothing pass from now on."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything pass again."""
        self._loop.call_soon_threadsafe(self._whole.set)

    async def serve(self, over: asyncio.Event) -> None:
        """Carry what comes until `over`."""
        server = await asyncio.start_unix_server(self._accept, self.folder / _SOCKET)
        await over.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def run(self, over: asyncio.Event) -> None:
        """Serve, in the thread that calls it."""
        self._loop.run_until_complete(self.serve(over))
        self._loop.close()

    def end(self, over: asyncio.Event) -> None:
        """End `run`."""
        self._loop.call_soon_threadsafe(over.set)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            await self._whole.wait()
            there, back = await asyncio.open_unix_connection(self._server / _SOCKET)
            with contextlib.closing(back):
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                await self._whole.wait()
                to.write(piece)
                await to.drain()
            await self._whole.wait()
        to.close()


@contextmanager
def cut_line(server: Path) -> Iterator[CutLine]:
    """Give a way to the PostgreSQL whose socket is in the folder `server`."""
    # A socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="line-") as folder:
        line, over = CutLine(Path(folder), server), asyncio.Event()
        thread = threading.Thread(target=line.run, args=(over,))
        thread.start()
        while not (line.folder / _SOCKET).exists():
            thread.join(0.01)
        try:
            yield line
        finally:
            line.end(over)
            thread.join()
