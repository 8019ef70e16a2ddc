"""A group of commands, each in a module of its own that is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from bulkfetch.cli import completion
from bulkfetch.cli.misplaced import command_hint


class _Hinted(click.UsageError):
    """A usage error with a hint at what was probably meant."""

    def __init__(self, message: str, ctx: click.Context, hint: str) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class LazyCommands(click.Group):
    """Imports only the command that is run: the others would take a tenth of a short run.

    Each of `names` is in the module of its name, behind `prefix`; one that is a keyword of Python
    has an underscore behind it there.
    """

    def __init__(self, *args: Any, names: Sequence[str] = (), prefix: str = "", **rest: Any):
        super().__init__(*args, **rest)
        self._names = names
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._names)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            at_top = ctx.parent is None
            if args and (hint := command_hint(args[0], self._names, at_top=at_top)) is not None:
                raise _Hinted(error.message, ctx, hint) from None
            raise

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._names:
            return None
        attribute = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = getattr(import_module(f"bulkfetch.cli.{self._prefix}{cmd_name}"), attribute)
        assert isinstance(command, click.Command)
        return completion.with_paths(command) if completion.is_asked() else command
