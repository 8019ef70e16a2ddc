"""What each job's file is published as, by the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from bulkfetch.config import Settings
from bulkfetch.config.column_types import read_column_types
from bulkfetch.extras import require_extra
from bulkfetch.models import ColumnType, Forms, Job


def require_forms(settings: Settings) -> None:
    """Raise ConfigError where a format cannot be made: no package, no fields of a module.

    The packages are not imported.
    """
    if not any("parquet" in (each.formats or settings.formats) for each in settings.accounts):
        return
    require_extra("parquet", 'formats = ["parquet"] needs', otherwise="; or list other formats")
    for entry in settings.jobs:
        if entry.module is not None:
            _types(settings, entry.module)


def forms_of(settings: Settings, job: Job) -> Forms:
    """Return what a job's table is published as. Raises ConfigError as `require_forms`."""
    formats = settings.formats_of(job.account)
    module = settings.module_of(job) if "parquet" in formats else None
    types = {} if module is None else _types(settings, module)
    return Forms(formats, types, settings.parquet.row_group_bytes)


def forms_of_part(
    settings: Settings, types_of: Callable[[Job], Mapping[str, ColumnType]], job: Job
) -> Forms:
    """Return what a part of an export is published as, given the types of its columns."""
    formats = settings.formats_of(job.account)
    return Forms(formats, types_of(job), settings.parquet.row_group_bytes)


def _types(settings: Settings, module: str) -> Mapping[str, ColumnType]:
    path = settings.parquet.fields_of(module)
    return {} if path is None else _read(path)


_read = cache(read_column_types)
