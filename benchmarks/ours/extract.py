"""extract.py OUT THREADS full|bare ZIP…: inspect and unpack, as the product's finishers do.

`bare` leaves out what others do not do: the SHA-256, and having the disk begin to write.
"""

import sys
from pathlib import Path

from bulkfetch.archive import ArchivedFile, ExtractLimits, FileDraft, draft, extract, inspect


def main() -> None:
    """Unpack each archive to a numbered file."""
    out, threads, how, archives = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    limits = ExtractLimits(file_bytes=64 << 30)
    if how == "bare":
        draft.DISK_CHECK_BYTES = sys.maxsize

    def unpack_one(number: int) -> None:
        archive = Path(archives[number])
        member = inspect(archive, limits)
        target = FileDraft(out / f"{number}{member.suffix}")
        extract(ArchivedFile(archive, member, limits), target, digest=how == "full")
        target.close()

    if threads == 1:
        for number in range(len(archives)):
            unpack_one(number)
        return
    from concurrent.futures import ThreadPoolExecutor  # one thread needs none

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(unpack_one, range(len(archives))))


if __name__ == "__main__":
    main()
