"""Whether a window's database can be used; nothing is changed there."""

from __future__ import annotations

from bulkfetch.ratelimit.postgres.schema import (
    FAILED,
    are_there,
    connect,
    host_of,
    refused,
    tables,
)
from bulkfetch.secret import Secret

_STATEMENT_S = 10.0


async def probe(url: str, password: Secret | None) -> str:
    """Return what was found, in words. Raises ConfigError where a run could not use it."""
    try:
        connection = await connect(url, password, _STATEMENT_S)
        try:
            if not await are_there(connection):
                return f"connected to {host_of(url)}; the first run makes the tables"
            found = await tables(connection)
            return f"connected to {host_of(url)}, tables of version {found['version']}"
        finally:
            await connection.close(timeout=1)
    except FAILED as error:
        raise refused(url, error) from None
