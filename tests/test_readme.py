"""The README tells the truth about the program."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click import Command, Context, Group

import bulkfetch
from bulkfetch.cli import main
from bulkfetch.cli.app import program
from bulkfetch.cli.plan import in_a_day

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUT = (ROOT / "docs/reference/output.md").read_text(encoding="utf-8")
GUIDES = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def _section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("title", ["Try it", "Test it"])
def test_the_two_commands_stand_alone(title: str) -> None:
    """Under each of the two headings the first command line does it all."""
    command, *_ = _blocks(_section(title), "sh")
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && ")


def test_the_readme_is_of_one_page() -> None:
    """What does not help somebody to begin is in docs/, to which the README links."""
    assert README.count("\n") <= 150


def test_commands_and_options_in_the_documents_exist() -> None:
    """Every `bulkfetch COMMAND` with its options is one that the program knows."""
    pages = "\n".join([README, *GUIDES])
    used = re.findall(r"(?:^|[`/ ])bulkfetch ([a-z]+ [^\n`#|;&()]*)", pages, re.MULTILINE)
    assert len(used) > 50
    for line in used:
        options = set(re.findall(r" (--[a-z-]+)", line))
        assert options <= _options(line.split()) | {"--help"}, line


def _options(words: list[str]) -> set[str]:
    """The options of the command that these words begin with; {} where they begin with none."""
    command: Command = program
    for word in words:
        if not isinstance(command, Group):
            break
        found = command.get_command(Context(command), word)
        if found is None:
            break
        command = found
    return {option for item in command.params for option in item.opts}


def test_the_readme_and_the_help_agree_on_exit_statuses(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The README's table and `bulkfetch --help` name the same exit statuses."""
    told = set(re.findall(r"^\| (\d+) \|", README, re.MULTILINE))
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert told == set(re.findall(r"^\s+(\d+)  ", shown, re.MULTILINE))


def test_the_readme_and_the_help_say_how_many_a_day(capfd: pytest.CaptureFixture[str]) -> None:
    """The number of results a day is that of the default pace, in the README as in the help."""
    said = f"{in_a_day():,}"
    pace = bulkfetch.load_settings(env={}).accounts[0].window
    assert re.findall(r"at most ([\d,]+)\s+results a day", README) == [said]
    assert f"ten every {pace.period_s + pace.margin_s:.0f} s" in README
    assert main(["plan", "--help"]) == 0
    assert f"account can start {said}." in " ".join(capfd.readouterr().out.split())


def test_the_json_in_the_documents_is_what_it_claims() -> None:
    """The lines of JSON are the records that `run` and `export` write."""
    lines = [line for block in _blocks(OUTPUT, "json") for line in block.splitlines()]
    assert {json.loads(line)["type"] for line in lines} == {"job", "export", "summary"}


def test_the_library_example_is_ten_lines_or_so() -> None:
    """The example of the library stays short enough to be read at a glance."""
    code = [line for line in _blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(code) <= 12


def test_public_names_are_all_there() -> None:
    """What users call, annotate or catch is at hand, each with its documentation."""
    assert {"Client", "load_settings", "Run", "Progress", "Outcome"} <= set(bulkfetch.__all__)
    for name in bulkfetch.__all__:
        assert getattr(bulkfetch, name).__doc__ or name == "EventKind"  # a list of words has none
