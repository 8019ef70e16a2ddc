"""extract.py OUT THREADS sha256|crc ZIP…: inspect and unpack, as the product's finishers do."""

import sys
from pathlib import Path

from bulkfetch.archive import Limits, extract, inspect


def main() -> None:
    """Unpack each archive to a numbered file."""
    out, threads, sums, archives = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    limits = Limits(file_bytes=64 << 30)

    def unpack(number: int) -> None:
        archive = Path(archives[number])
        member = inspect(archive, limits)
        target = out / f"{number}{member.suffix}"
        extract(archive, member, target, limits, digest=sums == "sha256")

    if threads == 1:
        for number in range(len(archives)):
            unpack(number)
        return
    from concurrent.futures import ThreadPoolExecutor  # one thread needs none

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(unpack, range(len(archives))))


if __name__ == "__main__":
    main()
