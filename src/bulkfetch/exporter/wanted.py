"""Which exports a call is about, each with its account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bulkfetch.archive import suffixes_of
from bulkfetch.config import Export, Settings
from bulkfetch.config.misfit import listed
from bulkfetch.errors import ConfigError
from bulkfetch.filenames import same_file


class WantedExport(NamedTuple):
    """An export that a command is to do: its account by name, and that one's version of the API.

    Its parts are published under all of the `suffixes`; `typed` says whether the columns of Parquet
    files have the types of the module's fields. `bucket` is the URL of the place in one that the
    settings name for it, None if they name none.
    """

    export: Export
    account: str
    version: str
    suffixes: tuple[str, ...] = (".csv",)
    typed: bool = False
    bucket: str | None = None


def wanted_exports(settings: Settings, given: Sequence[Export | str]) -> list[WantedExport]:
    """Return the exports that are given, or named; of none, all those of the settings.

    A name is that of an export of the settings, else of a module. Raises ConfigError.
    """
    known = {export.name: export for export in settings.exports}
    exports = [
        known.get(each) or Export(module=each) if isinstance(each, str) else each for each in given
    ]
    exports = exports or list(settings.exports)
    if not exports:
        raise ConfigError(
            "no exports given",
            hint="Add [[exports]] with a module to the settings, or name a module.",
        )
    names: dict[str, str] = {}
    for export in exports:
        if (other := names.setdefault(same_file(export.name), export.name)) != export.name or (
            sum(each.name == export.name for each in exports) > 1
        ):
            raise ConfigError(
                f"two exports would have the same folder: {other} and {export.name}",
                hint="Give one of them another name.",
            )
    return [_wanted(settings, export) for export in exports]


def _wanted(settings: Settings, export: Export) -> WantedExport:
    account = export.account or settings.default_account
    if account is None:
        names = listed([each.name for each in settings.accounts])
        raise ConfigError(
            f"export {export.name} names none of several accounts", hint=f"Available: {names}."
        )
    formats = settings.formats_of(account)
    place = settings.place_of_export(export, account)
    return WantedExport(
        export,
        account,
        settings.account(account).version,
        suffixes_of(".ics" if export.file_type == "ics" else ".csv", formats),
        typed="parquet" in formats and settings.parquet.types == "fields",
        bucket=None if place is None else place.url,
    )
