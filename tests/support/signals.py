"""Signals that the suite was started without: nohup, or a step in the background of a shell."""

from __future__ import annotations

import signal

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_in_children() -> None:
    """Have programs that are started from here on heed signals that this process ignores.

    A handler is reset when a program is started, an ignored signal stays ignored. This process
    stays deaf, as who started it wished.
    """
    for number in STOPPING:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
