"""From a table of jobs.toml to a frozen value of which every field has been checked.

A field is given by `setting(check, default)`; its check runs however the value is made, in code or
from a file. What does not fit is told by `Misfit`, with the way to it. (Written here, since what
pydantic does for it takes a tenth of a second of every start.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

from bulkfetch.config.misfit import Misfit
from bulkfetch.config.values import Check

T = TypeVar("T")
C = TypeVar("C", bound="Checked")


def setting(check: Check[T], default: T) -> T:
    """Say what a field must be, and what it is where nothing is said."""
    return field(default=default, metadata={"check": check})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Checked:
    """The base of settings: a class of fields that is made by keywords and does not change.

    Works as a frozen dataclass does, `fields` and `replace` included. Raises Misfit for a field
    that does not pass its check.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    # By hand, once for all: `dataclass` compiles half a dozen methods for each class, which for
    # the settings was a fifteenth of a short run.
    def __init_subclass__(cls) -> None:
        dataclass(init=False, repr=False, eq=False)(cls)

    def __init__(self, **given: Any) -> None:
        for field_ in fields(self):
            if field_.name in given:
                value = given.pop(field_.name)
            elif field_.default_factory is not MISSING:
                value = field_.default_factory()
            elif (value := field_.default) is MISSING:
                raise TypeError(f"{type(self).__name__} needs {field_.name}")
            if (check := field_.metadata.get("check")) is not None:
                value = checked(check, value, field_.name)
            object.__setattr__(self, field_.name, value)
        for name in given:
            raise TypeError(f"{type(self).__name__} has no {name}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the fields against each other."""

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"{name} cannot be set; use dataclasses.replace")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        pairs = zip(fields(self), self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{f.name}={value!r}' for f, value in pairs)})"

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, field_.name) for field_ in fields(self))


def table(kind: type[C]) -> Check[C]:
    """Take a table of these fields, or the value made of one."""

    def check(value: object) -> C:
        if isinstance(value, list):
            raise Misfit("should be one table", hint="Write its heading with single brackets.")
        return value if isinstance(value, kind) else build(kind, value)

    return check


def tables(kind: type[C], name: Check[str]) -> Check[Mapping[str, C]]:
    """Take tables of these fields by their names."""

    def check(value: object) -> Mapping[str, C]:
        return {
            checked(name, key, key): checked(table(kind), item, key)
            for key, item in _mapping(value).items()
        }

    return check


def each(check: Check[T], *, least: int = 0) -> Check[tuple[T, ...]]:
    """Take a list of what the check takes; `least` 1 refuses an empty one."""

    def check_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("should be a list")
        if len(value) < least:
            raise ValueError("is empty")
        return tuple(checked(check, item, place) for place, item in enumerate(value))

    return check_all


def free(value: object) -> Mapping[str, Any]:
    """Take a table whose keys are somebody else's matter."""
    return _mapping(value)


def build(kind: type[C], value: object) -> C:
    """Make a value of a table; of several misfits the first in the file is told. Raises Misfit."""
    known = {field_.name: field_ for field_ in fields(kind)}
    given = {}
    for key, item in _mapping(value).items():
        if key not in known:
            raise Misfit("is unknown", (key,), known=tuple(known))
        given[key] = checked(known[key].metadata["check"], item, key)
    for name, field_ in known.items():
        if name not in given and field_.default is MISSING:
            raise Misfit("is missing", (name,))
    return kind(**given)


def checked(check: Check[T], value: object, part: str | int) -> T:
    """Check what stands under a key or at a place of a list. Raises Misfit that says where."""
    try:
        return check(value)
    except Misfit as inner:
        found = inner.below(part)
    except ValueError as error:
        found = Misfit(str(error), (part,))
    raise found


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("should be a table")
    return value
