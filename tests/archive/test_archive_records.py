"""Records are counted as Python's csv module counts them, wherever the file is cut."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.unpacking import unpack
from tests.support.zips import CSV, STORED, Item, pack

from bulkfetch.archive import ExtractLimits, count_problem, counter_of, inspect, recount

_CELLS = ("", "a", "é", "12.5", 'say "hi"', "a,b", "two\nlines", "two\r\nlines", "a\rb", '"', "\n")


def _pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = chance.choice((0, 1, 2, 3, 7, 50, len(data)))
        yield data[at : at + size]
        at += size


def _count(data: bytes, chance: random.Random, suffix: str = ".csv") -> int | None:
    counter = counter_of(".ics" if suffix == ".ics" else ".csv")
    for piece in _pieces(data, chance):
        counter.feed(memoryview(piece) if chance.random() < 0.5 else piece)
    return counter.count()


def _by_the_csv_module(data: bytes) -> int:
    file = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    return max(0, sum(1 for _ in csv.reader(file)) - 1)


def _any_csv(chance: random.Random) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(
        file,
        lineterminator=chance.choice(("\n", "\r\n", "\r")),
        quoting=chance.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC)),
    )
    columns = chance.randint(1, 4)
    for _ in range(chance.randint(0, 6)):
        writer.writerow(chance.choices(_CELLS, k=columns) if chance.random() < 0.95 else [])
    data = file.getvalue().encode("utf-8-sig" if chance.random() < 0.3 else "utf-8")
    return data.rstrip(b"\r\n") if chance.random() < 0.3 else data


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_any_csv_is_counted_as_the_csv_module_does(count: int) -> None:
    """Cells of several lines, quotes within quotes, every line end, with and without the last."""
    chance = random.Random(20260930)
    for _ in range(count):
        data = _any_csv(chance)
        assert _count(data, chance) == _by_the_csv_module(data), data


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", 0),
        (b"Id", 0),
        (b"Id,Name\r\n", 0),
        (b'\xef\xbb\xbf"Id"\n1\n2', 2),
        (b'Id\n"a\n\n""b"""\n', 1),
        (b"Id\r1\r2\r", 2),
        (b"Id\n1\n\n2\n", 3),
        (b'Id\n"never closed\n1\n', None),
    ],
)
def test_edges(data: bytes, records: int | None) -> None:
    """Nothing at all, a header alone, a mark, an empty line; no number where quotes do not pair."""
    for seed in range(20):
        assert _count(data, random.Random(seed)) == records


@pytest.mark.parametrize("item", [Item(), Item(method=STORED)])
def test_records_are_counted_while_unpacking(item: Item, tmp_path: Path) -> None:
    """Of a deflated member and of a stored one; not where nobody asks for it."""
    limits = ExtractLimits(file_bytes=1 << 30)
    archive = tmp_path / "in.zip"
    archive.write_bytes(pack(item))
    member = inspect(archive, limits)
    counter = counter_of(member.suffix)
    assert unpack(archive, member, tmp_path / "a", limits, counter=counter).records == 40
    assert _by_the_csv_module(CSV) == 40
    assert unpack(archive, member, tmp_path / "b", limits).records is None


def test_events_of_a_calendar_are_counted() -> None:
    """Only lines of their own count: not a description that says so, folded or not."""
    event = "BEGIN:VEVENT\nSUMMARY:BEGIN:VEVENT\nDESCRIPTION:a\n BEGIN:VEVENT\n b\nEND:VEVENT\n"
    calendar = (
        f"BEGIN:VCALENDAR\n{event * 3}BEGIN:VEV\n ENT\nEND:VEVENT\nBEGIN:VEVENTS\nEND:VCALENDAR"
    )
    for seed in range(50):
        for end in ("\n", "\r\n"):
            data = calendar.replace("\n", end).encode()
            assert _count(data, random.Random(seed), ".ics") == 4
    assert _count(b"BEGIN:VEVENT", random.Random(1), ".ics") == 1


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'Id,Size\n1,5" pipe\n2,8" pipe\n3,x\n', 3),
        (b'\xef\xbb\xbf"Id\n","Size"\n1,5" pipe\n', 1),
        (b"Id\n" + b"x" * 200_000 + b"\n", None),
        (b"", 0),
    ],
)
def test_a_second_count_knows_quotes_that_are_none(data: bytes, records: int | None) -> None:
    """A quote in the middle of a bare cell is a character; a cell beyond all bounds is no cell."""
    assert recount([[data[:2]], [data[2:3], data[3:]]]) == records


def test_problems_are_told_in_words() -> None:
    """A number that is not the expected one is told; where there is none, why that is so."""
    assert "holds 3 records" in count_problem(3, 4)
    assert "quotes do not pair" in count_problem(None, 4)
