"""Lists as spreadsheets, people and other systems really write them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from bulkfetch.config import Settings, load_settings, open_jobs
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job, is_job_id

ONE, TWO, THREE = "554023000000568001", "554023000000568002", "554023000000568003"


def read(raw: str | bytes, settings: Settings | None = None, **options: Any) -> list[Job]:
    source = io.BytesIO(raw.encode() if isinstance(raw, str) else raw)
    with open_jobs(settings or Settings(), file="-", stdin=source, **options) as jobs:
        return list(jobs)


def refused(raw: str | bytes, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(raw, **options)
    return caught.value


@pytest.fixture
def accounts(tmp_path: Path) -> Settings:
    """Two accounts, of which the one named `default` is asked where nothing is said."""
    (tmp_path / "jobs.toml").write_text("[accounts.default]\n[accounts.b]\n")
    return load_settings(tmp_path / "jobs.toml", {})


@pytest.mark.parametrize("column", [1, "1", "Job ID", " job  id ", "JOB ID"])
def test_account_and_name_are_read_however_the_column_is_given(
    accounts: Settings, column: str | int
) -> None:
    """A column given by number has its rows go to the same account and name as by title."""
    raw = f"Job ID;Account ; NAME\n{ONE};b;Leads\n{TWO};nope;X\n{THREE};;\n"
    first, second, third = read(raw, accounts, column=column)
    assert first == Job(ONE, "b", "Leads", "stdin:2")
    assert (second.account, is_job_id(second.id)) != ("default", True)
    assert third == Job(THREE, "default", None, "stdin:4")


@pytest.mark.parametrize(
    "title",
    [
        *("Job ID", "Job ID 2", "id2", "2nd id", "Id (v8)", "#", "№ 1 Auftrag", "Bulk-ID 2024"),
        *("\ufeffid", "識別子2", '"Job\nID"', "account"),
    ],
)
def test_a_title_is_no_lost_job(title: str) -> None:
    """A first row whose id cell looks like a title is the heading, also with digits in it."""
    jobs = read(f"Module,{title}\nLeads,{ONE}\nDeals,{TWO}\n", column=2)
    assert [job.id for job in jobs] == [ONE, TWO]


@pytest.mark.parametrize(
    "cell", ["5.54023E+17", "554 023 000", "554023000000568001x", "1" * 21, "12x", "-5", "0x1F"]
)
def test_a_damaged_id_in_the_first_row_is_no_title(cell: str) -> None:
    """What a spreadsheet makes of an id fails as a job of its own instead of being skipped."""
    jobs = read(f"{cell},Leads\n{TWO},Deals\n", column=1)
    assert [is_job_id(job.id) for job in jobs] == [False, True]


def test_an_untitled_column_beside_titles_has_a_heading(accounts: Settings) -> None:
    """A row with the titles that are read is a heading although the ids' column has none."""
    jobs = read(f",account,name\n{ONE},b,Leads\n", accounts, column=1)
    assert jobs == [Job(ONE, "b", "Leads", "stdin:2")]


def test_ids_in_a_column_called_name_or_account(accounts: Settings) -> None:
    """The column of the ids is none of the other two, whatever its title."""
    assert read(f"name\n{ONE}\n", column="name") == [Job(ONE, "default", None, "stdin:2")]
    assert read(f"account\n{ONE}\n", accounts, column=1) == [Job(ONE, "default", None, "stdin:2")]


@pytest.mark.parametrize(
    ("raw", "column", "message", "hint"),
    [
        ("id,name,x\n1,a,b\n", 9, "no column number 9 among its 3 columns", "'id', 'name', 'x'"),
        ("id,name,x\n1,a,b\n", "9", "no column number 9 among its 3 columns", "'id'"),
        ("1;2\n", "3", "no column number 3 among its 2 columns", "column 1"),
        ("id\n1\n", 2, "no column number 2 among its 1 column", "'id'"),
        ("id,name\n1,a\n", "0", "no column number 0", "numbered from 1"),
        ("Job  ID,Name\n1,a\n", "jobid", "no column 'jobid'", "did you mean 'Job  ID'?"),
        ("1,Leads\n", "Job ID", "no column 'Job ID'", "the ids may be in column 1"),
        ("id,name\n", "9" * 5000, "no column '999", "'id'"),
        ('"id,name\n1,a\n', "id", "no heading: lines 1 to 2 not read", ""),
    ],
)
def test_a_column_that_is_not_there_is_told_with_what_is(
    raw: str, column: str | int, message: str, hint: str
) -> None:
    """Every row would fail for it: that is said once, before anything is started."""
    error = refused(raw, column=column)
    assert message in error.message
    assert hint in error.hint


def test_rows_that_are_too_short_fail_by_themselves() -> None:
    """One torn row says how much of it there is; the others go on."""
    jobs = read(f"Module,id\nLeads,{ONE}\nDeals\nDeals,{TWO}\n", column="id")
    assert [job.id for job in jobs] == [ONE, "line 3: 1 of 2 columns", TWO]


def test_a_quote_that_is_never_closed_names_the_row_s_first_line() -> None:
    """The broken row is told where it begins, with how many lines went with it."""
    rows = [f"{554023000000568000 + number},x" for number in range(2, 8)]
    raw = "\n".join(["id,name", *rows, f'{ONE},"open', f"{TWO},y", f"{THREE},z"]) + "\n"
    *good, broken = read(raw, column="id")
    assert len(good) == 6
    assert broken.origin == "stdin:8"
    assert broken.id == "lines 8 to 10 not read: a quote is never closed"


def test_quotes_that_do_not_match_cost_their_row_alone() -> None:
    """Where quotes end in the middle of a later line, what they swallowed is named."""
    raw = f'id,name\n{ONE},"open\n{TWO},"x"\n{THREE},fine\n"{ONE}"y,\n'
    jobs = read(raw, column="id")
    assert [(job.id, job.origin) for job in jobs] == [
        ("lines 2 to 3 not read: quotes do not match", "stdin:2"),
        (THREE, "stdin:4"),
        ("line 5 not read: quotes do not match", "stdin:5"),
    ]


def test_a_quoted_id_with_another_line_in_it_names_both_lines() -> None:
    """Two ids that quotes have made one are told with both lines they stand on."""
    (job,) = read(f'id\n"{ONE}\n{TWO}"\n', column="id")
    assert not is_job_id(job.id)
    assert job.origin == "stdin:2-3"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(end: str) -> None:
    """LF, CR LF and the CR alone of Excel for Mac end lines, as plain list and as CSV."""
    plain = read(end.join([ONE, "# all", "", f" {TWO} # Leads", "oops", THREE]))
    assert [(job.id, job.origin) for job in plain] == [
        (ONE, "stdin:1"),
        (TWO, "stdin:4"),
        ("oops", "stdin:5"),
        (THREE, "stdin:6"),
    ]
    rows = ["Job ID,Name", f"{ONE},Leads", f'{TWO},"two,{end}lines"', THREE]
    table = read(end.join(rows) + end, column="Job ID")
    assert [(job.id, job.name) for job in (table[0], table[2])] == [(ONE, "Leads"), (THREE, None)]


def test_a_long_list_with_cr_alone() -> None:
    """Such a list is one line to others: none of its ids is cut or lost, wherever it is divided."""
    ids = [str(554023000000000000 + number) for number in range(20_000)]
    assert [job.id for job in read("\r".join(ids))] == ids
    assert [job.id for job in read("\r\n".join(ids))] == ids


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_quotes(delimiter: str) -> None:
    """The delimiter is the one outside quotes, blanks behind it do not matter."""
    title = f'"Leads, Deals; or\tmore"{delimiter} "Job ID"'
    jobs = read(f"{title}\n\nx{delimiter} {ONE}\ny{delimiter}\n", column="Job ID")
    assert [(job.id, job.origin) for job in jobs] == [(ONE, "stdin:3"), ("(empty)", "stdin:4")]


def test_excel_s_line_about_its_delimiter() -> None:
    """The line `sep=;` before the heading says the delimiter and is no row."""
    jobs = read(f"sep=;\r\nJob ID;Name\r\n{ONE};a,b\r\n", column="Job ID")
    assert jobs == [Job(ONE, "default", "a,b", "stdin:3")]


def test_blank_lines_before_the_heading() -> None:
    """Empty rows above the titles change nothing but the line numbers."""
    jobs = read(f"\n;;\nJob ID;x;y\n{ONE};;\n", column="Job ID")
    assert jobs == [Job(ONE, "default", None, "stdin:4")]


def test_nul_bytes_are_a_malformed_id() -> None:
    """A NUL in a cell or a line fails that job, with its line, and stops nobody."""
    jobs = read(f"id\n{ONE}\x00\n{TWO}\n", column="id")
    assert [is_job_id(job.id) for job in jobs] == [False, True]
    assert jobs[0].id == f"{ONE}\\x00"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (f"{ONE}\n".encode("utf-16"), "is UTF-16"),
        (f"{ONE}\n".encode("utf-16-le"), "is UTF-16"),
        (f"{ONE}\n".encode("utf-16-be"), "is UTF-16"),
        (b"PK\x03\x04 and so on", "is a ZIP archive or a workbook"),
        (b"\x1f\x8b\x08\x00", "is packed with gzip"),
    ],
)
@pytest.mark.parametrize("column", [None, "id", 1])
def test_what_is_no_list_is_told_before_the_run(
    raw: bytes, message: str, column: str | int | None
) -> None:
    """UTF-16 with and without its mark, workbooks and packed lists are refused as a whole."""
    error = refused(raw, column=column)
    assert message in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("raw", "line", "hint"),
    [
        (f"Job ID,Name\n{ONE},Leads\n", 1, "Available: 'Job ID', 'Name'."),
        (f"Job ID;Name\n{ONE};Leads\n", 1, "--ids-column"),
        (f"Leads\t{ONE}\n", 1, "here number 2"),
        (f"# Leads, Deals\n\n{ONE},\n", 3, "here number 1"),
        (f"{ONE},{TWO}\n", 1, "one id per line"),
        (f'"{ONE}",x\r', 1, "here number 1"),
        (f'"{ONE}"\n"{TWO}"\n', 1, "here number 1"),
        (f'{ONE},"open\n', 1, "--ids-column"),
    ],
)
def test_a_csv_without_a_column_is_told_once(raw: str, line: int, hint: str) -> None:
    """A table in place of a list of ids is one complaint at the start, not one for each line."""
    error = refused(raw)
    assert error.message == f"stdin is a CSV (line {line})"
    assert hint in error.hint


def test_a_comma_in_a_comment_makes_no_csv() -> None:
    """What stands behind '#' is nobody's cell."""
    assert [job.id for job in read(f"# a, b; c\n{ONE} # Leads, Deals\n")] == [ONE]
