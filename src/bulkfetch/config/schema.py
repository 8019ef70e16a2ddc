"""The JSON Schemas of jobs.toml and FLEET.toml, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from bulkfetch.config.fleet import FleetTables
from bulkfetch.config.settings import Tables
from bulkfetch.config.tables import Table
from bulkfetch.sandbox import SandboxOptions


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of jobs.toml, that of [sandbox] included.

    It says what single keys must be; what must fit together, only `load_settings` can tell.
    """
    schema = _schema_of(_File, "jobs.toml of bulkfetch")
    return {**schema, "not": {"required": ["account", "accounts"]}}


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema of FLEET.toml; what must fit together, only `load_fleet` can tell."""
    return _schema_of(FleetTables, "FLEET.toml of bulkfetch")


def _schema_of(tables: type[Table], title: str) -> dict[str, Any]:
    made = TypeAdapter(tables).json_schema(schema_generator=_Generator)
    return {"$schema": _Generator.schema_dialect, **made, "title": title}


class _File(Tables):
    """Everything that bulkfetch can be told in a file."""

    sandbox: SandboxOptions | None = None  # type: ignore[assignment]  # as the schema tells it


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which repeat the keys, and null, which TOML cannot say."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default") is None or isinstance(made["default"], dict):
            made.pop("default", None)  # that of a table is told key by key
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        return {"additionalProperties": False, **made} if "patternProperties" in made else made
