"""Charts as inline SVG, without a script. Pure.

An SVG is stretched to the width that there is, so words stand beside it, as HTML: they keep their
size on a narrow screen and on paper. Each chart has a name and a description for those who do not
see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from bulkfetch.observe.report.tally import Window
from bulkfetch.text import duration

_W = 1000.0
_STEPS_S = (
    *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800),
    *(3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000),
)
_MOST_TICKS = 8
_NICE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


class Tick(NamedTuple):
    """A word beside an axis, at a share of its length."""

    share: float
    word: str


class Layer(NamedTuple):
    """An area of a chart, one value a bucket; `css` is its class."""

    css: str
    values: Sequence[float]


def time_ticks(span_s: float) -> list[Tick]:
    """Return words along an axis of time that begins at 0."""
    step = next((s for s in _STEPS_S if span_s / s <= _MOST_TICKS), 86400 * (span_s // 691200 + 1))
    return [Tick(at / span_s, _time(at)) for at in _range(span_s, step)]


def value_ticks(most: float) -> list[Tick]:
    """Return words along an axis of values from 0 to `most`."""
    return [Tick(share, f"{round(most * share, 2):g}") for share in (0.0, 0.5, 1.0)]


def rounded_up(value: float) -> float:
    """Return the next value above that reads well at the end of an axis, and halved."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _NICE if step * power >= value * 0.999)


def _range(end: float, step: float) -> list[float]:
    return [step * count for count in range(int(end / step) + 1)]


def _time(at_s: float) -> str:
    if at_s == 0:
        return "0"
    for unit_s, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if at_s >= unit_s and at_s % unit_s == 0:
            return f"{at_s / unit_s:g} {word}"
    return duration(at_s) if at_s >= 60 else f"{at_s:g} s"


def areas(
    name: str,
    about: str,
    key: str,
    layers: Sequence[Layer],
    *,
    width_s: float,
    span_s: float,
    most: float,
    ticks: list[Tick],
    limit: float | None = None,
) -> str:
    """Return areas stacked upon each other; a dashed line stands at `limit`."""
    below = [0.0] * max((len(layer.values) for layer in layers), default=0)
    drawn = []
    for layer in layers:
        above = [
            low + (layer.values[at] if at < len(layer.values) else 0.0)
            for at, low in enumerate(below)
        ]
        drawn.append(
            f'<path class="{layer.css}" d="{_path(below, above, width_s, span_s, most)}"/>'
        )
        below = above
    if limit is not None:
        y = _number(100 - 100 * limit / most)
        drawn.append(f'<line class="limit" x1="0" x2="1000" y1="{y}" y2="{y}"/>')
    return chart(name, about, key, 100, "".join(drawn), ticks, time_ticks(span_s))


def _path(
    below: Sequence[float], above: Sequence[float], width_s: float, span_s: float, most: float
) -> str:
    """Return the outline of steps, from left to right above and back below."""
    there, back = [], []
    for at, (low, high) in enumerate(zip(below, above, strict=True)):
        left = _number(min(_W, at * width_s / span_s * _W))
        right = _number(min(_W, (at + 1) * width_s / span_s * _W))
        top, bottom = _number(100 - 100 * high / most), _number(100 - 100 * low / most)
        there.append(f"{left} {top} {right} {top}")
        back.append(f"{right} {bottom} {left} {bottom}")
    return f"M{' L'.join([*there, *reversed(back)])}Z" if there else ""


def lanes(name: str, about: str, key: str, window: Window, span_s: float) -> str:
    """Return a lane for each slot: its requests, and for how long each kept it from the next."""
    count = max([window.requests, *(one.lane + 1 for one in window.drawn)])
    drawn = [
        f'<rect class="lane" x="0" y="{10 * lane + 0.5:g}" width="1000" height="9"/>'
        for lane in range(count)
    ]
    for one in window.drawn:
        settled_s = span_s if one.settled_s is None else one.settled_s
        y = f'y="{10 * one.lane + 0.5:g}" height="9"'
        words = f"job {one.job}: sent at {one.taken_s:.1f} s, "
        words += f"{one.end} at {settled_s:.1f} s" if one.end else "not answered"
        drawn.append(f"<g><title>{escape(words)}</title>")
        if one.back_s is not None:
            drawn.append(_bar("kept", settled_s, min(one.back_s, span_s), span_s, y))
        css = "request" if one.end in ("answered", "") else "request bad"
        drawn.append(_bar(css, one.taken_s, settled_s, span_s, y))
        drawn.append("</g>")
    for at_s, kind in window.marked:
        if kind == "window_closed":
            x = _number(at_s / span_s * _W)
            drawn.append(f'<line class="closed" x1="{x}" x2="{x}" y1="0" y2="{10 * count}"/>')
    ticks = [Tick(1 - (lane + 0.5) / count, f"{lane + 1}") for lane in range(count)]
    return chart(name, about, key, 10 * count, "".join(drawn), ticks, time_ticks(span_s))


def _bar(css: str, from_s: float, to_s: float, span_s: float, y: str) -> str:
    x, end = from_s / span_s * _W, to_s / span_s * _W
    width = max(end - x, 1.5 if css.startswith("request") else 0.0)
    return f'<rect class="{css}" x="{_number(x)}" width="{_number(width)}" {y}/>'


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def chart(
    name: str, about: str, key: str, height: int, drawn: str, y: list[Tick], x: list[Tick]
) -> str:
    """Return a chart with its words."""
    up = "".join(
        f'<span style="bottom:{100 * tick.share:.2f}%">{escape(tick.word)}</span>' for tick in y
    )
    along = "".join(
        f'<span style="left:{100 * tick.share:.2f}%">{escape(tick.word)}</span>' for tick in x
    )
    return (
        f'<div class="chart"><div class="y" aria-hidden="true">{up}</div>'
        f'<svg role="img" aria-labelledby="{key}-name" aria-describedby="{key}-about" '
        f'viewBox="0 0 1000 {height}" preserveAspectRatio="none">'
        f'<title id="{key}-name">{escape(name)}</title>'
        f'<desc id="{key}-about">{escape(about)}</desc>{drawn}</svg>'
        f'<div class="x" aria-hidden="true">{along}</div></div>'
    )
