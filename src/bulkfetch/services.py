"""What a client may be given in place of what it would make by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.clock import Clock
from bulkfetch.config import AccountSettings, Settings
from bulkfetch.errors import ConfigError
from bulkfetch.journal import ExportStore, ExportTables

if TYPE_CHECKING:
    import aiohttp

    from bulkfetch.destination import Destination
    from bulkfetch.ratelimit.postgres.store import WindowStore
    from bulkfetch.zoho.token_provider import TokenProvider


_DESTINATION = ("reported", "is_free", "stands", "group")
# Of a place that is asked for: as the journal knows objects from files.
_URL = re.compile(r"[a-z0-9]+://.*a/b\.csv", re.ASCII)

# Gives where it is kept how far exports have come; of what the output folder's journal has of them.
OpenExports = Callable[[ExportTables], ExportStore]


class CommonWindows(NamedTuple):
    """The rows of windows and budgets, which clients of a process share; never closed by a client.

    The store must be of the loop in which the clients are entered. `name_of` gives what all that
    use the rows call an account. `generation` is that of the turn of a fleet in which one client's
    accounts are asked: nothing is asked any more once there is a newer one. None: none.
    """

    store: WindowStore
    name_of: Callable[[AccountSettings], str] = attrgetter("name")
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a client was given; None: its own. Nothing of it is closed by the client."""

    tokens: TokenProvider | None = None
    connector: aiohttp.BaseConnector | None = None
    clock: Clock | None = None
    destination: Destination | None = None
    windows: CommonWindows | None = None
    exports: OpenExports | None = None

    def require_usable(self, settings: Settings) -> None:
        """Raise ConfigError where it does not go with the settings, or is of no use any more."""
        if self.destination is not None:
            _require_destination(self.destination, settings)
        if self.connector is not None:
            _require_connector(self.connector, settings)


def _require_connector(connector: aiohttp.BaseConnector, settings: Settings) -> None:
    if connector.closed:
        raise ConfigError(
            "the connector that was handed in is closed",
            hint="Close it after the client was left.",
        )
    named = [account for account in settings.accounts if account.ca_file is not None]
    if named:
        raise ConfigError(
            f"account {named[0].name}: ca_file has no say over a connector that is handed in",
            hint="Give the connector an ssl context that trusts it, and take ca_file out.",
        )


def _require_destination(destination: Destination, settings: Settings) -> None:
    named = [url for each in settings.accounts if (url := each.publish_to or settings.publish_to)]
    if named:
        raise ConfigError(
            f'publish_to = "{named[0]}" beside a destination that is handed in',
            hint="Files are published at one place: take one of the two out.",
        )
    lacking = [name for name in _DESTINATION if not callable(getattr(destination, name, None))]
    if lacking:
        raise ConfigError(f"the destination that is handed in has no {lacking[0]}()")
    shown: object = destination.reported("a/b.csv")
    if not isinstance(shown, str) or not _URL.fullmatch(shown):
        raise ConfigError(
            "the destination that is handed in must report a place as a URL that ends with it",
            hint='For instance "vault://exports/" + place: a path would be taken for one in `out`.',
        )
