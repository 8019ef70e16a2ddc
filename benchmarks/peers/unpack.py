"""unpack.py OUT THREADS zlib|isal ZIP…: zipfile, with its own inflate or isal's in its place."""

import importlib
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def use_isal() -> None:
    """Put isal's inflate and CRC where zipfile looks for zlib's."""
    isal_zlib = importlib.import_module("isal.isal_zlib")
    zipfile.zlib = isal_zlib  # type: ignore[attr-defined]
    zipfile.crc32 = isal_zlib.crc32  # type: ignore[attr-defined]


def main() -> None:
    """Unpack each archive's first member to a numbered file."""
    out, threads, engine, archives = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    if engine == "isal":
        use_isal()

    def unpack(number: int) -> None:
        with (
            zipfile.ZipFile(archives[number]) as archive,
            archive.open(archive.infolist()[0]) as source,
            (out / f"{number}.csv").open("wb") as target,
        ):
            shutil.copyfileobj(source, target)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(unpack, range(len(archives))))


if __name__ == "__main__":
    main()
