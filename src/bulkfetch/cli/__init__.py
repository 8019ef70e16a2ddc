"""The command line: one file per command, one printer, fixed exit status.

Modules here import nothing heavy at their top (no aiohttp, rich or pydantic): `--help` and usage
errors answer at once. What a command needs is imported when it runs.
"""

from bulkfetch.cli.app import main

__all__ = ["main"]
