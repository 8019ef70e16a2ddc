"""A time to wait, given as an option that may stand alone."""

from __future__ import annotations

from math import inf

import click

# What stands for an option without a time.
NO_LIMIT = "no limit"


class WaitTime(click.ParamType[float]):
    """Seconds of a duration such as 30m, infinity for an option without one."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; an argument that was taken for a duration gets a hint."""
        if isinstance(value, float):
            return value
        if value == NO_LIMIT:
            return inf
        from bulkfetch.config.durations import parse_duration  # late: it imports all settings

        try:
            seconds = parse_duration(value)
        except ValueError:
            seconds = 0.0
        if seconds <= 0:
            self.fail(
                f"{value[:40]!a} is not a duration such as 90s, 30m or 2h; without one, "
                "put --wait behind the other arguments",
                param,
                ctx,
            )
        return seconds
