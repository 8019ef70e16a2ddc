"""Lists of ids are read lazily, and no line goes unseen."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.config import Settings, job_of, load_settings, open_jobs
from bulkfetch.config.list_lines import LINE_BYTES
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job, is_job_id

ONE, TWO, THREE = "554023000000568001", "554023000000568002", "554023000000568003"
TWO_ACCOUNTS = "[accounts.a]\n[accounts.b]\n"


def settings_of(folder: Path, text: str = "") -> Settings:
    (folder / "jobs.toml").write_text(text)
    return load_settings(folder / "jobs.toml", {})


def read(settings: Settings, ids: Sequence[str] = (), **options: Any) -> list[Job]:
    with open_jobs(settings, ids, **options) as jobs:
        return list(jobs)


def from_bytes(raw: bytes, **options: Any) -> list[Job]:
    return read(Settings(), file="-", stdin=io.BytesIO(raw), **options)


def test_a_list_takes_comments_blanks_crlf_and_a_bom() -> None:
    """What editors on any system leave in a list of ids changes nothing but the line numbers."""
    raw = b"\xef\xbb\xbf" + f"{ONE}\r\n# all\r\n\r\n  {TWO}  # Leads\n{THREE}".encode()
    assert from_bytes(raw) == [
        Job(ONE, "default", None, "stdin:1"),
        Job(TWO, "default", None, "stdin:4"),
        Job(THREE, "default", None, "stdin:5"),
    ]


def test_malformed_lines_are_jobs_with_their_line(tmp_path: Path) -> None:
    """A slip becomes a job that cannot be asked for; the lines around it are not touched."""
    listed = tmp_path / "ids.txt"
    listed.write_bytes(
        f"{ONE}\n../../etc\n1\x00\x1b[2J\n\xd9\xa1\n{'9' * 21}\n".encode() + b"\xff\n"
    )
    jobs = read(Settings(), file=listed)
    assert [job.id for job in jobs if is_job_id(job.id)] == [ONE]
    assert [job.origin for job in jobs] == [f"{listed}:{number}" for number in range(1, 7)]
    assert all(job.id.isprintable() for job in jobs)
    assert jobs[2].id == "1\\x00\\x1b[2J"


def test_a_line_without_end_takes_no_memory() -> None:
    """A gigantic line is one malformed job, read in bounded pieces, and the next line is right."""

    class Endless(io.RawIOBase):
        """64 MiB of digits without a line end, then one good id."""

        def __init__(self) -> None:
            self.left = 64 * 1024 * 1024
            self.tail = f"\n{TWO}\n".encode()

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            if self.left:
                size = min(self.left, len(buffer))
                buffer[:size] = b"7" * size
                self.left -= size
                return size
            size = min(len(self.tail), len(buffer))
            buffer[:size], self.tail = self.tail[:size], self.tail[size:]
            return size

    tracemalloc.start()
    try:
        jobs = read(Settings(), file="-", stdin=io.BufferedReader(Endless()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [is_job_id(job.id) for job in jobs] == [False, True]
    assert (jobs[1].id, jobs[1].origin) == (TWO, "stdin:2")
    assert peak < 32 * LINE_BYTES


def test_a_long_list_is_read_as_it_is_used() -> None:
    """The first job is there before the second line is written; nothing is read ahead of need."""
    reader_fd, writer_fd = os.pipe()
    with (
        os.fdopen(reader_fd, "rb") as reader,
        os.fdopen(writer_fd, "wb", buffering=0) as writer,
    ):
        threading.Thread(target=writer.write, args=(f"{ONE}\n".encode(),)).start()
        with open_jobs(Settings(), file="-", stdin=reader) as jobs:
            assert next(jobs).id == ONE
            writer.write(f"{TWO}\n".encode())
            writer.close()
            assert [job.id for job in jobs] == [TWO]


@pytest.mark.slow
def test_a_million_lines_cost_no_more_memory_than_ten(tmp_path: Path) -> None:
    """Memory does not grow with the list."""
    listed = tmp_path / "ids.txt"
    with listed.open("w") as file:
        file.writelines(f"{554023000000000000 + number}\n" for number in range(100_000))
    tracemalloc.start()
    try:
        with open_jobs(Settings(), file=listed) as jobs:
            assert sum(1 for _ in jobs) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_csv_by_the_columns_name(tmp_path: Path) -> None:
    """A column is found whatever its case, quoted fields and other delimiters are understood."""
    text = f'Module;"Job ID";Name\nLeads;"{ONE}";Leads\n"two\nlines";{TWO};\n\n'
    jobs = from_bytes(text.encode(), column="job id")
    assert jobs == [
        Job(ONE, "default", "Leads", "stdin:2"),
        Job(TWO, "default", None, "stdin:4"),
    ]


@pytest.mark.parametrize("heading", ["", "module,job\n"])
@pytest.mark.parametrize("column", [2, "2"])
def test_csv_by_the_columns_number(heading: str, column: str | int) -> None:
    """A column counts from 1; a first line without a digit there is a heading, not a lost job."""
    jobs = from_bytes(f"{heading}Leads,{ONE}\nDeals,{TWO}\n".encode(), column=column)
    assert [job.id for job in jobs] == [ONE, TWO]
    assert jobs[0].origin == ("stdin:2" if heading else "stdin:1")


def test_broken_csv_rows_are_jobs_with_their_line() -> None:
    """Short rows and open quotes are jobs that fail by themselves; names come as they are."""
    text = f'id,name\n{ONE},ok\nx\n{TWO},../up\n"{THREE}"x,no\n{THREE},fine\n"open\n'
    jobs = from_bytes(text.encode(), column="id")
    good = [(job.id, job.name) for job in jobs if is_job_id(job.id)]
    assert good == [(ONE, "ok"), (TWO, "../up"), (THREE, "fine")]
    assert len(jobs) == 6
    assert all(job.origin and job.origin.startswith("stdin:") for job in jobs)


def test_csv_may_name_the_account(tmp_path: Path) -> None:
    """With several accounts a column says whose job it is; an unknown one is left to the run."""
    settings = settings_of(tmp_path, TWO_ACCOUNTS)
    raw = f"id,account\n{ONE},a\n{TWO},b\n{THREE},c\n{THREE},\n".encode()
    jobs = read(settings, file="-", stdin=io.BytesIO(raw), column="id")
    assert [(job.id, job.account) for job in jobs[:2]] == [(ONE, "a"), (TWO, "b")]
    assert [(job.id, job.account) for job in jobs[2:]] == [(THREE, "c"), (THREE, "")]


def test_ids_without_an_account_are_refused_where_there_are_several(tmp_path: Path) -> None:
    """Neither arguments nor a plain list are guessed to be of one of several accounts."""
    settings = settings_of(tmp_path, TWO_ACCOUNTS)
    for options in ({"ids": [ONE]}, {"file": "-", "stdin": io.BytesIO(b"1\n")}):
        with pytest.raises(ConfigError, match="which account"):
            read(settings, **options)
    assert job_of(settings, ONE) == Job(ONE, "")  # the run fails it alone


def test_the_settings_file_names_jobs_and_a_list(tmp_path: Path) -> None:
    """Without ids given by hand, [[jobs]] come first, then ids_file, relative to the settings."""
    (tmp_path / "ids.csv").write_text(f"id\n{TWO}\n{ONE}\n")
    text = f"ids_file='ids.csv'\nids_column='id'\n[[jobs]]\nid='{ONE}'\nname='Leads'\n"
    jobs = read(settings_of(tmp_path, text))
    assert [(job.id, job.name) for job in jobs] == [(ONE, "Leads"), (TWO, None), (ONE, "Leads")]


def test_ids_given_by_hand_are_the_run(tmp_path: Path) -> None:
    """Arguments and --ids stand in place of what the file lists, which lends them its names."""
    text = f"ids_file='none.txt'\n[[jobs]]\nid='{ONE}'\nname='Leads'\n[[jobs]]\nid='{TWO}'\n"
    settings = settings_of(tmp_path, text)
    jobs = read(settings, [ONE], file="-", stdin=io.BytesIO(THREE.encode()))
    assert [(job.id, job.name) for job in jobs] == [(ONE, "Leads"), (THREE, None)]


@pytest.mark.parametrize("text", ["abc", "", "1?x=", "１２３", "-1", "1" * 21])
def test_a_malformed_argument_is_refused_at_once(text: str) -> None:
    """What is typed by hand is mended by hand: nothing is started."""
    with pytest.raises(ConfigError, match="not a job id"):
        read(Settings(), [ONE, text])


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        (None, {}, "No such file"),
        (f"{ONE}\n".encode("utf-16"), {}, "is UTF-16"),
        (b"id,job\n1,2\n", {"column": "jbo"}, "no column 'jbo'"),
    ],
)
def test_a_list_that_cannot_be_used_is_told_before_the_run(
    tmp_path: Path, raw: bytes | None, options: dict[str, Any], message: str
) -> None:
    """A missing file, UTF-16 text and an unknown column are configuration errors."""
    listed = tmp_path / "ids.txt"
    if raw is not None:
        listed.write_bytes(raw)
    with pytest.raises(ConfigError, match=message):
        read(Settings(), file=listed, **options)


def test_a_folder_in_the_place_of_a_list_is_told(tmp_path: Path) -> None:
    """A folder named as list of ids is a configuration error."""
    with pytest.raises(ConfigError, match="directory"):
        read(Settings(), file=tmp_path)


def test_an_empty_list_has_no_jobs() -> None:
    """Nothing to do is not an error, as a plain list and as CSV."""
    assert from_bytes(b"") == []
    assert from_bytes(b"", column="id") == []
    assert from_bytes(b"id\n", column="id") == []
    assert from_bytes(b"", column=3) == []


def test_an_id_from_a_program_takes_its_settings(tmp_path: Path) -> None:
    """A library's id gets name and account from [[jobs]]; a malformed one is a job that fails."""
    settings = settings_of(tmp_path, f"[[jobs]]\nid='{ONE}'\nname='Leads'\n")
    assert job_of(settings, ONE) == Job(ONE, "default", "Leads")
    assert job_of(settings, TWO) == Job(TWO, "default")
    assert not is_job_id(job_of(settings, "1/../2").id)


@pytest.mark.slow
@given(st.binary(max_size=300), st.sampled_from([None, "id", 1, 2]))
def test_any_bytes_are_jobs_or_a_configuration_error(raw: bytes, column: str | int | None) -> None:
    """No list raises anything else, and nothing malformed passes for an id."""
    try:
        jobs = from_bytes(raw, column=column)
    except ConfigError:
        return
    for job in jobs:
        assert job.id.isprintable()
        assert len(job.id) <= 60
        if is_job_id(job.id):
            assert job.id.encode() in raw


@given(st.lists(st.integers(0, 10**20 - 1).map(str) | st.just("bad id"), max_size=20))
def test_every_line_is_answered_for(lines: list[str]) -> None:
    """A list of n lines is n jobs in the same order, each with its own line number."""
    jobs = from_bytes("\n".join(lines).encode())
    assert [job.id for job in jobs] == lines
    assert [job.origin for job in jobs] == [f"stdin:{n + 1}" for n in range(len(lines))]


def test_several_lists_all_count_in_order(tmp_path: Path) -> None:
    """Each list is read after the one before it, each line named by its own list."""
    (tmp_path / "a.txt").write_text(f"{ONE}\n")
    (tmp_path / "b.txt").write_text(f"\n{THREE}\n")
    files = [tmp_path / "a.txt", "-", tmp_path / "b.txt"]
    jobs = read(Settings(), [THREE], file=files, stdin=io.BytesIO(TWO.encode()))
    assert [(job.id, job.origin) for job in jobs] == [
        (THREE, None),
        (ONE, f"{tmp_path / 'a.txt'}:1"),
        (TWO, "stdin:1"),
        (THREE, f"{tmp_path / 'b.txt'}:2"),
    ]


def test_one_bad_list_of_several_is_told_before_the_first_job(tmp_path: Path) -> None:
    """A missing file or column in the last list starts nothing of the first."""
    (tmp_path / "a.csv").write_text(f"id\n{ONE}\n")
    (tmp_path / "b.csv").write_text(f"key\n{TWO}\n")
    for other, message in (("b.csv", "no column 'id'"), ("c.csv", "No such file")):
        with pytest.raises(ConfigError, match=message):
            read(Settings(), file=[tmp_path / "a.csv", tmp_path / other], column="id")


def test_a_pipe_is_opened_in_its_turn(tmp_path: Path) -> None:
    """Who writes one pipe after the other is not waited for at the second before the first."""
    for name in "ab":
        os.mkfifo(tmp_path / name)
    ids = [str(554023000000000000 + number) for number in range(20_000)]

    def produce() -> None:
        (tmp_path / "a").write_text("\n".join(ids[:10_000]))
        (tmp_path / "b").write_text("\n".join(ids[10_000:]))

    producer = threading.Thread(target=produce)
    producer.start()
    jobs = read(Settings(), file=[tmp_path / "a", tmp_path / "b"])
    producer.join()
    assert [job.id for job in jobs] == ids


def test_a_pipe_cannot_be_given_twice(tmp_path: Path) -> None:
    """The second reading would find nothing, and nobody would know."""
    os.mkfifo(tmp_path / "a")
    with pytest.raises(ConfigError, match="given twice"):
        read(Settings(), file=[tmp_path / "a", tmp_path / "." / "a"])
    with pytest.raises(ConfigError, match="given twice"):
        read(Settings(), file=["-", "-"], stdin=io.BytesIO(b""))


def test_one_id_of_two_accounts_keeps_each_its_name(tmp_path: Path) -> None:
    """[[jobs]] may have an id for two accounts; a list says whose it means."""
    text = (
        f"{TWO_ACCOUNTS}[[jobs]]\nid='{ONE}'\naccount='a'\nname='A'\n"
        f"[[jobs]]\nid='{ONE}'\naccount='b'\nname='B'\n"
    )
    settings = settings_of(tmp_path, text)
    assert [(job.account, job.name) for job in read(settings)] == [("a", "A"), ("b", "B")]
    raw = io.BytesIO(f"id,account\n{ONE},b\n{ONE},a\n".encode())
    jobs = read(settings, file="-", stdin=raw, column="id")
    assert [(job.account, job.name) for job in jobs] == [("b", "B"), ("a", "A")]
    with pytest.raises(ConfigError, match="which account") as caught:
        read(settings, [ONE])
    assert "--account NAME" in caught.value.hint
    jobs = read(replace(settings, fallback_account="b"), [ONE])
    assert [(job.account, job.name) for job in jobs] == [("b", "B")]
