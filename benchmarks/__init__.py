"""Measurements of bulkfetch beside what people would otherwise pick. Run `python -m benchmarks`."""
