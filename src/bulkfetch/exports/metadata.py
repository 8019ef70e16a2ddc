"""What Zoho says of the modules of an account, asked once each, and exports checked against it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from bulkfetch.config import Export, Settings
from bulkfetch.config.complaints import about_export
from bulkfetch.config.misfit import Misfit
from bulkfetch.control.responses import Module, ModuleField
from bulkfetch.errors import JobError, ScopeMismatch
from bulkfetch.exports.check import check_export, find_module, parents_of

T = TypeVar("T")


class TellsMetadata(Protocol):
    """The part of a control client that is needed here."""

    async def modules(self) -> tuple[Module, ...]:
        """Return the modules of the account."""

    async def fields(self, module: str) -> tuple[ModuleField, ...] | None:
        """Return the fields of a module; None where nothing is known."""


class Metadata(NamedTuple):
    """What is known of an export's module. None: it could not be had, as `warnings` say."""

    fields: tuple[ModuleField, ...] | None
    warnings: tuple[str, ...]


class MetadataReader:
    """Asks one account's metadata, each thing once; a credit for each."""

    def __init__(self, control: TellsMetadata) -> None:
        self._control = control
        self._known: dict[str, Any] = {}
        self._refused: dict[str, str] = {}

    async def check(self, export: Export, settings: Settings) -> Metadata:
        """Return what is known of an export's module, once the export is seen to fit it.

        Metadata that the account may not have, or that there is none of, is a warning, and what it
        would tell stays unchecked. Raises ExportMisfit with file, key and line; AccountError, and
        JobError where another try may succeed. If cancelled: nothing was changed.
        """
        try:
            return await self._check(export)
        except Misfit as found:
            misfit = found
        raise about_export(misfit, export, settings)

    async def _check(self, export: Export) -> Metadata:
        warnings: list[str] = []
        modules = await self._ask("modules", self._control.modules, warnings)
        if modules is not None:
            find_module(export, modules)
        fields = await self._fields(export.module, warnings)
        parents = {}
        for name in parents_of(export, fields or ()):
            parents[name] = await self._fields(name, warnings) or ()
        check_export(export, fields, parents)
        told = [f"export {export.name} goes on unchecked: {each}" for each in warnings]
        return Metadata(fields, tuple(told))

    async def _fields(self, module: str, warnings: list[str]) -> tuple[ModuleField, ...] | None:
        what = f"fields of {module}"
        found = await self._ask(what, lambda: self._control.fields(module), warnings)
        if not found and what not in self._refused:
            warnings.append(f"Zoho tells no {what}")
        return found or None

    async def _ask(
        self, what: str, question: Callable[[], Awaitable[T]], warnings: list[str]
    ) -> T | None:
        if what not in self._known:
            try:
                self._known[what] = await question()
            except (ScopeMismatch, JobError) as error:
                if error.retryable:
                    raise
                self._known[what] = None
                self._refused[what] = f"the {what} cannot be had ({error.code}). {error.hint}"
        if what in self._refused:
            warnings.append(self._refused[what])
        found: T | None = self._known[what]
        return found
