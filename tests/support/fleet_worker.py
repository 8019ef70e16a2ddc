"""One worker of a fleet, as a process: `python -m tests.support.fleet_worker FLEET.toml`."""

from __future__ import annotations

import sys

WITHOUT_GENERATIONS = "--without-generations"


def run(arguments: list[str]) -> int:
    """Do as `bulkfetch fleet work`; with WITHOUT_GENERATIONS a turn never ends for a newer one."""
    from bulkfetch.cli import main

    if WITHOUT_GENERATIONS in arguments:
        from bulkfetch.fleet import turn
        from bulkfetch.services import CommonWindows

        arguments = [word for word in arguments if word != WITHOUT_GENERATIONS]
        turn.CommonWindows = lambda store, generation: CommonWindows(store)  # type: ignore
    return main(["fleet", "work", *arguments])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
