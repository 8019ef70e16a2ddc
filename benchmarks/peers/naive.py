"""naive.py OUT [--unpack] URL…: aiohttp, `iter_chunked(64 KiB)`, one `aiofiles` write each.

What most tutorials show; ten at once. With --unpack each ZIP is unpacked by zipfile in a thread.
"""

import asyncio
import importlib
import shutil
import sys
import zipfile
from pathlib import Path

aiohttp = importlib.import_module("aiohttp")
aiofiles = importlib.import_module("aiofiles")


def unpack(path: Path) -> None:
    """Unpack the one member beside its ZIP, and remove that."""
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(archive.infolist()[0]) as source,
        path.with_suffix(".csv").open("wb") as target,
    ):
        shutil.copyfileobj(source, target)
    path.unlink()


async def main() -> None:
    """Fetch all."""
    out, urls = Path(sys.argv[1]), sys.argv[2:]
    unpacking = urls[0] == "--unpack"
    slots, threads = asyncio.Semaphore(10), asyncio.Semaphore(2)

    async def get(number: int, url: str) -> None:
        path = out / f"{number}.zip"
        async with slots, session.get(url) as response:
            response.raise_for_status()
            async with aiofiles.open(path, "wb") as file:
                async for chunk in response.content.iter_chunked(65536):
                    await file.write(chunk)
        if unpacking:
            async with threads:
                await asyncio.to_thread(unpack, path)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(get(n, url) for n, url in enumerate(urls[unpacking:])))


if __name__ == "__main__":
    asyncio.run(main())
