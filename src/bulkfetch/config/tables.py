"""The base of settings: frozen pydantic dataclasses whose complaints are ours."""

from __future__ import annotations

from dataclasses import Field, field, fields
from functools import wraps
from typing import Any, ClassVar, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from bulkfetch.config.misfit import misfits

T = TypeVar("T")


def setting(default: T, description: str) -> T:
    """Return a field with its default and its description in the JSON Schema."""
    made: T = field(default=default, metadata={"description": description})
    return made


def fields_of(kind: type[Table], table: Table) -> dict[str, Any]:
    """Return the fields that `kind` has, by name, with the values of a table that has them too."""
    return {each.name: getattr(table, each.name) for each in fields(kind)}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Table:
    """A frozen dataclass made by keywords, of which every field has been checked.

    Works with `dataclasses.fields` and `replace`. Raises Misfit for a field that does not pass its
    check, TypeError for a keyword that there is not or that is missing.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        config = ConfigDict(extra="forbid", hide_input_in_errors=True)
        dataclass(frozen=True, kw_only=True, config=config)(cls)
        made_by_pydantic = cls.__init__

        @wraps(made_by_pydantic)
        def __init__(self: Table, **given: Any) -> None:
            try:
                made_by_pydantic(self, **given)
                return
            except ValidationError as error:
                found = next(misfits(error, cls))
            # Outside of the handler: pydantic's error holds the value.
            if len(found.path) == 1 and found.known is not None:
                raise TypeError(f"{cls.__name__} has no {found.path[0]}")
            if len(found.path) == 1 and found.path[0] not in given:
                raise TypeError(f"{cls.__name__} needs {found.path[0]}")
            raise found

        cls.__init__ = __init__  # type: ignore[assignment, method-assign]
