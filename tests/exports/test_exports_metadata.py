"""Metadata is asked once, and what cannot be had is told and goes on unchecked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from bulkfetch.config import Settings, load_settings
from bulkfetch.control.responses import Module, ModuleField
from bulkfetch.errors import BulkfetchError, ConfigError, NoPermission, ScopeMismatch, ServerError
from bulkfetch.exports.metadata import Metadata, MetadataReader

LEADS = (
    ModuleField("Last_Name", "text"),
    ModuleField("Account_Name", "lookup", lookup_module="Accounts"),
)


class Zoho:
    """What a control client tells: values, or errors to be raised."""

    def __init__(
        self,
        modules: tuple[str, ...] | BulkfetchError = ("Leads", "Accounts"),
        fields: Mapping[str, tuple[ModuleField, ...] | BulkfetchError] | None = None,
    ) -> None:
        self._modules = modules
        self._fields = {"Leads": LEADS} if fields is None else fields
        self.asked: list[str] = []

    async def modules(self) -> tuple[Module, ...]:
        self.asked.append("modules")
        if isinstance(self._modules, BulkfetchError):
            raise self._modules
        return tuple(Module(name, api_supported=True) for name in self._modules)

    async def fields(self, module: str) -> tuple[ModuleField, ...] | None:
        self.asked.append(module)
        found = self._fields.get(module)
        if isinstance(found, BulkfetchError):
            raise found
        return found


def settings(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "jobs.toml").write_text(text)
    return load_settings(tmp_path / "jobs.toml", {})


def checked(zoho: Zoho, given: Settings) -> list[Metadata]:
    async def main() -> list[Metadata]:
        reader = MetadataReader(zoho)
        return [await reader.check(export, given) for export in given.exports]

    return asyncio.run(main())


def test_each_thing_is_asked_once(tmp_path: Path) -> None:
    """Two exports of one module cost the credits of one; parents are asked where dots lead."""
    given = settings(
        tmp_path,
        "[[exports]]\nmodule = 'Leads'\nfields = ['Account_Name.Phone']\n"
        "[[exports]]\nmodule = 'Leads'\nname = 'More'\n",
    )
    zoho = Zoho(fields={"Leads": LEADS, "Accounts": (ModuleField("Phone", "phone"),)})
    one, other = checked(zoho, given)
    assert zoho.asked == ["modules", "Leads", "Accounts"]
    assert one == other == Metadata(LEADS, ())


def test_what_does_not_fit_is_told_with_its_line(tmp_path: Path) -> None:
    """The complaint leads to the key in the file, with the nearest right name."""
    given = settings(tmp_path, "[[exports]]\nmodule = 'Lead'\n")
    with pytest.raises(ConfigError) as caught:
        checked(Zoho(), given)
    assert caught.value.message == (
        f"{tmp_path}/jobs.toml: exports[1].module names no module of this account: Lead (line 2)"
    )
    assert caught.value.hint == 'did you mean "Leads"?'


@pytest.mark.parametrize("error", [ScopeMismatch(), NoPermission()])
def test_metadata_that_may_not_be_had_is_a_warning(tmp_path: Path, error: BulkfetchError) -> None:
    """Without the scope for metadata the export goes on, and the user is told what is unchecked."""
    given = settings(tmp_path, "[[exports]]\nmodule = 'Leads'\nfields = ['Xyzzy']\n")
    [found] = checked(Zoho(error, {"Leads": error}), given)
    assert found.fields is None
    assert len(found.warnings) == 2
    assert all("goes on unchecked" in warning for warning in found.warnings)
    assert all(error.code in warning for warning in found.warnings)


def test_no_fields_told_is_a_warning(tmp_path: Path) -> None:
    """Some modules have no metadata (204): said, and unchecked."""
    given = settings(tmp_path, "[[exports]]\nmodule = 'Leads'\nfields = ['Xyzzy']\n")
    [found] = checked(Zoho(fields={}), given)
    assert found.fields is None
    assert found.warnings == ("export Leads goes on unchecked: Zoho tells no fields of Leads",)


def test_a_service_in_trouble_is_no_answer(tmp_path: Path) -> None:
    """What another try may tell is not taken as unknown: nothing is created unchecked for that."""
    given = settings(tmp_path, "[[exports]]\nmodule = 'Leads'\n")
    with pytest.raises(ServerError):
        checked(Zoho(ServerError()), given)
