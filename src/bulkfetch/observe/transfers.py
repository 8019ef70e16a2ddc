"""Transfers under way in words: how far each is, how fast, and what it waits for.

Pure, except for what is remembered from one look to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.observe.summary import Meter
from bulkfetch.text import duration, escape, size

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Transfer

# Without a byte for so long, a transfer is said to stand still.
STILL_S = 5.0


class TransferRow(NamedTuple):
    """One transfer in words. `share` is from 0 to 1, None if the size is unknown.

    `amount` is what has arrived, `state` the rate or why there is none; "" where nothing is known.
    """

    name: str
    share: float | None
    amount: str
    state: str

    @property
    def percent(self) -> str:
        """The share in words, "" without one."""
        return "" if self.share is None else f"{self.share * 100:.0f}%"


class _Seen:
    """What is remembered of a transfer: its rate, and when its last byte was seen to arrive."""

    def __init__(self, elapsed_s: float) -> None:
        self.meter = Meter()
        self.moved_s = elapsed_s
        self.received_bytes = 0


class TransferMeter:
    """Measures each transfer from one look to the next."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def rows(self, transfers: Iterable[Transfer], elapsed_s: float) -> list[TransferRow]:
        """Return the transfers in words at a time of the run's; those that ended are forgotten."""
        seen, self._seen = self._seen, {}
        rows = []
        for transfer in transfers:
            key = (transfer.account, transfer.job_id)
            now = self._seen[key] = seen.get(key) or _Seen(elapsed_s)
            if transfer.received_bytes < now.received_bytes:  # a new attempt
                now = self._seen[key] = _Seen(elapsed_s)
            if transfer.received_bytes > now.received_bytes:
                now.received_bytes, now.moved_s = transfer.received_bytes, elapsed_s
            rate = now.meter.rate(elapsed_s, transfer.received_bytes)
            rows.append(_row(transfer, rate, elapsed_s - now.moved_s))
        return rows


def _row(transfer: Transfer, rate: float, still_s: float) -> TransferRow:
    received, total = transfer.received_bytes, transfer.total_bytes
    name = (
        transfer.name
        if transfer.name == transfer.job_id
        else f"{transfer.name} ({transfer.job_id})"
    )
    if transfer.unpacking:
        return TransferRow(escape(name), 1.0, size(received) if received else "", "unpacking")
    amount = f"{size(received)} of {size(total)}" if total else size(received) if received else ""
    if still_s >= STILL_S and transfer.held:
        state = "at the rate limit"
    elif still_s >= STILL_S:
        state = f"no byte for {duration(still_s)}"
    elif not received:
        state = "asked"
    else:
        state = f"{size(rate)}/s"
    return TransferRow(escape(name), min(received / total, 1.0) if total else None, amount, state)
