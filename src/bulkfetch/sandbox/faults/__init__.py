"""Every way in which the sandbox can misbehave, by name."""

from bulkfetch.sandbox.faults import breaks, framing, heads, pace, payloads, ranges, replies
from bulkfetch.sandbox.faults.registry import (
    FAULTS,
    Exchange,
    Fault,
    UnknownFault,
    fault,
    harmless,
    lookup,
)

__all__ = ["FAULTS", "Exchange", "Fault", "UnknownFault", "fault", "harmless", "lookup"]

_ROOMS = (breaks, framing, heads, pace, payloads, ranges, replies)  # each enters its own
