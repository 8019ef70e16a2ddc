"""`bulkfetch man`: the manual page, made from the help of all commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer

_ABOUT = """\b
Examples:
  bulkfetch man > bulkfetch.1

Print the manual page, with the help of every command. `bulkfetch man | man -l -` shows it; as
~/.local/share/man/man1/bulkfetch.1 `man bulkfetch` finds it.
"""

_EPILOG = exit_codes.epilog(
    s0="the page is printed", s2="usage error", s130="interrupted, or stdout was closed"
)
# How click marks a paragraph whose lines are kept.
_KEPT = "\b"


@click.command(help=_ABOUT, short_help="Print the manual page.", epilog=_EPILOG)
@click.pass_context
def man(context: click.Context) -> int:
    """Print the page, and return the exit status."""
    from importlib.metadata import version

    printer: Printer = context.obj
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    for line in page(root.command, version("bulkfetch")):
        printer.result(line, None)
    return exit_codes.DONE


def page(program: click.Group, version: str) -> Iterator[str]:
    """Yield the lines of the manual page, in the macros of man(7)."""
    root = click.Context(program, info_name="bulkfetch", help_option_names=["-h", "--help"])
    yield f'.TH BULKFETCH 1 "" "bulkfetch {_escaped(version)}" "User Commands"'
    yield from (".SH NAME", r"bulkfetch \- download Zoho CRM bulk exports, each once, in time")
    yield from (".SH SYNOPSIS", r".B bulkfetch", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]...")
    yield ".SH DESCRIPTION"
    yield from _text(program.help or "")
    yield ".SH OPTIONS"
    yield from _options(program, root)
    yield ".SH COMMANDS"
    yield from _commands(program, root)
    yield ".SH EXIT STATUS"
    yield "Of run and export; the other commands have theirs above."
    yield from _text(program.epilog or "")
    yield ".SH FILES"
    for path, what in (
        ("OUT/.bulkfetch", "the journal of an output folder, what is in staging and quarantine"),
        ("~/.local/state/bulkfetch", "what all runs share; BULKFETCH_STATE_DIR names another one"),
    ):
        yield from (".TP", rf"\fI{_escaped(path)}\fR", _escaped(what))


def _commands(group: click.Group, parent: click.Context) -> Iterator[str]:
    """Yield a section for each command of a group, and for those of a group among them."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None, "it is listed"
        context = click.Context(
            command, parent=parent, info_name=name, help_option_names=parent.help_option_names
        )
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield from (f'.SS "{_escaped(usage)}"', ".PP")
        yield from _text(command.help or "")
        yield from _options(command, context)
        yield from _text(command.epilog or "")
        if isinstance(command, click.Group):
            yield from _commands(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            names, what = record
            yield from (".TP", rf"\fB{_escaped(names)}\fR", _escaped(what))


def _text(text: str) -> Iterator[str]:
    """Yield paragraphs; of those whose lines are kept the first is a heading, if it ends so."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text).strip("\n")):
        lines = paragraph.splitlines()
        if lines[0].strip() != _KEPT:
            indented = paragraph.startswith(" ")
            yield from (".PP", *_block([_escaped(line.strip()) for line in lines], kept=indented))
            continue
        yield from (".PP", rf"\fB{_escaped(lines[1].strip())}\fR")
        yield from _block([_escaped(line) for line in lines[2:]], kept=True)


def _block(lines: list[str], *, kept: bool) -> list[str]:
    return [".RS 4", ".nf", *lines, ".fi", ".RE"] if kept else lines


def _escaped(text: str) -> str:
    """Return text in which roff finds no command; hyphens stay hyphens when they are copied."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return re.sub(r"^(\s*)([.'])", r"\1\\&\2", text)
