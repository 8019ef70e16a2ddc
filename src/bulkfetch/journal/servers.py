"""Which server each account's results came from, so that another's are not taken for them.

What an id or a cursor means is the server's matter: the same one elsewhere is another result.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from bulkfetch.errors import ConfigError
from bulkfetch.journal.admission import account_key
from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, FAILED_BEFORE, SKIPPED

_SERVER = "SELECT server FROM account WHERE name = ?"
# A server that never said anything of a job or a page may have been a slip of the settings.
_HAS_ANSWERS = f"""
    SELECT EXISTS (
        SELECT 1 FROM job JOIN account ON account.key = job.account WHERE account.name = ?1 AND (
            job.state IN ({DOWNLOADED}, {DONE}, {SKIPPED})
            OR job.state IN ({FAILED}, {FAILED_BEFORE}) AND job.attempts > 0
        )
    ) OR EXISTS (
        SELECT 1 FROM generation WHERE account = ?1 AND (
            state IN ('PUBLISHING', 'COMMITTED') OR EXISTS (
                SELECT 1 FROM page
                WHERE page.generation = generation.key AND page.job_id IS NOT NULL
            )
        )
    )
"""


def unnoted_servers(
    connection: sqlite3.Connection, servers: Mapping[str, str], out: Path
) -> dict[str, str]:
    """Return those of the servers that are not noted as the ones of their accounts.

    `servers` are those that are to be asked, by account; `out` is the output folder. Raises
    ConfigError where answers of an account are those of another server.
    """
    unnoted = {}
    for account, asked in servers.items():
        known = server_of(connection, account)
        if known == asked:
            continue
        if known is not None:
            ((has_answers,),) = connection.execute(_HAS_ANSWERS, (account,))
            if has_answers:
                raise ConfigError(
                    f"account {account} was asked at {known} for what is in {out}, and would be "
                    f"at {asked}",
                    hint="Use another `out` for another server, or another name for the account. "
                    "If it is the same org, which has moved: "
                    + shlex.join(("bulkfetch", "forget", str(out), "--server", account)),
                )
        unnoted[account] = asked
    return unnoted


def note_servers(connection: sqlite3.Connection, servers: Mapping[str, str], out: Path) -> None:
    """Note which server each account's answers come from; within a transaction.

    Raises ConfigError as `unnoted_servers`.
    """
    for account, asked in unnoted_servers(connection, servers, out).items():
        key = account_key(connection, account)
        connection.execute("UPDATE account SET server = ? WHERE key = ?", (asked, key))


def server_of(connection: sqlite3.Connection, account: str) -> str | None:
    """Return what is noted of an account, None if nothing is."""
    row = connection.execute(_SERVER, (account,)).fetchone()
    return None if row is None else row[0]
