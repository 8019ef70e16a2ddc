import pytest
from tests.support.programs import IDS, Program
from tests.support.terminals import Terminal

pytestmark = pytest.mark.slow


def test_bar_on_a_terminal(program: Program) -> None:
    """On a terminal a bar is drawn, results stay above it, and in the end it is gone."""
    program.env["TERM"] = "xterm"
    terminal = Terminal(program, "run", program.settings(), *IDS[:3])
    assert terminal.read_all() == 0
    terminal.close()
    assert "of 3 jobs done" in terminal.text
    assert "\x1b[2K" in terminal.text
    after = terminal.text.rpartition("\x1b[2K")[2]
    assert "jobs done" not in after
    assert "3 done; " in after
    for job in IDS[:3]:
        assert f"exports/{job}.csv\r\n" in terminal.text


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {}])
def test_dumb_terminal(program: Program, env: dict[str, str]) -> None:
    """A terminal that cannot move its cursor gets plain lines."""
    program.env |= env
    terminal = Terminal(program, "run", program.settings(), "--ids", "/dev/null")
    assert terminal.read_all() == 0
    terminal.close()
    assert "\x1b" not in terminal.text


def test_no_color(program: Program) -> None:
    """With NO_COLOR the bar has no colours."""
    program.env |= {"TERM": "xterm-256color", "NO_COLOR": "1"}
    terminal = Terminal(program, "run", program.settings(), IDS[0])
    assert terminal.read_all() == 0
    terminal.close()
    assert "of 1 job done" in terminal.text
    assert not any(f"\x1b[{code}" in terminal.text for code in ("3", "9", "38;"))


def test_ctrl_c_at_the_keyboard(program: Program) -> None:
    """Ctrl-C while ids are typed stops the run; what was typed is done."""
    program.env |= {"TERM": "xterm"}
    terminal = Terminal(program, "run", program.settings(), "--ids", "-")
    terminal.read_until("reading ids from the terminal")
    terminal.type(f"{IDS[0]}\n")
    terminal.read_until(f"exports/{IDS[0]}.csv\r\n")
    terminal.type("\x03")
    assert terminal.read_all() == 130
    terminal.close()
    assert "SIGINT: finishing transfers in flight" in terminal.text
    assert "1 done" in terminal.text
    assert "Traceback" not in terminal.text


def test_closed_terminal(program: Program) -> None:
    """When its window is closed a run stops as at Ctrl-C, and what is done stays done."""
    program.env |= {"TERM": "xterm"}
    settings = program.settings()
    terminal = Terminal(program, "run", settings, "--ids", "-")
    terminal.read_until("reading ids from the terminal")
    terminal.type(f"{IDS[0]}\n")
    terminal.read_until(f"exports/{IDS[0]}.csv\r\n")
    terminal.close()
    assert terminal.process.wait(timeout=30) == 130
    again = program.run("run", settings, IDS[0], "--json")
    assert (again.status, again.records[-1]["skipped"]) == (0, 1)
