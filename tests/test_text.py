import pytest

from bulkfetch.text import duration, escape, jobs, size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (81_234_567, "81.2 MB"),
        (4 * 1024**3, "4.3 GB"),
        (10**21, "1000000 PB"),
    ],
)
def test_size(count: int, words: str) -> None:
    """Bytes are written in decimal units, and never as 1000 of a unit that has a next one."""
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    """Seconds are written in the two largest units that say something."""
    assert duration(seconds) == words


def test_jobs() -> None:
    """One job is not jobs."""
    assert [jobs(0), jobs(1), jobs(2)] == ["0 jobs", "1 job", "2 jobs"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 12 €", "Größe 12 €"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_foreign_text_is_escaped(text: str, shown: str) -> None:
    """Nothing that a terminal would obey, or not show, gets through."""
    assert escape(text) == shown
    assert escape(text).isprintable()


def test_foreign_text_is_cut_to_one_clean_line() -> None:
    """With a limit, long text is cut, and nothing but text stands at its ends."""
    assert escape(" a\x1b[31mb\r\nc\u202ed ", 40) == r"a\x1b[31mb\r\nc\u202ed"
    assert escape("x" * 1000, 30) == "x" * 29 + "…"
    assert escape(" \u202e\n" * 1000, 30).isprintable()
    assert escape("   ", 30) == ""
