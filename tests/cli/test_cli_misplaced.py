"""The likeliest first mistakes on the command line are answered with the right command."""

import os
from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]
A, B = IDS[:2]
FIRST = "hint: The settings file comes first: bulkfetch "
SLIPS = [
    # a list in the place of the settings file
    (["run", "ids.txt"], f"{FIRST}run jobs.toml --ids ids.txt"),
    (["plan", "ids.txt"], f"{FIRST}plan jobs.toml --ids ids.txt"),
    (["check", "ids.txt"], f"{FIRST}check jobs.toml"),
    (["run", "list"], f"{FIRST}run jobs.toml --ids list"),
    (["run", "ids.csv"], f"{FIRST}run jobs.toml --ids ids.csv --ids-column 2"),
    (["run", "bare.csv"], f"{FIRST}run jobs.toml --ids bare.csv --ids-column 1"),
    (["run", "gone.txt"], f"{FIRST}run jobs.toml --ids gone.txt"),
    (["run", "-"], f"{FIRST}run jobs.toml --ids -"),
    (["run", "ids.txt", "jobs.toml"], f"{FIRST}run jobs.toml --ids ids.txt"),
    (["run", "ids.txt", "my.toml", A], f"{FIRST}run my.toml {A} --ids ids.txt"),
    (["run", "a list.txt"], f"{FIRST}run jobs.toml --ids 'a list.txt'"),
    (["run", "--ids", "ids.txt"], f"{FIRST}run jobs.toml --ids ids.txt"),
    (["run"], f"{FIRST}run jobs.toml"),
    (["check"], f"{FIRST}check jobs.toml"),
    # ids
    (["run", A], f"{FIRST}run jobs.toml {A}"),
    (["run", A, B, "--ids", "ids.txt"], f"{FIRST}run jobs.toml {A} {B} --ids ids.txt"),
    (["plan", A], f"{FIRST}plan jobs.toml {A}"),
    (["check", A], f"{FIRST}check jobs.toml"),
    (["run", *IDS], f"{FIRST}run jobs.toml {' '.join(IDS[:3])} …"),
    # a folder, a name that is nearly right
    (["run", "folder"], f"{FIRST}run folder/jobs.toml"),
    (["run", "jbos.toml"], 'hint: did you mean "jobs.toml"?'),
    (["run", "folder/job.toml"], 'hint: did you mean "folder/jobs.toml"?'),
    # a list among the ids
    (["run", "jobs.toml", "ids.txt"], "--ids: bulkfetch run jobs.toml --ids ids.txt"),
    (["run", "jobs.toml", A, "ids.csv"], "bulkfetch run jobs.toml --ids ids.csv --ids-column 2"),
    (["plan", "jobs.toml", "gone.csv"], "--ids: bulkfetch plan jobs.toml --ids gone.csv"),
    (["run", "jobs.toml", "-"], "A list goes to --ids: bulkfetch run jobs.toml --ids -"),
    (["run", "jobs.toml", "my.toml"], "hint: One settings file at a time, and it comes first."),
    (["run", "jobs.toml", "12x"], "hint: A job id is 1 to 20 digits"),
    # no command
    (["jobs.toml"], "hint: The command comes first: bulkfetch run jobs.toml"),
    (["ids.txt"], "settings file come first: bulkfetch run jobs.toml --ids ids.txt"),
    ([A], f"hint: The command and the settings file come first: bulkfetch run jobs.toml {A}"),
    (["rum", "jobs.toml"], 'hint: did you mean "run"?'),
    (["Status", "exports"], 'hint: did you mean "status"?'),
    (["xyz"], "hint: See `bulkfetch --help`."),
]


@pytest.mark.parametrize(("words", "hint"), SLIPS, ids=lambda value: ascii(value)[:50])
def test_the_hint_spells_out_what_was_meant(
    program: Program, call: Call, words: list[str], hint: str
) -> None:
    """A list, an id or a folder in a wrong place is 2, with the command that was meant."""
    (program.folder / "ids.txt").write_text(f"# today\n\n{A} # Leads\n")
    (program.folder / "list").write_text(f"{A}\r\n{B}\r\n")
    (program.folder / "ids.csv").write_text(f'Module,"Job ID"\nLeads,"{A}"\n')
    (program.folder / "bare.csv").write_text(f"{A};Leads\n")
    (program.folder / "folder").mkdir()
    (program.folder / "folder" / "jobs.toml").write_text("")
    program.settings()
    ended = call(*words)
    assert (ended.status, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == 2
    assert hint in lines[1]


def test_a_slip_in_real_settings_keeps_its_own_hint(program: Program, call: Call) -> None:
    """What is TOML is meant for settings, whatever numbers stand in it."""
    (program.folder / "jobs.toml").write_text("otu = [1, 2]\n")
    assert call("run", "jobs.toml", A).err.endswith('hint: did you mean "out"?\n')
    (program.folder / "settings").write_text("x = [1, 2, 3]\n")
    assert "Available: " in call("run", "settings", A).err
    (program.folder / "jobs.toml").write_text("out = exports, 5\n")
    assert "settings file" not in call("run", "jobs.toml", A).err


def test_a_pipe_is_not_read_in_order_to_tell_what_it_is(program: Program, call: Call) -> None:
    """Looking for what was meant never waits for anybody."""
    os.mkfifo(program.folder / "pipe.txt")
    ended = call("run", program.settings(), "pipe.txt")
    assert ended.status == 2
    assert "bulkfetch run jobs.toml --ids pipe.txt" in ended.err
