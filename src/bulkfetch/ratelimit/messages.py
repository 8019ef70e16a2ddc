"""What is told when the limiter that processes share cannot be used as it was."""

from __future__ import annotations

from bulkfetch.ratelimit.interfaces import WindowEvent


def alone(why: str, for_s: float) -> WindowEvent:
    """Return the news that the machine's limiter cannot be used."""
    wait = f", after waiting {for_s:.0f} s" if for_s else ""
    text = (
        f"the machine's window cannot be used ({why}); this process keeps the limit for itself"
        f"{wait}: run no other one for this account"
    )
    return WindowEvent("fallback", text, for_s=for_s)


def renewed(why: str, for_s: float) -> WindowEvent:
    """Return the news that the machine's limiter had to begin anew."""
    text = (
        f"the machine's window was lost ({why}); a new one takes its place, and nothing leaves for "
        f"{for_s:.0f} s, since what was used before is not known"
    )
    return WindowEvent("fallback", text, for_s=for_s)
