"""One worker of a fleet, as a process: `python -m tests.support.fleet_worker FLEET.toml`."""

from __future__ import annotations

import sys

WITHOUT_GENERATIONS = "--without-generations"
WITHOUT_GUARD = "--without-guard"


def run(arguments: list[str]) -> int:
    """Do as `bulkfetch fleet work`.

    With WITHOUT_GENERATIONS a turn never ends for a newer one, with WITHOUT_GUARD a step of the
    database's clock goes unnoticed.
    """
    from bulkfetch.cli import main

    if WITHOUT_GENERATIONS in arguments:
        from bulkfetch.fleet import turn
        from bulkfetch.services import CommonWindows

        turn.CommonWindows = lambda store, generation: CommonWindows(store)  # type: ignore
    if WITHOUT_GUARD in arguments:
        from bulkfetch.ratelimit.postgres.clock_guard import ClockGuard

        ClockGuard.step_s = lambda *_: 0.0  # type: ignore[method-assign]
    left_out = (WITHOUT_GENERATIONS, WITHOUT_GUARD)
    return main(["fleet", "work", *(word for word in arguments if word not in left_out)])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
