"""The org: its modules together, and what the metadata tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bulkfetch.sandbox.org import standard, values
from bulkfetch.sandbox.org.columns import OrgView, all_columns, column_of, values_of
from bulkfetch.sandbox.org.specs import FieldSpec, ModuleSpec
from bulkfetch.sandbox.org.standard import USERS
from bulkfetch.sandbox.org.store import Deletion, RecordStore
from bulkfetch.sandbox.org.values import ORG_ZONE, Zones, stamp

KEPT_IN_BIN_S = 60 * 86_400.0
KEPT_FOR_GOOD_S = 120 * 86_400.0
_USER = {"id": "5725767000000411001", "name": "Patricia Boyle"}
_JSON_TYPES = {
    "number": "double", "boolean": "boolean", "lookup": "jsonobject", "refused": "jsonarray",
}  # fmt: skip


class Org:
    """All modules of one sandbox. `records` and `events` are how many a module has by default.

    Queries see it as it was `lag_s` ago.
    """

    def __init__(
        self,
        told: Mapping[str, ModuleSpec],
        seed: int,
        records: int,
        events: int,
        lag_s: float = 0.0,
    ) -> None:
        self._lag_s = lag_s
        names = dict.fromkeys((*standard.NAMES, *told, USERS))
        self.specs = {name: standard.merged(name, told.get(name)) for name in names}
        sizes = {
            name: (events if name == "Events" else records)
            if spec.records is None
            else spec.records
            for name, spec in self.specs.items()
        }
        self.stores = {
            name: RecordStore(
                name, spec, seed, sizes[name], lambda parent: sizes.get(parent, 0), lag_s > 0
            )
            for name, spec in self.specs.items()
        }

    def view(self) -> OrgView:
        """Return how everything is now; it does not change any more."""
        return {name: store.view() for name, store in self.stores.items()}

    def query_view(self, now: float) -> OrgView:
        """Return what a query sees at a time (seconds since 1970)."""
        if not self._lag_s:
            return self.view()
        return {name: store.view_at(now - self._lag_s) for name, store in self.stores.items()}

    def store(self, module: str) -> RecordStore:
        """Return a module's records. Raises KeyError."""
        if module not in self.stores:
            raise KeyError(f"the sandbox has no module {module}")
        return self.stores[module]

    def known(self, module: str) -> bool:
        """Say whether the outside knows a module."""
        return module in self.stores and module != USERS

    def rows(self, module: str, fields: Sequence[str] | None, zones: Zones) -> list[dict[str, str]]:
        """Return the records as they are now, each as a reader of its CSV would have it."""
        org, view = self.view(), self.store(module).view()
        columns = all_columns(org, module)
        if fields is not None:
            columns = [column_of(org, module, name) for name in dict.fromkeys(("Id", *fields))]
        found = []
        for block in view.blocks:
            numbers = view.numbers(block)
            if numbers:
                made = (
                    values.texts(each.spec, values_of(org, module, each, block), zones)
                    for each in columns
                )
                names = [each.name for each in columns]
                found += [dict(zip(names, row, strict=True)) for row in zip(*made, strict=True)]
        return found

    def modules_told(self) -> list[dict[str, Any]]:
        """Return what the metadata tells of the modules."""
        return [
            {
                "id": str(values.id_base(name)),
                "api_name": name,
                "module_name": name,
                "singular_label": name.removesuffix("s"),
                "plural_label": name,
                "api_supported": spec.api_supported,
                "viewable": True,
                "visible": True,
                "creatable": True,
                "editable": True,
                "deletable": True,
                "generated_type": spec.generated_type,
                "status": "visible",
                "show_as_tab": spec.exportable,
                "sequence_number": number,
            }
            for number, (name, spec) in enumerate(self.specs.items(), 1)
            if name != USERS
        ]

    def fields_told(self, module: str) -> list[dict[str, Any]]:
        """Return what the metadata tells of a module's fields. Raises KeyError."""
        return [
            _field_told(module, spec) for spec in self.store(module).fields.values() if spec.listed
        ]

    def deleted_told(
        self, module: str, kind: str, since_s: float | None, now: float
    ) -> list[dict[str, Any]]:
        """Return the deletions that are still known, the latest first. Raises KeyError."""
        return [
            _deletion_told(each)
            for each in reversed(self.store(module).deletions)
            if (kind == "all" or each.permanent == (kind == "permanent"))
            and (since_s is None or int(each.at_s) >= since_s)
            and now - each.at_s <= (KEPT_FOR_GOOD_S if each.permanent else KEPT_IN_BIN_S)
        ]


def _deletion_told(deletion: Deletion) -> dict[str, Any]:
    return {
        "deleted_by": _USER,
        "id": str(deletion.record_id),
        "display_name": deletion.name,
        "type": "permanent" if deletion.permanent else "recycle",
        "created_by": _USER,
        "deleted_time": stamp(deletion.at_s, ORG_ZONE),
    }


def _field_told(module: str, spec: FieldSpec) -> dict[str, Any]:
    kind = values.class_of(spec)
    name = "id" if spec.api_name == "Id" else spec.api_name
    json_type = "integer" if spec.data_type == "integer" else _JSON_TYPES.get(kind, "string")
    told: dict[str, Any] = {
        "id": str(values.id_base(f"{module}.{name}")),
        "api_name": name,
        "field_label": name.replace("_", " "),
        "display_label": name.replace("_", " "),
        "data_type": spec.data_type,
        "json_type": json_type,
        "length": spec.length,
        "decimal_place": spec.decimal_place if spec.data_type in ("double", "currency") else None,
        "visible": spec.visible and name != "id",
        "virtual_field": spec.data_type in ("formula", "rollup_summary"),
        "custom_field": spec.custom,
        "read_only": name in ("id", "Created_Time", "Modified_Time"),
        "system_mandatory": name == "Last_Name",
        "pick_list_values": [
            {"display_value": value, "actual_value": value} for value in spec.values
        ],
        "lookup": {},
        "formula": {},
    }
    if spec.module is not None and spec.module != USERS:
        told["lookup"] = {
            "module": {"api_name": spec.module, "id": str(values.id_base(spec.module))}
        }
    if spec.data_type == "formula":
        told["formula"] = {"return_type": spec.returns, "expression": "1+1"}
    return told
