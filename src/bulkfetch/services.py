"""What a client may be given in place of what it would make by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.config import AccountSettings

if TYPE_CHECKING:
    from bulkfetch.ratelimit.postgres.store import WindowStore


class CommonWindows(NamedTuple):
    """The rows of windows, which many clients of a process share; never closed by a client.

    The store must be of the loop in which the clients are entered. `name_of` gives what all that
    use the rows call an account.
    """

    store: WindowStore
    name_of: Callable[[AccountSettings], str] = attrgetter("name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a client was given; None: its own. Nothing of it is closed by the client."""

    windows: CommonWindows | None = None
