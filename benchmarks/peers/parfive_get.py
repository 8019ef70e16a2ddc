"""parfive_get.py OUT URL…: parfive with its own defaults, ten files at once."""

import importlib
import sys

parfive = importlib.import_module("parfive")


def main() -> None:
    """Fetch all."""
    out, urls = sys.argv[1], sys.argv[2:]
    downloader = parfive.Downloader(max_conn=10, max_splits=1, progress=False)
    for number, url in enumerate(urls):
        downloader.enqueue_file(url, path=out, filename=f"{number}.zip")
    results = downloader.download()
    if results.errors:
        sys.exit(str(results.errors))


if __name__ == "__main__":
    main()
