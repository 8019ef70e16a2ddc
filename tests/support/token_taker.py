"""A process of its own that takes a token and prints its hash: `python token_taker.py URL DIR`.

Waits for a line on stdin first, so that several of them begin together.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import aiohttp

from bulkfetch.config import AccountSettings, Credentials
from bulkfetch.secret import Secret
from bulkfetch.zoho.tokens import token_source


async def main(url: str, folder: str) -> None:
    account = AccountSettings(data_center="sandbox").at(
        url,
        Credentials(
            client_id=Secret("client"),
            client_secret=Secret("hush"),
            refresh_token=Secret("1000.refresh"),
        ),
    )
    print("ready", flush=True)
    sys.stdin.readline()
    async with aiohttp.ClientSession() as session:
        source = token_source(account, session, Path(folder))
        secret = await source.token()
        print(hashlib.sha256(secret.reveal().encode()).hexdigest(), flush=True)


asyncio.run(main(*sys.argv[1:]))
