"""The page's tables: what the charts show as figures, failures, exports, notes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from bulkfetch.observe.report.tally import STAGES, Tally, Window
from bulkfetch.text import duration, size

# Rows of a table that stands for a chart.
_ROWS = 24


def table(
    name: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)
) -> str:
    """Return a table with a name; the columns in `words` hold words, the others figures."""

    def css(at: int) -> str:
        return "" if at in words else ' class="n"'

    top = "".join(f'<th scope="col"{css(at)}>{escape(head)}</th>' for at, head in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{css(at)}>{escape(cell)}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" role="region" aria-label="{escape(name)}" tabindex="0"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(key: str, title: str, content: str) -> str:
    """Return a section of the page under its heading."""
    return (
        f'<section aria-labelledby="{key}-h"><h2 id="{key}-h">{escape(title)}</h2>{content}'
        "</section>\n"
    )


def folded(name: str, content: str) -> str:
    """Return what is shown on demand."""
    return f"<details><summary>{escape(name)}</summary>{content}</details>"


def window_table(window: Window) -> str:
    """Return what happened to a window, and how its requests ended."""
    rows = [(f"requests that ended as {end}", f"{count:,}") for end, count in window.ends.items()]
    rows += [(kind.replace("_", " "), f"{count:,}") for kind, count in window.marks.items()]
    rows += [
        (f"most that left within {window.period_s:g} s", f"{window.most_taken}"),
        (f"most that were answered within {window.period_s:g} s", f"{window.most_answered}"),
        ("most slots in use at once", f"{window.most_used}"),
    ]
    return folded("The window in figures", table("The window in figures", ("What", "Count"), rows))


def byte_table(tally: Tally) -> str:
    """Return the bytes received by time."""
    series = tally.bytes
    step = max(1, -(-len(series.values) // _ROWS))
    rows = [
        (duration(at * series.width_s), size(sum(series.values[at : at + step])))
        for at in range(0, len(series.values), step)
    ]
    name = "Bytes as a table"
    return folded(name, table(name, ("From", "Received"), rows)) if rows else ""


def waits_table(tally: Tally, words: Mapping[str, str]) -> str:
    """Return how long jobs waited for each."""
    named = [(words[stage], tally.stages[stage]) for stage in STAGES]
    named.append(("a whole job, from its last slot", tally.jobs))
    rows = []
    for name, waits in named:
        times = (waits.quantile(0.5), waits.quantile(0.9), waits.most_s, waits.sum_s)
        rows.append((name, f"{waits.count:,}", *map(duration, times)))
    heads = ("For", "Times", "Half within", "90 % within", "Longest", "In all")
    return table("How long jobs waited", heads, rows)


def failures_section(tally: Tally) -> str:
    """Return the failures by code, those for good first."""
    failures = sorted(tally.failures.values(), key=lambda each: (-each.jobs, -each.attempts))
    rows = [
        (
            each.code,
            f"{each.jobs:,}",
            f"{each.attempts:,}",
            f"job {each.job}: {each.example} {each.hint}".strip(),
        )
        for each in failures
    ]
    heads = ("Code", "Jobs failed", "Attempts tried again", "For example")
    content = table("Failures by code", heads, rows, words=(0, 3))
    if not failures:
        content = '<p class="good">None.</p>'
    return section("failures", "Failures", content)


def exports_section(tally: Tally) -> str:
    """Return what became of exports; "" where there were none."""
    if not tally.exports:
        return ""
    heads = ("Export", "Created", "Asked for", "Ready", "Counted", "Again", "Records", "Published")
    rows = [
        (
            name,
            *(f"{count:,}" for count in (each.created, each.polled, each.ready, each.counted)),
            f"{each.again:,}",
            f"{each.records:,}",
            "yes" if each.published else "no",
        )
        for name, each in sorted(tally.exports.items())
    ]
    return section("exports", "Exports", table("Pages of exports", heads, rows))


def notes_section(tally: Tally) -> str:
    """Return the notes of the run; "" where there are none."""
    if not tally.notes:
        return ""
    items = "".join(
        f"<li>{escape(text)}{f' ({count:,} times)' if count > 1 else ''}</li>"
        for text, count in tally.notes.items()
    )
    return section("notes", "Notes", f"<ul>{items}</ul>")
