"""What a client may be given in place of what it would make by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.clock import Clock
from bulkfetch.config import AccountSettings, Settings
from bulkfetch.errors import ConfigError

if TYPE_CHECKING:
    import aiohttp

    from bulkfetch.ratelimit.postgres.store import WindowStore
    from bulkfetch.zoho.token_provider import TokenProvider


class CommonWindows(NamedTuple):
    """The rows of windows, which many clients of a process share; never closed by a client.

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
    windows: CommonWindows | None = None

    def require_usable(self, settings: Settings) -> None:
        """Raise ConfigError where it does not go with the settings, or is of no use any more."""
        if self.connector is None:
            return
        if self.connector.closed:
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
