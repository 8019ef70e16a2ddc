"""`bulkfetch forget` and `bulkfetch clean`: what goes, what stays, and that no run is disturbed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]
A, B, C = IDS[:3]
GONE = "554023000000990404"
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `fetched`, to be copied for each test."""
    program = Program(tmp_path_factory.mktemp("once"))
    program.settings(f'[[jobs]]\nid = "{A}"\nname = "Leads"\n[[jobs]]\nid = "{B}"\n')
    assert program.run("run", "jobs.toml").status == 0
    assert program.run("run", "jobs.toml", GONE).status == 1
    program.close()
    return program.folder


@pytest.fixture
def fetched(program: Program, once: Path) -> Program:
    """Two jobs done, under a name each, and one that failed for good."""
    shutil.copytree(once, program.folder, dirs_exist_ok=True)
    return program


def state(program: Program) -> Path:
    """The folder that bulkfetch keeps for itself."""
    return program.folder / "exports/.bulkfetch"


def age(path: Path, days: float) -> Path:
    """Make a file look as old as that."""
    then = os.stat(path).st_mtime - days * DAY_S
    os.utime(path, (then, then))
    return path


def age_lists(program: Program, days: int) -> None:
    """Have all lists been begun so many days earlier than they were."""
    with closing(sqlite3.connect(state(program) / "journal.db")) as connection, connection:
        connection.execute(
            "UPDATE run SET started = strftime('%Y-%m-%dT%H:%M:%S+00:00', started, ?)",
            (f"-{days} days",),
        )


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_what_is_forgotten_is_asked_for_again(fetched: Program, call: Call) -> None:
    """Its file stays, its row goes; the next run fetches it again over its own old file."""
    ended = call("forget", "exports", A, GONE)
    assert (ended.status, ended.out, ended.err) == (0, "2 jobs forgotten\n", "")
    assert call("status", "exports", "--ids").out == f"{B}\n"
    assert (fetched.folder / "exports/Leads.csv").exists()
    assert call("verify", "exports").out == "1 file, all as they were published\n"
    again = fetched.run("run", "jobs.toml", "--json")
    assert again.status == 0, again.err
    assert [each["attempts"] for each in again.records if each.get("id") == A] == [1]


@pytest.mark.slow
def test_a_changed_file_of_a_forgotten_job_is_not_replaced(fetched: Program, call: Call) -> None:
    """What somebody has written into it since is safe, as it was before."""
    assert call("forget", "exports", A).status == 0
    with (fetched.folder / "exports/Leads.csv").open("a") as file:
        file.write("mine\n")
    again = fetched.run("run", "jobs.toml", "--json")
    assert again.status == 1
    assert "PUBLISH_CONFLICT" in again.err
    assert (fetched.folder / "exports/Leads.csv").read_text().endswith("mine\n")


@pytest.mark.slow
def test_files_go_only_if_asked_for_and_unchanged(fetched: Program, call: Call) -> None:
    """--files removes what the job published and left; a file that was changed stays."""
    with (fetched.folder / f"exports/{B}.csv").open("a") as file:
        file.write("mine\n")
    part = state(fetched) / f"staging/default.{GONE}.part"
    part.write_bytes(b"PK")
    ended = call("forget", "exports", A, B, GONE, "--files", "--json")
    assert ended.records[-1] == {"type": "summary", "forgotten": 3, "unknown": 0, "files": 2}
    assert [each["status"] for each in ended.records[:-1]] == ["done", "done", "failed"]
    assert not (fetched.folder / "exports/Leads.csv").exists()
    assert (fetched.folder / f"exports/{B}.csv").exists()
    assert not part.exists()


@pytest.mark.slow
def test_a_list_of_ids_is_forgotten(fetched: Program, call: Call) -> None:
    """What `status --ids` prints goes in again; ids that are not known are told."""
    (fetched.folder / "ids.txt").write_text(f"# old\n{A}\n{C} # never heard of\n")
    ended = call("forget", "exports", "--ids", "ids.txt")
    assert (ended.status, ended.out) == (0, "1 job forgotten\n")
    assert ended.err == f"warning: unknown here: 1 job: {C}\n"


@pytest.mark.slow
def test_slips_forget_nothing(fetched: Program, call: Call) -> None:
    """Unknown ids, words that are none, a wrong folder: 2, a hint, and every byte as it was."""
    (fetched.folder / "ids.txt").write_text(f"{A}\noops\n")
    before = tree(fetched.folder)
    for words, told in (
        (["exports", C], f"job {C} is not known in this folder"),
        (["exports", "oops"], "not a job id: oops"),
        (["exports"], "no job ids given"),
        (["exports", "--ids", "ids.txt"], "ids.txt:2: not a job id: oops"),
        (["exports", "--ids", "none.txt"], "ids file none.txt: No such file"),
        (["exports", A, "--account", "eu"], f"job {A} is not known"),
        (["nowhere", A], "nowhere holds no journal"),
    ):
        ended = call("forget", *words)
        assert (ended.status, ended.out) == (2, ""), words
        assert told in ended.err
    after = tree(fetched.folder)
    lock = str(state(fetched) / "lock")
    assert {**after, lock: b""} == {**before, lock: b""}
    assert not (fetched.folder / "nowhere").exists()


@pytest.mark.slow
def test_beside_a_run_nothing_is_touched(fetched: Program, call: Call) -> None:
    """While a run holds the folder, both commands end with 3 and name it."""
    run = fetched.start("run", "jobs.toml", "--ids", "-", "--again", A)
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write(f"{C}\n".encode())
    run.stdin.flush()
    run.stdout.readline()
    for words in (
        ["forget", "exports", B],
        ["clean", "exports"],
        ["clean", "exports", "--dry-run"],
    ):
        ended = call(*words)
        assert (ended.status, ended.out) == (3, "")
        assert f"LOCKED: exports is held by pid {run.pid}" in ended.err
    run.communicate(timeout=60)
    assert run.returncode == 0


@pytest.mark.slow
def test_only_what_nothing_needs_is_cleaned(fetched: Program, call: Call) -> None:
    """Strays of staging and quarantine go, by job and age; a dry run tells the same, changing
    nothing."""
    staging, quarantine = state(fetched) / "staging", state(fetched) / "quarantine"
    quarantine.mkdir()
    hidden = state(fetched) / "exports/Leads/generation-7"
    hidden.mkdir(parents=True)
    (hidden / "part-00001.csv").write_text("x" * 100)
    gone = [staging / f"default.{A}.zip", staging / f"default.{C}.csv.out"]
    gone += [age(made(staging / "default.77.part"), 31), quarantine / f"default.{B}.zip"]
    gone += [age(made(quarantine / f"default.{GONE}.zip"), 31)]
    kept = [staging / f"default.{GONE}.part", staging / "default.78.zip", staging / "notes.txt"]
    kept += [age(made(staging / f"default.{GONE}.zip"), 31), quarantine / "default.79.zip"]
    for path in (*gone, *kept):
        if not path.exists():
            made(path)
    before = tree(fetched.folder)
    looked = call("clean", "exports", "--dry-run")
    assert looked.status == 0, looked.err
    assert tree(fetched.folder) == before
    assert looked.out.endswith("would be removed: 6 files of 150 B, rows of 0 jobs\n")
    ended = call("clean", "exports", "--json")
    removed = {each["path"] for each in ended.records if each["type"] == "stray"}
    assert removed == {str(path.relative_to(fetched.folder)) for path in (*gone, hidden)}
    assert {line.partition(": ")[0] for line in looked.out.splitlines()[:-1]} == removed
    assert not any(path.exists() for path in (*gone, hidden))
    assert all(path.exists() for path in kept)
    assert (fetched.folder / "exports/Leads.csv").exists()
    assert call("clean", "exports").out == "removed: 0 files of 0 B, rows of 0 jobs\n"


def made(path: Path) -> Path:
    """Make a file of ten bytes."""
    path.write_bytes(b"0123456789")
    return path


@pytest.mark.slow
def test_rows_go_when_no_list_names_them_any_more(fetched: Program, call: Call) -> None:
    """What a recent list has named stays, however old; the rest goes, and its names are free."""
    assert call("clean", "exports", "--json").records[-1]["jobs"] == 0
    age_lists(fetched, 40)
    assert fetched.run("run", "jobs.toml", B).status == 0  # listed again: not spent
    assert call("clean", "exports", "--days", "41", "--json").records[-1]["jobs"] == 0
    assert call("clean", "exports", "--dry-run", "--json").records[-1]["jobs"] == 2
    ended = call("clean", "exports", "--json")
    assert (ended.status, ended.records[-1]["jobs"]) == (0, 2)
    assert call("status", "exports", "--ids").out == f"{B}\n"
    assert call("clean", "exports", "--json").records[-1]["jobs"] == 0
    # Tonight's job of the same name replaces the file of the one that was forgotten.
    fetched.settings(f'[[jobs]]\nid = "{C}"\nname = "Leads"\n')
    night = fetched.run("run", "jobs.toml")
    assert (night.status, night.out) == (0, "exports/Leads.csv\n")


@pytest.mark.slow
def test_what_is_pending_is_never_cleaned(program: Program, call: Call) -> None:
    """However old its list, a pending job stays with its body; that it waits is told."""
    program.settings()
    (program.folder / "eu.toml").write_text('[account]\ndata_center = "eu"\n')
    assert program.run("run", "eu.toml", A).status == 3  # no credentials
    part = age(made(state(program) / f"staging/default.{A}.part"), 50)
    age_lists(program, 50)
    ended = call("clean", "exports")
    assert (ended.status, ended.out) == (0, "removed: 0 files of 0 B, rows of 0 jobs\n")
    assert "1 job pending that no list has named for 30 days" in ended.err
    assert part.exists()
    assert call("status", "exports", "--pending", "--ids").out == f"{A}\n"


@pytest.mark.slow
def test_exports_keep_what_the_next_one_needs(program: Program, call: Call) -> None:
    """Of old exports the newest stays with its cursor; after it changes go on as before."""
    program.settings('[[exports]]\nmodule = "Leads"\nsync = "changes"\n')
    for _ in range(3):
        assert program.run("export", "jobs.toml").status == 0
    with closing(sqlite3.connect(state(program) / "journal.db")) as connection, connection:
        connection.execute("UPDATE generation SET started = '2020-01-01T00:00:00+00:00'")
    before = call("verify", "exports").out
    status = call("status", "exports", "--json").records
    ended = call("clean", "exports", "--json")
    assert (ended.status, ended.records[-1]["generations"]) == (0, 2)
    assert call("verify", "exports").out == before
    assert call("status", "exports", "--json").records == status
    after = program.run("export", "jobs.toml", "--json")
    assert after.status == 0, after.err
    assert [each["mode"] for each in after.records if each["type"] == "export"] == ["changes"]


def test_a_folder_without_a_journal_is_a_slip(program: Program, call: Call) -> None:
    """Nothing is made where no run has been; days below one are refused."""
    for words in (["clean", "nowhere"], ["clean", "nowhere", "--dry-run"]):
        ended = call(*words)
        assert ended.status == 2
        assert "holds no journal" in ended.err
    assert call("clean", "nowhere", "--days", "0").status == 2
    assert list(program.folder.iterdir()) == []


@pytest.mark.slow
def test_another_server_under_the_same_folder_is_refused(fetched: Program, call: Call) -> None:
    """What the sandbox gave is not taken for done at Zoho; nothing is asked, nothing lost."""
    state_before = call("status", "exports").out
    (fetched.folder / "real.toml").write_text(
        f'[account]\ndata_center = "eu"\n[[jobs]]\nid = "{A}"\n[[exports]]\nmodule = "Leads"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOHO_ACCESS_TOKEN", "1000.any")
        for command in ("plan", "run", "export"):
            ended = call(command, "real.toml")
            assert ended.status == 2
            assert "error: account default was asked at this machine" in ended.err
            assert "would be at https://www.zohoapis.eu" in ended.err
            assert "hint: Use another `out`" in ended.err
    assert call("status", "exports").out == state_before
    again = call("run", "jobs.toml", "-q")
    assert again.status == 0


def test_the_server_of_an_account_is_forgotten(fetched: Program, call: Call) -> None:
    """For an org that has moved: what is done stays done, and the next run notes its own server."""
    ended = call("forget", "exports", "--server", "default", "--json")
    assert ended.status == 0
    assert '"server_forgotten"' in ended.out
    for arguments, words in (
        (("--server", "default"), "no server of an account default is known"),
        (("--server", "nobody"), "no server of an account nobody is known"),
        (("--server", "default", A), "--server forgets no jobs"),
    ):
        ended = call("forget", "exports", *arguments)
        assert (ended.status, words in ended.err) == (2, True)
    assert call("run", "jobs.toml", "-q").status == 0
