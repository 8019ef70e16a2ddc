"""`bulkfetch completion`: what makes a shell complete commands, options and files."""

from __future__ import annotations

import os

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer

PROGRAM = "bulkfetch"
# By which a shell asks for completions: its name and what it wants, as click has it.
VARIABLE = "_BULKFETCH_COMPLETE"

_SHELLS = ("bash", "zsh", "fish")
_FILES = frozenset({"JOBS.toml", "FLEET.toml", "[JOBS.toml]", "FILE|-", "FILE"})
_FOLDERS = frozenset({"OUT", "DIR"})

_ABOUT = """\b
Examples:
  bulkfetch completion bash > bulkfetch.bash
  bulkfetch completion zsh > _bulkfetch
  bulkfetch completion fish > bulkfetch.fish

Print the script with which a shell completes bulkfetch's commands, options and files. For bash 4.4
or newer, put `eval "$(bulkfetch completion bash)"` into ~/.bashrc, or the script into
~/.local/share/bash-completion/completions/bulkfetch; for zsh, into a folder of $fpath; for fish,
into ~/.config/fish/completions.
"""

_EPILOG = exit_codes.epilog(
    s0="the script is printed", s2="usage error", s130="interrupted, or stdout was closed"
)


@click.command(help=_ABOUT, short_help="Print a shell's completion script.", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_obj
def completion(printer: Printer, shell: str) -> int:
    """Print the script, and return the exit status."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, "click knows these shells"
    # Not `source`, which asks an installed bash for its version.
    script = (
        made.source_template % made(click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source_vars()
    )
    for line in script.strip().splitlines():
        printer.result(line, None)
    return exit_codes.DONE


def is_asked() -> bool:
    """Return whether a shell asks for completions, instead of running a command."""
    return VARIABLE in os.environ


def answer(program: click.Command) -> int:
    """Write the completions that a shell asks for to stdout; return the exit status."""
    from click.shell_completion import shell_complete

    return shell_complete(program, {}, PROGRAM, VARIABLE, os.environ[VARIABLE])


def with_paths(command: click.Command) -> click.Command:
    """Have a command's files and folders completed; only for a command that is not run.

    To run it, each is checked by what reads it, in words of ours.
    """
    for parameter in command.params:
        if parameter.metavar in _FILES:
            parameter.type = click.Path()
        elif parameter.metavar in _FOLDERS:
            parameter.type = click.Path(file_okay=False)
    return command
