"""`bulkfetch fleet work`: one worker of a fleet, until it is told to stop."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.printer import Printer
from bulkfetch.text import number

if TYPE_CHECKING:
    from bulkfetch.config.fleet import FleetSettings
    from bulkfetch.fleet.worker import Notice

_ABOUT = """\b
Examples:
  bulkfetch fleet work fleet.toml
  bulkfetch fleet work fleet.toml --name two --staging /var/lib/bulkfetch-two
  bulkfetch fleet work fleet.toml --listen 9464

Fetch what was submitted to the fleet. Any number of workers may do so, on any hosts, each with a
staging folder of its own. On the first Ctrl-C (or SIGTERM, SIGHUP) the worker starts nothing new,
finishes what it can within eight seconds, and leaves the rest to the others; the second stops it
immediately. If a worker dies, nothing is lost: after heartbeat_s the others continue with its
accounts, and the results that it had downloaded completely are published when it is started again.

With --listen it serves http://HOST:PORT/metrics for Prometheus, and /healthz: status 200 while it
works; 503 with the cause while it starts or stops, or the database cannot be used.
"""

_EPILOG = exit_codes.epilog(
    s0="stopped",
    s2="bad settings, a port in use, no database, or one without what it needs: tables, rights",
    s3="another worker uses the staging folder, or it cannot be written",
    s130="stopped by a second signal",
)


@click.command(help=_ABOUT, short_help="Run one of the workers.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.option("--name", metavar="NAME", help="Its name in `fleet status`. Default: the host's.")
@click.option("--staging", metavar="DIR", help="Its folder, instead of `staging` in FLEET.toml.")
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Serve /metrics and /healthz there, to this machine unless HOST says more.",
)
@click.pass_obj
def work(
    printer: Printer, fleet_file: str, name: str | None, staging: str | None, listen: str | None
) -> int:
    """Work until a signal comes."""
    import asyncio
    import socket

    fleet = fleet_of(printer, fleet_file)
    if staging is not None:
        fleet = replace(fleet, fleet=replace(fleet.fleet, staging=Path(staging)))
    asyncio.run(_work(printer, fleet, name or socket.gethostname(), listen))
    return exit_codes.DONE


async def _work(printer: Printer, fleet: FleetSettings, name: str, listen: str | None) -> None:
    import asyncio

    from bulkfetch.cli.signals import stop_on_signals
    from bulkfetch.extras import require_extra
    from bulkfetch.fleet.worker import Worker
    from bulkfetch.observe.messages import message_words

    def tell(notice: Notice) -> None:
        about = notice.text if notice.of is None else f"{notice.of}: {notice.text}"
        if notice.error is None:
            printer.warn(about)
        else:
            why = message_words(notice.of or "", notice.error)
            printer.error(f"{about}: {why}", notice.error.hint)

    def serving() -> None:
        printer.note(f"{name} works for {number(len(fleet.settings.accounts), 'account')}")

    def stop(signal: str) -> None:
        printer.note(f"{signal}: finishing what is under way, eight seconds at most")
        worker.stop()

    def drop() -> None:
        working.cancel()

    async with AsyncExitStack() as stack:
        if listen is None:
            worker = Worker(fleet, name, tell)
        else:
            require_extra("metrics", "--listen needs")
            from bulkfetch.cli.fleet_health import LOOK_S, Address, served
            from bulkfetch.observe.event_counts import EventCounts

            counts = EventCounts(by_account=False)
            worker = Worker(fleet, name, tell, counts.count, LOOK_S)
            health = served(
                Address.of(listen), name, lambda: worker.standing, lambda: worker.windows, counts
            )
            printer.note(f"listens at {await stack.enter_async_context(health)}")
        working = asyncio.ensure_future(worker.run(serving))
        with stop_on_signals(asyncio.get_running_loop(), stop, drop):
            try:
                await working
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None
    printer.note("stopped")
