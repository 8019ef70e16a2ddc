"""The command line: one module per command, one printer, fixed exit statuses.

Modules import nothing heavy at their top (no aiohttp, rich or anyio), so that `--help` and usage
errors are fast. A command imports what it needs when it runs.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status; None stands for the process's own arguments.

    Sets signal handlers during the call. Never raises, except for what cannot be caught.
    """
    from bulkfetch.cli.app import execute

    return execute(arguments)
