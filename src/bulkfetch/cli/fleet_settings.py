"""What the commands of a fleet have in common: its settings, and a way to its database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import run_in_loop

if TYPE_CHECKING:
    from bulkfetch.config.fleet import FleetSettings
    from bulkfetch.fleet.connections import Connections

T = TypeVar("T")


def fleet_of(printer: Printer, path: str) -> FleetSettings:
    """Load FLEET.toml, and tell its warnings. Raises ConfigError, also where the extra is missing.

    The settings of accounts are checked too: all commands refuse a file that a worker would refuse.
    """
    from bulkfetch.config.fleet import load_fleet
    from bulkfetch.extras import require_extra

    require_extra("fleet", "a fleet needs")
    fleet = load_fleet(path)
    for warning in fleet.settings.warnings:
        printer.warn(warning)
    return fleet


def left_alone(
    path: str, fleet: FleetSettings, accounts: Mapping[str, str | None]
) -> Iterator[tuple[list[str], str]]:
    """Yield accounts that workers with these settings leave alone, and the sentence that says why.

    `accounts` are those of the fleet with the servers that they are asked at, None if not known.
    """
    from bulkfetch.config.regions import results_servers

    here = results_servers(fleet.settings.accounts)
    strangers = [name for name in accounts if name not in here]
    moved = [name for name, at in accounts.items() if at and here.get(name, at) != at]
    for names, what in (
        (strangers, "does not know"),
        (moved, "names another server than the fleet has for"),
    ):
        if names:
            them = "it" if len(names) == 1 else "them"
            yield names, f"{path} {what} {some(names)}: its workers leave {them} alone"


def some(names: Sequence[str]) -> str:
    """Return names as text; of many only the first, and how many more there are."""
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def with_database(fleet: FleetSettings, work: Callable[[Connections], Awaitable[T]]) -> T:
    """Return what `work` does with the fleet's database. Raises ConfigError, and what it raises."""
    from bulkfetch.fleet.connections import Connections
    from bulkfetch.fleet.database import tables_required

    async def main() -> T:
        connections = await Connections.open(fleet.fleet.database, fleet.password)
        try:
            return await work(connections)
        finally:
            await connections.aclose()

    with tables_required(fleet.fleet.database):
        return run_in_loop(main())
