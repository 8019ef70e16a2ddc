"""requests_get.py OUT URL…: requests in ten threads, 1 MiB pieces."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

requests = importlib.import_module("requests")


def main() -> None:
    """Fetch all at once."""
    out, urls = Path(sys.argv[1]), sys.argv[2:]

    def get(number: int) -> None:
        with requests.get(urls[number], stream=True, timeout=600) as response:
            response.raise_for_status()
            with (out / f"{number}.zip").open("wb") as file:
                for piece in response.iter_content(1 << 20):
                    file.write(piece)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(get, range(len(urls))))


if __name__ == "__main__":
    main()
