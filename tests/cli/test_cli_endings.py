"""The last line of a run: what to do next, and nothing that would not help."""

from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli.endings import command_line, next_step
from bulkfetch.models import Failure, Outcome, Report

Call = Callable[..., Ended]

RUN = "bulkfetch run jobs.toml"


def failed(*codes: str, more: int = 0) -> Report:
    """A report of jobs that failed with these codes, and `more` that it does not name."""
    failures = tuple(
        Outcome(str(number), "default", "failed", error=Failure(code, "words", "Do it."))
        for number, code in enumerate(codes)
    )
    return Report(failed=len(codes) + more, failures=failures)


@pytest.mark.parametrize("status", [0, 2])
def test_nothing_to_go_on_with(status: int) -> None:
    """Where all is done nothing is left; where the configuration is wrong an edit comes first."""
    assert next_step(status, Report(pending=1), RUN, stdin_list=False) is None


@pytest.mark.parametrize("status", [3, 130])
@pytest.mark.parametrize("report", [None, Report(pending=3)])
def test_the_same_command_goes_on(status: int, report: Report | None) -> None:
    """After an abort or an interruption the same command goes on."""
    assert next_step(status, report, RUN, stdin_list=False) == f"to continue: {RUN}"


def test_trying_again_can_help() -> None:
    """Where one of the causes may pass, the failed ones may be tried again."""
    report = failed("RESOURCE_NOT_FOUND", "INTERNAL_ERROR")
    told = f"to retry the failed jobs: {RUN}"
    assert next_step(1, report, RUN, stdin_list=False) == told
    # Of those that the report does not name nobody knows.
    assert next_step(1, failed("INVALID_JOB_ID", more=7), RUN, stdin_list=False) == told


@pytest.mark.parametrize(
    "code", ["INVALID_JOB_ID", "INVALID_NAME", "UNKNOWN_ACCOUNT", "PUBLISH_CONFLICT"]
)
def test_trying_again_cannot_help(code: str) -> None:
    """Where each cause wants somebody to act, the command alone is no help, and not told."""
    assert next_step(1, failed(code), RUN, stdin_list=False) == (
        "1 job would fail the same way again: first follow the hint for it"
    )
    assert next_step(1, failed(code, code), RUN, stdin_list=False) == (
        "2 jobs would fail the same way again: first follow the hint for each of them"
    )


@pytest.mark.parametrize("code", ["RESOURCE_NOT_FOUND", "NO_PERMISSION", "ZIP_UNSAFE"])
def test_what_failed_for_good_is_asked_for_by_an_option(code: str) -> None:
    """What a plain run does not ask for again is named with the option that does."""
    assert next_step(1, failed(code), RUN, stdin_list=False) == (
        "1 job would fail the same way again: first follow the hint for it; "
        "then --failed requests what failed once more"
    )


def test_a_list_from_stdin_is_wanted_again() -> None:
    """What was read from stdin is gone: it is said that the list has to be given again."""
    told = f"to continue: {RUN} --ids -  (give the list again on stdin)"
    assert next_step(130, None, f"{RUN} --ids -", stdin_list=True) == told


def test_many_ids_are_not_repeated() -> None:
    """A few ids are part of a command that can be pasted; of three hundred the number is told."""
    few, many = IDS[:10], [str(number) for number in range(300)]
    words = ["bulkfetch", "run", "a b.toml"]
    assert command_line([*words, *few], few) == f"bulkfetch run 'a b.toml' {' '.join(few)}"
    told = "bulkfetch run 'a b.toml' … (the same 300 ids)"
    assert command_line([*words, *many], many) == told
    assert command_line([*words, *many, "--json"], many) == f"{told} --json"


def test_hint_after_malformed_ids(program: Program, call: Call) -> None:
    """A run whose only failures are slips in the list does not suggest to run it again."""
    (program.folder / "ids.txt").write_text(f"{IDS[0]}\n12x\n")
    ended = call("run", program.settings(), "--ids", "ids.txt")
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("1 job would fail the same way again: ")
    assert "retry the failed jobs" not in ended.err


@pytest.mark.slow
def test_hint_after_a_list_from_stdin(program: Program) -> None:
    """An aborted run that read stdin says that the list is wanted again."""
    (program.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    ended = program.run("run", "jobs.toml", "--ids", "-", stdin=f"{IDS[0]}\n")
    assert ended.status == 3
    last = ended.err.splitlines()[-1]
    assert last.startswith("to continue: ")
    assert last.endswith(" --ids -  (give the list again on stdin)")


def test_hint_after_many_arguments(program: Program, call: Call) -> None:
    """The last line stays short, however many ids were arguments."""
    (program.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    ended = call("run", "jobs.toml", *(str(number) for number in range(1000, 1300)), "-v")
    assert ended.status == 3
    last = ended.err.splitlines()[-1]
    assert last == "to continue: bulkfetch run jobs.toml … (the same 300 ids) -v"
