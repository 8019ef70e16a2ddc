"""A shell completes commands, options and files; the manual page has what the help has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from tests.support.programs import Ended, Program
from tests.support.terminals import Terminal

from bulkfetch.cli.app import program as root
from bulkfetch.cli.man import page

Call = Callable[..., Ended]


@pytest.fixture
def installed(program: Program) -> Program:
    """The program as a command that a shell finds."""
    (program.folder / "bin").mkdir()
    script = program.folder / "bin/bulkfetch"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulkfetch "$@"\n')
    script.chmod(0o755)
    program.env["PATH"] = f"{script.parent}:{os.environ['PATH']}"
    return program


def completed(program: Program, *words: str) -> set[str]:
    """What bash offers for the last of the words, by the script that is printed."""
    text = (
        'eval "$(bulkfetch completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_bulkfetch_completion bulkfetch; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(
        ["bash", "-uc", text, "bash", *words],
        cwd=program.folder,
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return set(ended.stdout.split())


@pytest.mark.slow
def test_bash_completes_commands_and_options(installed: Program) -> None:
    """The beginning of a command or an option is completed, and what a shell's name may be."""
    assert completed(installed, "bulkfetch", "s") == {"status", "schema", "sandbox"}
    assert completed(installed, "bulkfetch", "status", "--f") == {"--failed"}
    assert completed(installed, "bulkfetch", "completion", "") == {"bash", "zsh", "fish"}


@pytest.mark.slow
def test_files_and_folders_are_left_to_the_shell(installed: Program) -> None:
    """Where settings, a list or a folder come, the shell is told to offer its own."""
    (installed.folder / "jobs.toml").write_text("")
    for words, kind in (
        (("run", "jo"), "file"),
        (("run", "jobs.toml", "--ids", "id"), "file"),
        (("status", "ex"), "dir"),
        (("run", "jobs.toml", "--out", "ex"), "dir"),
    ):
        number = len(words)
        installed.env |= {
            "_BULKFETCH_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("bulkfetch", *words)),
            "COMP_CWORD": str(number),
        }
        ended = installed.run()
        assert (ended.status, ended.err) == (0, "")
        assert ended.out == f"{kind},{words[-1]}\n"


@pytest.mark.slow
def test_fish_completes_commands_options_and_files(installed: Program) -> None:
    """A fish that has read the script offers commands with what they do, options, values, files."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed here")
    (installed.folder / "jobs.toml").write_text("")
    asked = ["bulkfetch sta", "bulkfetch status --f", "bulkfetch completion z", "bulkfetch run jo"]
    offers = "; ".join(f"complete -C '{line}'" for line in asked)
    ended = subprocess.run(
        ["fish", "--no-config", "-c", f"bulkfetch completion fish | source; {offers}"],
        cwd=installed.folder,
        env=installed.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    offered = [line.split("\t") for line in ended.stdout.splitlines() if line]
    assert offered == [
        ["status", "Show what is done in an output folder."],
        ["--failed", "List every job that failed."],
        ["zsh"],
        ["jobs.toml"],
    ]


@pytest.mark.slow
def test_zsh_completes_commands_options_and_files(installed: Program) -> None:
    """At a zsh's prompt the Tab key completes what has been typed, by the script that it read."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed here")
    (installed.folder / "jobs.toml").write_text("")
    (installed.folder / "_bulkfetch").write_text(
        "autoload -Uz compinit; compinit -D -u; unsetopt beep zle_bracketed_paste\n"
        'eval "$(bulkfetch completion zsh)"\necho re""ady\n'
    )
    installed.command, installed.env["TERM"] = ("zsh",), "dumb"
    terminal = Terminal(installed, "-f", "-i")
    try:
        terminal.type("source ./_bulkfetch\n")
        terminal.read_until("ready")
        for typed, shown in (
            ("bulkfetch stat\t", "bulkfetch status "),
            ("--fail\t", "--failed "),
            ("\x15bulkfetch run jo\t", "bulkfetch run jobs.toml "),
            ("\x15bulkfetch completion f\t", "bulkfetch completion fish "),
        ):
            terminal.type(typed)
            terminal.read_until(shown)
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("bash", "complete -o nosort -F _bulkfetch_completion bulkfetch"),
        ("zsh", "#compdef bulkfetch"),
        ("fish", "complete --no-files --command bulkfetch"),
    ],
)
def test_each_shell_has_its_script(call: Call, shell: str, told: str) -> None:
    """The script names the program and how to ask it; where the shell is here, it can read it."""
    ended = call("completion", shell)
    assert (ended.status, ended.err) == (0, "")
    assert told in ended.out
    assert f"_BULKFETCH_COMPLETE={shell}_complete" in ended.out
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=ended.out, text=True).returncode == 0


def test_another_shell_is_a_slip(call: Call) -> None:
    """An unknown shell, or none, is 2 with those that there are."""
    ended = call("completion", "tcsh")
    assert (ended.status, ended.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in ended.err
    assert call("completion").status == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status", "exports", "--peding"], "'--pending'"),
        (["run", "jobs.toml", "--keep-zips"], "'--keep-zip'"),
        (["claen", "exports"], 'did you mean "clean"?'),
    ],
)
def test_a_word_that_is_nearly_right_gets_the_right_one(
    call: Call, words: list[str], told: str
) -> None:
    """A mistyped option or command is 2, and the one that was probably meant is told."""
    ended = call(*words)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err


def test_the_manual_has_every_command_and_option() -> None:
    """Each command has a section with each of its options, and the exit statuses are there."""
    assert isinstance(root, click.Group)
    text = "\n".join(page(root, "1.2.3"))
    assert text.startswith('.TH BULKFETCH 1 "" "bulkfetch 1.2.3" "User Commands"\n.SH NAME\n')
    sections = dict(
        re.findall(r'^\.SS "bulkfetch ([a-z]+) ([^\x00]*?)(?=^\.S)', text, re.MULTILINE)
    )
    context = click.Context(root)
    assert list(sections) == root.list_commands(context)
    for name, section in sections.items():
        command = root.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option.replace("-", r"\-") in section, (name, option)
        assert r"\fBExit status:\fR" in section
    for line in text.splitlines():
        assert not line.startswith("'"), "a request by accident"
        if line.startswith("."):
            assert re.fullmatch(r"\.(TH|SH|SS|PP|TP|RS|RE|nf|fi|B)( .*)?", line), line


@pytest.mark.slow
def test_roff_formats_the_manual_without_a_warning(program: Program) -> None:
    """groff has nothing to object to, and shows options and examples as they are typed."""
    if shutil.which("groff") is None:
        pytest.skip("no groff here")
    made = program.run("man")
    assert (made.status, made.err) == (0, "")
    shown = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-rLL=100n", "-P-cbou"],
        input=made.out,
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "bulkfetch run jobs.toml --ids ids.txt" in shown.stdout
    assert "NAME\n" in shown.stdout
    assert re.search(r"\n +3  aborted \(credentials", shown.stdout)
