"""The way of one job: which functions of bulkfetch run for it, and in how many files.

    python -m benchmarks.way                    # each way, as counts
    python -m benchmarks.way --rooms            # and how many of them are in each room
    python -m benchmarks.way --list library     # and every function, in the order of its first call

One job is fetched from a stand-in in a process of its own, with a machine window in a state folder
of its own, once through the library and once through the command line, from their first line to
their last; and as the second list of a client, which has been opened and asked before. What is
counted is functions that were entered (comprehensions and lambdas with the function they stand in,
module and class bodies not at all), in every thread. A reader who follows one job has to know so
many.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

JOB, SECOND_JOB = "554023000000568002", "554023000000568003"
_HERE = Path(__file__).parents[1] / "src" / "bulkfetch"


class Trace:
    """The functions that were entered, by file and name, in the order of the first call."""

    def __init__(self) -> None:
        self._seen: dict[CodeType, None] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._seen.setdefault(frame.f_code)

    def begin_anew(self) -> None:
        """Forget what was entered up to now."""
        self._seen.clear()

    @property
    def functions(self) -> list[tuple[str, str]]:
        """File below src/bulkfetch, and qualified name; the stand-in is not part of the way."""
        found: dict[tuple[str, str], None] = {}
        for code in list(self._seen):
            path = Path(code.co_filename)
            # Module and class bodies have no fast locals.
            if not code.co_flags & inspect.CO_OPTIMIZED or not path.is_relative_to(_HERE):
                continue
            name = code.co_qualname.split(".<locals>.<")[0]
            if not name.rpartition(".")[2].startswith("<"):
                found.setdefault((str(path.relative_to(_HERE)), name))
        return [each for each in found if not each[0].startswith("sandbox")]


def traced(act: Callable[[Trace], Any]) -> Trace:
    """Run `act` with every function call of every thread noted in the trace that it is given."""
    trace = Trace()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        act(trace)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trace


@contextmanager
def stand_in() -> Iterator[str]:
    """Serve small results in a process of its own; give the address."""
    command = [sys.executable, "-m", "bulkfetch", "sandbox", "--records", "200"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None, "asked for"
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def through_library(settings: Path, _: Trace) -> None:
    """Fetch the job as a program does."""
    import bulkfetch

    async def main() -> None:
        async with bulkfetch.Client(bulkfetch.load_settings(settings)) as client:
            async for outcome in client.fetch([JOB]):
                assert outcome.status == "done", outcome

    asyncio.run(main())


def second_list(settings: Path, trace: Trace) -> None:
    """Fetch a job with a client that has fetched another one before."""
    import bulkfetch

    async def main() -> None:
        async with bulkfetch.Client(bulkfetch.load_settings(settings)) as client:
            for job in (JOB, SECOND_JOB):
                trace.begin_anew()
                async for outcome in client.fetch([job]):
                    assert outcome.status == "done", outcome
            sys.setprofile(None)  # leaving the client is no part of it
            threading.setprofile(None)

    asyncio.run(main())


def through_command_line(settings: Path, _: Trace) -> None:
    """Fetch the job as a user does."""
    from bulkfetch.cli import main

    assert main(["run", str(settings), JOB, "--no-progress"]) == 0


def measure(way: Callable[[Path, Trace], None]) -> list[tuple[str, str]]:
    """Return the functions of one way, in folders of its own."""
    with tempfile.TemporaryDirectory() as name, stand_in() as url:
        folder = Path(name)
        os.environ |= {"BULKFETCH_STATE_DIR": str(folder / "state"), "ZOHO_ACCESS_TOKEN": "1000.x"}
        settings = folder / "jobs.toml"
        settings.write_text(f'out = "out"\n[account]\napi_domain = "{url}"\n')
        return traced(lambda trace: way(settings, trace)).functions


def by_room(functions: list[tuple[str, str]]) -> Iterator[str]:
    """Yield how many functions, in how many files, each room has; the largest first."""
    rooms: dict[str, list[str]] = {}
    for file, _ in functions:
        room = file.partition("/")[0] if "/" in file else "beside the rooms"
        rooms.setdefault(room, []).append(file)
    for room, files in sorted(rooms.items(), key=lambda item: -len(item[1])):
        yield f"{room:<16} {len(files):>4} functions in {len(set(files)):>3} files"


WAYS: dict[str, Callable[[Path, Trace], None]] = {
    "library": through_library,
    "second-list": second_list,
    "command-line": through_command_line,
}


def main() -> None:
    """Print the ways that are asked for, each measured in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", action="store_true", help="count those of each room")
    parser.add_argument("--list", action="store_true", help="name every function")
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}")
    asked = parser.parse_args()
    ways = asked.ways or list(WAYS)
    if len(ways) > 1:
        for name in ways:
            flags = [f"--{flag}" for flag in ("rooms", "list") if getattr(asked, flag)]
            subprocess.run([sys.executable, "-m", "benchmarks.way", *flags, name], check=True)
        return
    (name,) = ways
    functions = measure(WAYS[name])
    files = {file for file, _ in functions}
    sys.stdout.write(f"{name}: {len(functions)} functions in {len(files)} files\n")
    if asked.rooms:
        sys.stdout.writelines(f"  {line}\n" for line in by_room(functions))
    if asked.list:
        sys.stdout.writelines(f"  {file}: {function}\n" for file, function in functions)


if __name__ == "__main__":
    main()
