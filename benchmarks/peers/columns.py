"""columns.py OUT duckdb|polars|pyarrow CSV: a CSV on disk to Parquet, all columns as text."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def by_duckdb(duckdb: Any, source: str, target: str) -> int:
    """Convert with one thread: with more, memory grows by as much."""
    with duckdb.connect(config={"threads": 1}) as database:
        rows = f"SELECT * FROM read_csv('{source}', all_varchar = true)"
        database.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        counted = database.execute(f"SELECT count(*) FROM '{target}'").fetchall()
    return int(counted[0][0])


def by_polars(polars: Any, source: str, target: str) -> int:
    """Convert as a stream."""
    polars.scan_csv(source, infer_schema=False).sink_parquet(target, compression="zstd")
    return int(polars.scan_parquet(target).select(polars.len()).collect().item())


def by_pyarrow(csv: Any, source: str, target: str) -> int:
    """Convert as its documents show: a row group for each block."""
    parquet = importlib.import_module("pyarrow.parquet")
    with open(source, encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split(",")
    text = csv.ConvertOptions(column_types=dict.fromkeys(names, "string"))
    options = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(source, parse_options=options, convert_options=text) as reader:
        writer = parquet.ParquetWriter(target, reader.schema, compression="zstd")
        for batch in reader:
            writer.write_batch(batch)
        writer.close()
    return int(parquet.read_metadata(target).num_rows)


def main() -> None:
    """Convert, and tell the file's size and its records."""
    out, how, source = sys.argv[1:]
    target = Path(out) / "table.parquet"
    if how == "duckdb":
        records = by_duckdb(importlib.import_module("duckdb"), source, str(target))
    elif how == "polars":
        records = by_polars(importlib.import_module("polars"), source, str(target))
    else:
        records = by_pyarrow(importlib.import_module("pyarrow.csv"), source, str(target))
    print(json.dumps({"file_bytes": target.stat().st_size, "records": records}))


if __name__ == "__main__":
    main()
