"""Charts as SVG: bars for rivals, lines for growth. Strings in, a string out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 760
_BAR, _GAP, _HEAD = 20, 8, 46
_LABEL, _VALUE = 250, 110
_OURS, _OTHERS, _WHISKER, _INK = "#1769aa", "#b0bec5", "#37474f", "#263238"
_COLOURS = ("#1769aa", "#d9822b", "#2e8b57", "#a23b72", "#6b7280")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a median with its lowest and highest sample; `ours` sets it off."""

    name: str
    value: float
    low: float
    high: float
    ours: bool = False


def bars(title: str, unit: str, entries: Sequence[Bar]) -> str:
    """Draw bars, the shortest first: shorter is better."""
    entries = sorted(entries, key=lambda bar: bar.value)
    top = max((bar.high for bar in entries), default=1.0) or 1.0
    room = _WIDTH - _LABEL - _VALUE
    parts = []
    for row, bar in enumerate(entries):
        y = _HEAD + row * (_BAR + _GAP)
        middle = y + _BAR / 2
        width, low, high = (room * value / top for value in (bar.value, bar.low, bar.high))
        colour = _OURS if bar.ours else _OTHERS
        weight = ' font-weight="bold"' if bar.ours else ""
        parts += [
            _text(_LABEL - 8, middle + 4, bar.name, "end", weight),
            f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
            f'<line x1="{_LABEL + low:.1f}" x2="{_LABEL + high:.1f}" y1="{middle}" y2="{middle}" '
            f'stroke="{_WHISKER}" stroke-width="1.5"/>',
            _text(_LABEL + high + 6, middle + 4, f"{number(bar.value)} {unit}", "start", weight),
        ]
    height = _HEAD + len(entries) * (_BAR + _GAP) + 8
    note = f"median of whole processes, {unit}; the line spans all samples; shorter is better"
    return _svg(height, [*_heading(title, note), *parts])


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
) -> str:
    """Draw curves on logarithmic axes, where proportional growth is a straight line."""
    points = [point for curve in series.values() for point in curve if min(point) > 0]
    left, right, top, bottom = 80, _WIDTH - 190, _HEAD + 8, 330
    if not points:
        return _svg(120, _heading(title, "no data"))
    x_low, x_high = _decades([x for x, _ in points])
    y_low, y_high = _decades([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_low) / (x_high - x_low)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return left + across * (right - left), bottom - up * (bottom - top)

    parts = []
    for power in range(x_low, x_high + 1):
        x, _ = at(10.0**power, 10.0**y_low)
        parts += [_grid(x, top, x, bottom), _text(x, bottom + 16, number(10.0**power), "middle")]
    for power in range(y_low, y_high + 1):
        _, y = at(10.0**x_low, 10.0**power)
        parts += [_grid(left, y, right, y), _text(left - 6, y + 4, number(10.0**power), "end")]
    for row, (name, curve) in enumerate(series.items()):
        colour = _COLOURS[row % len(_COLOURS)]
        spots = [at(x, y) for x, y in sorted(curve) if min(x, y) > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots]
        y = top + 10 + row * 18
        parts += [
            f'<rect x="{right + 14}" y="{y - 8}" width="10" height="10" fill="{colour}"/>',
            _text(right + 30, y + 1, name, "start"),
        ]
    parts.append(_text((left + right) / 2, bottom + 36, x_label, "middle"))
    return _svg(bottom + 48, [*_heading(title, y_label), *parts])


def number(value: float) -> str:
    """Write a number with three figures and no more noughts than needed."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{round(value):,}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 9)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and abs(value) < 0.01 else text


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def _heading(title: str, note: str) -> list[str]:
    return [
        f'<text x="12" y="20" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="37" font-size="11" fill="#607d8b">{escape(note)}</text>',
    ]


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="#cfd8dc" stroke-width="1"/>'
    )


def _svg(height: float, parts: Sequence[str]) -> str:
    # A background of its own: a reader's page may be dark.
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="Helvetica, Arial, sans-serif" '
            f'font-size="12" fill="{_INK}">',
            f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )
