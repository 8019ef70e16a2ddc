"""httpx_get.py OUT URL…: httpx streaming into aiofiles, 64 KiB at a time."""

import asyncio
import importlib
import sys
from pathlib import Path

httpx = importlib.import_module("httpx")
aiofiles = importlib.import_module("aiofiles")


async def main() -> None:
    """Fetch all at once."""
    out, urls = Path(sys.argv[1]), sys.argv[2:]

    async def get(number: int, url: str) -> None:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            async with aiofiles.open(out / f"{number}.zip", "wb") as file:
                async for chunk in response.aiter_bytes(65536):
                    await file.write(chunk)

    async with httpx.AsyncClient(timeout=600) as client:
        await asyncio.gather(*(get(n, url) for n, url in enumerate(urls)))


if __name__ == "__main__":
    asyncio.run(main())
