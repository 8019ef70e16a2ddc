"""Realistic records out of a seed: CRM leads as CSV rows, events as iCalendar.

Rows are put together from pools of ready cells, a block at a time, column by column: 200,000 rows
of 20 columns take about a second.
"""

# ruff: noqa: SIM905  (word lists are easier to read as running text)

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from random import Random

from bulkfetch.sandbox.words import (
    CITY,
    COMPANY,
    FIRST,
    FORM,
    INDUSTRY,
    LAND,
    LAST,
    PHRASE,
    SOURCE,
    STATE,
    STREET,
    TITLE,
)

LEAD_COLUMNS = (
    "Id,First_Name,Last_Name,Email,Phone,Company,Designation,Lead_Source,Lead_Status,Industry,"
    "Annual_Revenue,No_of_Employees,Rating,Email_Opt_Out,Street,City,Country,Description,"
    "Created_Time,Modified_Time"
).split(",")

_FIRST_RECORD_ID = 554_023_000_001_000_001
_EPOCH = datetime(2021, 1, 1)


def csv_header(columns: int) -> bytes:
    """Return the header line for so many columns; Id is the first."""
    names = LEAD_COLUMNS + [f"Custom_{n}" for n in range(1, columns - len(LEAD_COLUMNS) + 1)]
    return (",".join(names[:columns]) + "\n").encode()


def csv_rows(seed: int, block: int, first: int, count: int, columns: int) -> bytes:
    """Return `count` rows of which the first is number `first`; ids do not repeat among rows."""
    rng = Random(f"{seed}/{block}")
    pools = _pools(seed)
    people = rng.choices(range(len(pools[0])), k=count)
    places = rng.choices(range(len(CITY)), k=count)
    together = {1: people, 2: people, 3: people, 15: places, 16: places}
    columns_of_cells: list[list[str]] = [
        [str(_FIRST_RECORD_ID + 3 * (first + n)) for n in range(count)]
    ]
    for column in range(1, columns):
        index = column if column < len(LEAD_COLUMNS) else 10 + column % 3
        pool = pools[index - 1]
        if (rows := together.get(column)) is not None:
            columns_of_cells.append([pool[row] for row in rows])
        else:
            columns_of_cells.append(rng.choices(pool, k=count))
    lines = map(",".join, zip(*columns_of_cells, strict=True))
    return ("\n".join(lines) + "\n").encode()


def csv_first_row(job_id: str, columns: int) -> bytes:
    """Return the record by which every job's file differs from all others."""
    cells = [str(_FIRST_RECORD_ID - 1), "Zoë", f"Job {job_id}", f"job-{job_id}@example.com"]
    cells += ["", '"First, the one that names its job"'] + [""] * columns
    return (",".join(cells[:columns]) + "\n").encode()


@lru_cache(maxsize=4)
def _pools(seed: int) -> tuple[list[str], ...]:
    rng = Random(seed)
    people = [(rng.choice(FIRST), rng.choice(LAST), n) for n in range(2_000)]
    return (
        [first for first, _, _ in people],
        [last for _, last, _ in people],
        [f"{_ascii(first)}.{_ascii(last)}{n}@example.com" for first, last, n in people],
        [f"+{rng.randrange(1, 99)} {rng.randrange(10**8, 10**9)}" for _ in range(4_000)]
        + [""] * 800,
        [_cell(f"{rng.choice(COMPANY)} {n} {rng.choice(FORM)}") for n in range(1_000)],
        [_cell(text) for text in TITLE],
        [_cell(text) for text in SOURCE],
        [_cell(text) for text in STATE],
        [_cell(text) for text in INDUSTRY],
        [f"{rng.randrange(10**9) / 100:.2f}" for _ in range(4_000)] + [""] * 1_000,
        [str(rng.randrange(1, 50_000)) for _ in range(2_000)] + [""] * 500,
        ["Acquired", "Active", "Market Failed", "Shutdown", ""],
        ["true", "false", "false"],
        [_street(rng) for _ in range(2_000)],
        list(CITY),
        list(LAND),
        [_story(rng) for _ in range(3_000)] + [""] * 3_000,
        [_moment(rng) for _ in range(5_000)],
        [_moment(rng) for _ in range(5_000)],
    )


def _cell(text: str) -> str:
    if any(mark in text for mark in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _ascii(name: str) -> str:
    return "".join(letter for letter in name.lower() if "a" <= letter <= "z") or "kanji"


def _street(rng: Random) -> str:
    street = f"{rng.choice(STREET)} {rng.randrange(1, 300)}"
    return _cell(f"{street}\nFloor {rng.randrange(1, 30)}" if rng.random() < 0.2 else street)


def _story(rng: Random) -> str:
    return _cell("\n".join(rng.choice(PHRASE) for _ in range(rng.randrange(1, 4))))


def _moment(rng: Random) -> str:
    zone = timezone(timedelta(minutes=rng.choice((-420, 0, 60, 330, 600))))
    when = _EPOCH + timedelta(seconds=rng.randrange(5 * 365 * 86_400))
    return when.replace(tzinfo=zone).isoformat()


def ics_head() -> bytes:
    """Return what stands before the first event."""
    lines = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//bulkfetch//sandbox//EN")
    return b"".join(_fold(line) for line in lines)


def ics_tail() -> bytes:
    """Return what stands after the last event."""
    return b"END:VCALENDAR\r\n"


def ics_first_event(job_id: str) -> bytes:
    """Return the event by which every job's file differs from all others."""
    return ics_event(
        f"job-{job_id}@example.com", datetime(2026, 1, 1), f"Job {job_id}", "The first"
    )


def ics_events(seed: int, block: int, first: int, count: int) -> bytes:
    """Return `count` events of which the first is number `first`."""
    rng = Random(f"{seed}/{block}/ics")
    events = []
    for n in range(count):
        start = _EPOCH + timedelta(minutes=15 * rng.randrange(170_000))
        title = f"{rng.choice(COMPANY)}: {rng.choice(PHRASE)}"
        notes = "\n".join(rng.choice(PHRASE) for _ in range(rng.randrange(6)))
        uid = f"{_FIRST_RECORD_ID + 3 * (first + n)}@example.com"
        events.append(ics_event(uid, start, title, notes))
    return b"".join(events)


def ics_event(uid: str, start: datetime, title: str, notes: str) -> bytes:
    """Return one event of an hour."""
    lines = [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        f"DTEND:{start + timedelta(hours=1):%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{_ics_text(title)}",
        *([f"DESCRIPTION:{_ics_text(notes)}"] if notes else []),
        "END:VEVENT",
    ]
    return b"".join(_fold(line) for line in lines)


def _ics_text(text: str) -> str:
    for mark in "\\;,":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", "\\n")


def _fold(line: str) -> bytes:
    """Fold at 75 octets (RFC 5545, 3.1), never inside a character."""
    out, width = [], 0
    for letter in line:
        octets = letter.encode()
        if width + len(octets) > 75:
            out.append(b"\r\n ")
            width = 1
        out.append(octets)
        width += len(octets)
    return b"".join(out) + b"\r\n"
