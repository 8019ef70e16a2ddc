"""What 429s have taught, as JSON for a store. Values in, values out."""

from __future__ import annotations

import json

from bulkfetch.ratelimit.throttle import Throttle


def to_json(throttle: Throttle, requests: int) -> str | None:
    """Return what differs from knowing nothing, so that each client fills in its own limit.

    None where nothing differs.
    """
    blank = Throttle(requests)._asdict()
    known = {name: value for name, value in throttle._asdict().items() if value != blank[name]}
    return json.dumps(known) if known else None


def from_json(text: str | None, requests: int) -> Throttle:
    """Return the throttle; None, or a part that is missing, means nothing.

    Raises ValueError for what is none.
    """
    try:
        known = json.loads(text) if text else {}
        known.pop("refused_at", None)  # of an earlier version
        return Throttle(requests)._replace(**known)
    except (AttributeError, TypeError) as error:
        raise ValueError("no throttle") from error
