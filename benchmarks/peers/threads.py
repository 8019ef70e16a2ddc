"""threads.py OUT zlib|isal URL…: requests in ten threads, each unpacking what it fetched."""

import importlib
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

requests = importlib.import_module("requests")


def main() -> None:
    """Fetch and unpack all, two unpacking at once."""
    out, engine, urls = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if engine == "isal":
        isal_zlib = importlib.import_module("isal.isal_zlib")
        zipfile.zlib = isal_zlib  # type: ignore[attr-defined]
        zipfile.crc32 = isal_zlib.crc32  # type: ignore[attr-defined]
    unpackers = ThreadPoolExecutor(2)

    def unpack(path: Path) -> None:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(archive.infolist()[0]) as source,
            path.with_suffix(".csv").open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        path.unlink()

    def get(number: int) -> None:
        path = out / f"{number}.zip"
        with requests.get(urls[number], stream=True, timeout=600) as response:
            response.raise_for_status()
            with path.open("wb") as file:
                for piece in response.iter_content(1 << 20):
                    file.write(piece)
        unpackers.submit(unpack, path).result()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(get, range(len(urls))))


if __name__ == "__main__":
    main()
