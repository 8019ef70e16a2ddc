"""How Parquet files are made: `[parquet]` of jobs.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bulkfetch.config import fields as kinds
from bulkfetch.config.tables import Table, setting

_MODULE = "{module}"


class ParquetSettings(Table):
    """How the columns of Parquet files are typed, and how large their row groups are.

    `fields` is where the answers of GET /settings/fields are, `{module}` in it the module's name;
    exports ask for them.
    """

    types: Literal["text", "fields"] = setting(
        "text", "Columns are text, or what Zoho's metadata in `fields` says, where that is exact."
    )
    fields: kinds.SomePath | None = setting(
        None, 'Such as "fields/{module}.json": what GET settings/fields answers for each module.'
    )
    row_group_bytes: kinds.Size = setting(
        64 * 1024**2, "Of cells in memory, for each file that is made; less makes larger files."
    )

    def fields_of(self, module: str) -> Path | None:
        """Return where a module's fields are; None where columns are text."""
        if self.types == "text" or self.fields is None:
            return None
        return Path(str(self.fields).replace(_MODULE, module))
