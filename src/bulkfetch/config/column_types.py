"""Which columns of a table are more than text, by what Zoho says of a module's fields.

Only types of which every value is told exactly by its text are taken. Ids, lookups, owners,
numbers that are names (autonumber, phone), picklists and formulas stay text: their text is what
the service wrote, and what it says of them is not always so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bulkfetch.errors import ConfigError
from bulkfetch.models import ColumnType

# From `data_type` in the answer of GET /settings/fields [OpenAPI of v8; SDK 7.0.0].
_TYPES: Final[Mapping[str, ColumnType]] = {
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
    "integer": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
}


def column_types(data_types: Mapping[str, str]) -> dict[str, ColumnType]:
    """Return the types of a module's columns by their names, given Zoho's types of its fields."""
    return {name: _TYPES[given] for name, given in data_types.items() if given in _TYPES}


def read_column_types(path: Path) -> dict[str, ColumnType]:
    """Return the types of a module's columns from a file: an answer of GET /settings/fields.

    Raises ConfigError for a file that cannot be read or is something else.
    """
    hint = "It must be the JSON that Zoho answers to GET /crm/v8/settings/fields?module=…"
    try:
        fields = json.loads(path.read_bytes())["fields"]
        data_types = {str(field["api_name"]): str(field["data_type"]) for field in fields}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint=hint) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{path}: holds no fields of a module", hint=hint) from None
    return column_types(data_types)
