"""Durations as values of options."""

from __future__ import annotations

from math import inf

import click

# What stands for an option without a time.
NO_LIMIT = "no limit"


class Duration(click.ParamType[float]):
    """Seconds of a duration such as 30m."""

    name = "duration"
    _advice = ""

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; fails for what is no duration."""
        if isinstance(value, float):
            return value
        from bulkfetch.config.quantities import parse_duration  # late: it imports all settings

        try:
            seconds = parse_duration(value)
        except ValueError:
            seconds = 0.0
        if seconds <= 0:
            self.fail(
                f"{value[:40]!a} is not a duration such as 90s, 30m or 2h{self._advice}", param, ctx
            )
        return seconds


class WaitTime(Duration):
    """Seconds of a duration such as 30m, infinity for an option without one.

    An argument that was taken for a duration gets a hint.
    """

    _advice = "; without one, put --wait behind the other arguments"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; fails for what is no duration."""
        return inf if value == NO_LIMIT else super().convert(value, param, ctx)
