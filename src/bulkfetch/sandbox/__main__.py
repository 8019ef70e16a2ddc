"""`python -m bulkfetch.sandbox`: the sandbox as a process of its own.

Prints one line of JSON, `{"url": …, "pid": …}`, when requests can come, and serves until SIGINT or
SIGTERM. Options are those of `SandboxOptions` as JSON; `-` reads them from stdin.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.server import Sandbox
from bulkfetch.sandbox.serving import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bulkfetch.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--options-json", default="{}", metavar="JSON|-")
    given = parser.parse_args()
    text = sys.stdin.read() if given.options_json == "-" else given.options_json
    try:
        options = SandboxOptions.from_json(text)
        asyncio.run(_until_signal(options, given.host, given.port))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


async def _until_signal(options: SandboxOptions, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve(options, host=host, port=port, on_ready=_tell))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    (failure,) = await asyncio.gather(serving, return_exceptions=True)
    if isinstance(failure, Exception):
        raise failure


def _tell(sandbox: Sandbox) -> None:
    line = json.dumps({"url": sandbox.url, "pid": os.getpid()}) + "\n"
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
