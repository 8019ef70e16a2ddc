"""sdk_shape.py OUT [--unpack] URL…: what Zoho's own SDK and its samples do.

One request after another, the whole body into memory, then to a file in pieces of 128 bytes
(iterating a `requests.Response`). With --unpack zipfile unpacks each.
"""

import importlib
import shutil
import sys
import zipfile
from pathlib import Path

requests = importlib.import_module("requests")


def main() -> None:
    """Fetch all."""
    out, urls = Path(sys.argv[1]), sys.argv[2:]
    unpacking = urls[0] == "--unpack"
    for number, url in enumerate(urls[unpacking:]):
        response = requests.get(url, timeout=600)
        response.raise_for_status()
        path = out / f"{number}.zip"
        with path.open("wb") as file:
            for piece in response:
                file.write(piece)
        if unpacking:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(archive.infolist()[0]) as source,
                path.with_suffix(".csv").open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
            path.unlink()


if __name__ == "__main__":
    main()
