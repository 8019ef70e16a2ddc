"""The command line: one file per command, one printer, fixed exit status.

Modules here import nothing heavy at their top (no aiohttp, rich or anyio): `--help` and usage
errors answer at once. What a command needs is imported when it runs.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and give its exit status; None: the process's own arguments, and its end.

    Sets signal handlers for the time of the call. Never raises, but for what cannot be caught.
    """
    from bulkfetch.cli.app import execute

    return execute(arguments)
