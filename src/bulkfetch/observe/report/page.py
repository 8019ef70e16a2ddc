"""A run's tally as one page: no script, nothing from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from bulkfetch.observe.report.charts import Layer, areas, lanes, rounded_up, value_ticks
from bulkfetch.observe.report.gathering import Gathered
from bulkfetch.observe.report.style import STYLE
from bulkfetch.observe.report.tables import (
    byte_table,
    exports_section,
    failures_section,
    notes_section,
    section,
    waits_table,
    window_table,
)
from bulkfetch.observe.report.tally import STAGES, Tally, Window
from bulkfetch.text import duration, size

# More slots are drawn as a curve.
_MOST_LANES = 20
_WORDS = {
    "slot": "a slot of the window",
    "connection": "the server's answer",
    "body": "the file's bytes",
    "unpack": "check, unpack, publish",
}


def page(gathered: Gathered) -> Iterator[str]:
    """Yield the page, piece by piece."""
    tally = gathered.tally
    title = f"bulkfetch {tally.command or 'run'}, {_when(tally.started)}"
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><header><h1>{escape(title)}</h1>"
    )
    yield from _header(gathered)
    yield f"</header>\n<main>{_summary(tally)}"
    for number, (account, window) in enumerate(sorted(tally.windows.items())):
        if window.count or window.marks:
            yield _window(tally, account, window, f"window{number}")
    yield _bytes(tally)
    yield _waits(tally)
    yield failures_section(tally)
    yield exports_section(tally)
    yield notes_section(tally)
    yield (
        f"</main>\n<footer>Made by bulkfetch report from {gathered.lines:,} events"
        f"{f' of bulkfetch {escape(tally.version)}' if tally.version else ''}. "
        "Times are seconds and minutes since the run began.</footer></body></html>\n"
    )


def _when(stamp: str) -> str:
    return f"{stamp[:10]} {stamp[11:16]} UTC" if stamp else "time unknown"


def _header(gathered: Gathered) -> Iterator[str]:
    tally = gathered.tally
    if tally.ended is None:
        yield '<p class="ends wrong">The run did not end: it was killed, or still runs.</p>'
    else:
        status = tally.ended.get("exit_status", 0)
        css = "wrong" if status else "good"
        words = {0: "All done", 1: "Ended; some failed", 3: "Aborted", 130: "Interrupted"}
        said = words.get(status, "Ended")
        yield f'<p class="ends {css}">{said} (exit status {status}).</p>'
    warnings = []
    if gathered.torn:
        warnings.append("The last line of the file is torn; it is left out.")
    if gathered.unread:
        warnings.append(f"{gathered.unread} lines of the file are no events; they are left out.")
    if tally.lost_events:
        warnings.append(f"{tally.lost_events} events are missing: the file was too slow.")
    if gathered.runs > 1:
        warnings.append(f"The file holds {gathered.runs} runs; this is the last one.")
    if gathered.lines and not gathered.runs:
        warnings.append("The beginning of the run is missing.")
    for text in warnings:
        yield f'<p class="warn">{escape(text)}</p>'


def _summary(tally: Tally) -> str:
    requests = sum(window.count for window in tally.windows.values())
    tiles = [
        ("Done", f"{tally.done:,}", ""),
        ("Failed", f"{tally.failed:,}", ""),
        ("Requests", f"{requests:,}", f"{tally.retried:,} failed attempts"),
        ("Received", size(tally.received_bytes), f"{size(_rate(tally))}/s on average"),
        ("Published", size(tally.file_bytes), ""),
        ("Took", duration(tally.last_s), ""),
    ]
    pending = (tally.ended or {}).get("pending", 0)
    if pending:
        tiles.insert(2, ("Left", f"{pending:,}", "the same command goes on"))
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}{f'<small>{more}</small>' if more else ''}</dd></div>"
        for name, value, more in tiles
    )
    return f"<dl>{cells}</dl>"


def _rate(tally: Tally) -> float:
    return tally.received_bytes / max(tally.last_s, 0.001)


def _span_s(tally: Tally) -> float:
    return max(tally.last_s, 1.0)


def _window(tally: Tally, account: str, window: Window, key: str) -> str:
    most = max(window.most_taken, window.most_answered)
    limit = f"{window.requests} in any {window.period_s:g} s"
    if not window.known:
        verdict = '<p class="soft">The limit of this account is not in the file.</p>'
    elif most <= window.requests:
        verdict = (
            f'<p class="ends good">Kept: at most {most} requests in any {window.period_s:g} s '
            f"(the limit is {window.requests}).</p>"
        )
    else:
        verdict = f'<p class="ends wrong">Exceeded: {most} requests, the limit is {limit}.</p>'
    name = f"The window of account {account}"
    about = (
        f"{window.count} requests. At most {window.most_taken} left and {window.most_answered} "
        f"were answered within {window.period_s:g} seconds; at most {window.most_used} slots were "
        f"taken at once. The limit is {limit}."
    )
    if window.drawn and window.requests <= _MOST_LANES:
        drawn = lanes(name, about, key, window, _span_s(tally))
        legend = _legend(
            ("request", "a request, until its answer"),
            ("kept", "its slot waits until the period is over"),
            ("bad", "refused, or no answer; dashed: the window is closed by a 429"),
        )
        caption = "One lane for each slot. A slot is taken again only when its bar has ended."
    else:
        top = float(max(window.requests, window.most_used, 1))
        layers = [Layer("used", window.used.values)]
        drawn = areas(
            name, about, key, layers, width_s=window.used.width_s, span_s=_span_s(tally), most=top,
            ticks=value_ticks(top), limit=float(window.requests),
        )  # fmt: skip
        legend = _legend(("used", "slots in use: most in each step"))
        caption = "Slots whose request is under way or was answered within the period, at most."
    figure = f"<figure><figcaption>{caption}</figcaption>{legend}{drawn}</figure>"
    return section(key, name, f"{verdict}{figure}{window_table(window)}")


def _legend(*entries: tuple[str, str]) -> str:
    items = "".join(
        f'<li><svg aria-hidden="true" viewBox="0 0 1 1"><rect class="{css}" width="1" height="1"/>'
        f"</svg>{escape(words)}</li>"
        for css, words in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _bytes(tally: Tally) -> str:
    series = tally.bytes
    rates = [value / series.width_s for value in series.values]
    most = max([*rates, 1.0])
    unit, divisor = next(
        ((u, d) for u, d in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if most >= d), ("B", 1.0)
    )
    top = rounded_up(most / divisor)
    about = (
        f"{size(tally.received_bytes)} in {duration(tally.last_s)}; the most was {size(most)}/s, "
        f"over {series.width_s:g} seconds."
    )
    drawn = areas(
        "Bytes received over time", about, "bytes", [Layer("bytes", rates)],
        width_s=series.width_s, span_s=_span_s(tally), most=top * divisor,
        ticks=value_ticks(top),
    )  # fmt: skip
    caption = f"{unit} a second, from all accounts. {about}"
    figure = f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"
    return section("bytes", "Bytes over time", f"{figure}{byte_table(tally)}")


def _waits(tally: Tally) -> str:
    width_s = max(tally.busy[stage].width_s for stage in STAGES)
    layers = []
    for stage in STAGES:
        values = tally.busy[stage].at_width(width_s)
        layers.append(Layer(stage, [value / width_s for value in values]))
    count = max(len(layer.values) for layer in layers)
    sums = [
        sum(layer.values[at] for layer in layers if at < len(layer.values)) for at in range(count)
    ]
    most = rounded_up(max([*sums, 1.0]))
    about = "; ".join(
        f"{_WORDS[stage]}: {duration(tally.stages[stage].sum_s)} in all" for stage in STAGES
    )
    drawn = areas(
        "What jobs waited for, over time", about, "waits", layers, width_s=width_s,
        span_s=_span_s(tally), most=most, ticks=value_ticks(most),
    )  # fmt: skip
    legend = _legend(*((stage, _WORDS[stage]) for stage in STAGES))
    caption = (
        "How many jobs waited at a time, on average, and for what. For a slot one job of an "
        "account waits at a time; the others are not begun."
    )
    figure = f"<figure><figcaption>{caption}</figcaption>{legend}{drawn}</figure>"
    return section("waits", "What waited for what", f"{figure}{waits_table(tally, _WORDS)}")
