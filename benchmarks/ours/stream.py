"""stream.py OUT BASE CA_FILE sync|nosync ID…: the streaming path alone, ten at once.

Window, token, request, judging, streaming to the staging file, and its fsync: all that the product
does between an id and a complete ZIP, without journal and unpacking.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from bulkfetch.disk import fsync_file
from bulkfetch.download.attempt import Attempt
from bulkfetch.download.downloader import Downloader, Endpoint, TransferLimits
from bulkfetch.download.session import open_session
from bulkfetch.ratelimit import RateLimit, open_limiter
from bulkfetch.secret import Secret


class FixedToken:
    """A token source that has one and needs nobody."""

    async def token(self) -> Secret:
        """Give it."""
        return Secret("benchmark")

    async def renew(self, refused: Secret) -> Secret:
        """Give it again."""
        return refused

    async def refuse(self, refused: Secret) -> None:
        """Do nothing: nobody refuses it."""


async def main() -> None:
    """Fetch all ids."""
    out, base, ca_file, sync = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    ids = sys.argv[5:]
    seats = asyncio.Semaphore(10)
    settings = RateLimit(requests=1_000_000, period_s=0.01, margin_s=0.0)
    window = await open_limiter(settings, "benchmark", Path(os.environ["BULKFETCH_STATE_DIR"]))
    async with open_session(ca_file) as session:
        downloader = Downloader(
            session,
            Endpoint(base, "/crm/bulk/{version}/read/{job_id}/result", "v8"),
            window,
            FixedToken(),
            TransferLimits(4 << 30, 60.0, 1000.0, 30.0, 60.0),
        )
        received = 0

        async def get(job_id: str) -> None:
            nonlocal received
            async with seats:
                part = out / f"{job_id}.zip"
                fetched = await downloader.fetch(job_id, part, Attempt())
                received += fetched.zip_bytes
                if sync == "sync":
                    await asyncio.to_thread(fsync_file, part)

        await asyncio.gather(*map(get, ids))
    await window.aclose()
    print(json.dumps({"received_bytes": received}))


if __name__ == "__main__":
    asyncio.run(main())
