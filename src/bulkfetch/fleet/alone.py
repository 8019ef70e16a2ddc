"""One job of an account in a process of its own, which may die of it.

The parent writes what is to be done to stdin, pickled, since it holds secrets; what came of it, and
the events of it, are pickled on stdout.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from typing import NamedTuple

from bulkfetch.config.fleet import FleetSettings
from bulkfetch.events import Emit, Event
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.turn import Turn, TurnEnd
from bulkfetch.models import Job
from bulkfetch.ratelimit.postgres.database import OPEN_S, WindowDatabase


class Order(NamedTuple):
    """A job to be done in a turn of that generation."""

    fleet: FleetSettings
    generation: int
    job: Job


async def do_alone(order: Order, on_event: Emit) -> TurnEnd | int:
    """Do a job in a process of its own; return what came of it, or the signal that it died of.

    `on_event` gets its events at the end, if it lived. Raises RuntimeError where the process ended
    in another way. If cancelled: it is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bulkfetch.fleet.alone"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent
    )
    try:
        out, _ = await process.communicate(pickle.dumps(order))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    status = process.returncode
    if status is not None and status < 0:
        return -status
    if status:
        raise RuntimeError(f"the process of job {order.job.id} ended with status {status}")
    end: TurnEnd
    events: list[Event]
    end, events = pickle.loads(out)
    for event in events:
        on_event(event)
    return end


async def _do(order: Order, on_event: Emit) -> TurnEnd:
    fleet = order.fleet.fleet
    password = order.fleet.password
    journal = await FleetJournal.open(fleet.database, password, patience_s=OPEN_S)
    windows = await WindowDatabase.open(fleet.database, password)
    recorder = OutcomeRecorder(journal, 0.0)
    try:
        settings = order.fleet.of_account(order.job.account, fleet.staging)
        folder = order.fleet.folder_of(order.job.account)
        turn = Turn(
            settings,
            journal,
            recorder,
            windows,
            order.generation,
            fleet.turn_s,
            on_event,
            folder=folder,
        )
        return await turn.run([order.job])
    finally:
        await recorder.aclose()
        await windows.aclose()
        await journal.aclose()


if __name__ == "__main__":
    heard: list[Event] = []
    ended = asyncio.run(_do(pickle.load(sys.stdin.buffer), heard.append))
    with open(1, "wb") as stdout:
        stdout.write(pickle.dumps((ended, heard)))
