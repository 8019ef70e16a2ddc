"""Which scopes a call wants. Pure."""

from __future__ import annotations

_SETTINGS = ("modules", "fields")
_READS = ("READ", "ALL")


def allowed(kind: str, module: str | None, scope: str) -> bool:
    """Say whether `scope` (several with commas) lets a call of a kind be made for a module.

    `module` None: one that is not known, such as that of a job that does not exist.
    """
    given = set(scope.replace(" ", "").split(","))
    if kind == "token":
        return True
    if kind in _SETTINGS:
        names = (f"settings.{kind}", "settings")
        return any(f"ZohoCRM.{name}.{right}" in given for name in names for right in _READS)
    bulk = bool(given & {"ZohoCRM.bulk.read", "ZohoCRM.bulk.READ", "ZohoCRM.bulk.ALL"})
    names = ("modules", f"modules.{module}")
    records = any(f"ZohoCRM.{name}.{right}" in given for name in names for right in _READS)
    if kind == "create":
        return bulk and records
    if kind in ("status", "result"):
        return bulk or records
    return records
