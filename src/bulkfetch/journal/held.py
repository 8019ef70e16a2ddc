"""Small ZIPs that formats 2 to 4 kept in the journal, moved to where every ZIP is by now."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bulkfetch.disk import disk_errors, fsync_dir, write_file

# The formats that have the table `held`.
HELD_FORMATS = range(2, 5)

_HELD = """
    SELECT account.name, job.id, held.zip
    FROM held JOIN job ON job.key = held.job JOIN account ON account.key = job.account
"""


def move_held(connection: sqlite3.Connection, staging: Path) -> None:
    """Write each ZIP that the journal holds to its file in staging, on the device on return.

    The table stays for the migration to drop: a kill in between has it all done once more. A body
    beside it was put there when a run ended, perhaps not to its last byte; the journal's is whole.
    Raises DiskFull, NotWritable.
    """
    held = connection.execute(_HELD)
    with disk_errors(staging):
        staging.mkdir(parents=True, exist_ok=True)
        for account, job_id, body in held:
            part = staging / f"{account}.{job_id}.part"
            write_file(part, body)
            os.replace(part, part.with_suffix(".zip"))
    fsync_dir(staging)
