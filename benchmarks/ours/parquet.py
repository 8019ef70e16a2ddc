"""parquet.py OUT ZIP: convert as the product does; tell the size of the file, and its records."""

import json
import sys
from pathlib import Path

from bulkfetch.archive import ArchivedFile, ExtractLimits, FileDraft, inspect
from bulkfetch.archive.parquet import extract_parquet


def main() -> None:
    """Convert one archive."""
    out, archive = Path(sys.argv[1]), Path(sys.argv[2])
    limits = ExtractLimits(file_bytes=64 << 30)
    draft = FileDraft(out / "table.parquet")
    file = ArchivedFile(archive, inspect(archive, limits), limits)
    made = extract_parquet(file, draft, types={}, row_group_bytes=64 << 20)
    draft.close()
    print(json.dumps({"file_bytes": made.bytes, "records": made.records}))


if __name__ == "__main__":
    main()
