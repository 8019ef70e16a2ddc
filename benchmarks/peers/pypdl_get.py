"""pypdl_get.py OUT URL…: pypdl, one connection per file, ten files at once."""

import importlib
import sys
from pathlib import Path

pypdl = importlib.import_module("pypdl")


def main() -> None:
    """Fetch all."""
    out, urls = Path(sys.argv[1]), sys.argv[2:]
    tasks = [
        {"url": url, "file_path": str(out / f"{n}.zip"), "multisegment": False}
        for n, url in enumerate(urls)
    ]
    downloader = pypdl.Pypdl(max_concurrent=10)
    results = downloader.start(tasks=tasks, display=False, block=True)
    if len(list(results or [])) != len(urls):
        sys.exit("not all were fetched")


if __name__ == "__main__":
    main()
