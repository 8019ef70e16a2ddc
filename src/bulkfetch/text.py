"""Text for people: sizes, times and counts in words, and foreign text escaped. Pure."""

from __future__ import annotations

_STEPS = ("kB", "MB", "GB", "TB", "PB")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size(count: float) -> str:
    """Return a number of bytes in decimal units, as disks and networks are sold: `81.2 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    step = 0
    count /= 1000
    # A value that rounds up to 1000 belongs to the next unit.
    while count >= 999.5 and step < len(_STEPS) - 1:
        count /= 1000
        step += 1
    return f"{count:.1f} {_STEPS[step]}" if count < 99.95 else f"{count:.0f} {_STEPS[step]}"


def duration(seconds: float) -> str:
    """Return seconds in the two largest units: `0.4 s`, `43 s`, `2 min 5 s`, `3 d 4 h`.

    Negative values count as 0.
    """
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    words = []
    for unit_s, unit in [each for each in _UNITS if each[0] <= rest][:2]:
        count, rest = divmod(rest, unit_s)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words)


def jobs(count: int) -> str:
    """Return a number of jobs: `1 job`, `25 jobs`."""
    return number(count, "job")


def number(count: int, word: str) -> str:
    """Return how many there are of something that has a regular plural: `1 turn`, `25 turns`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def escape(text: str, limit: int | None = None) -> str:
    """Return foreign text in which nothing is left that a terminal would obey or not show.

    Control characters, line ends, bidirectional marks and lone surrogates become `\\n`, `\\x1b`,
    `\\u202e`, …: the result is one line. With a `limit`, it has at most so many characters, without
    spaces around them; "…" stands for what was cut.
    """
    if limit is not None:
        text = text[: 2 * limit]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    if limit is None:
        return text
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
