"""Whether an export fits what Zoho says of its module: before a credit is spent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bulkfetch.config import Export
from bulkfetch.config.criteria import Criterion, each_criterion
from bulkfetch.config.misfit import Misfit, nearest
from bulkfetch.exports.comparators import LOOKUPS, is_placeholder, kind_of

if TYPE_CHECKING:
    from bulkfetch.control.responses import Module, ModuleField

# The columns of other modules by the modules' names.
Parents = Mapping[str, "Sequence[ModuleField]"]

# Left out of bulk reads by Zoho's documents, or refused by it in practice.
REFUSED_MODULES = frozenset(
    {"Notes", "Attachments", "Emails", "CTI_Entry", "Email_Analytics", "Email_Sentiment"}
    | {"Email_Template_Analytics", "Functions__s", "Locking_Information__s"}
)
REFUSED_TYPES = frozenset({"fileupload", "multiselectlookup"})
_REFUSED_FIELDS = frozenset(
    {("Calls", "CTI_Entry"), ("Cases", "Comments"), ("Events", "Participants")}
    | {("Price_Books", "Pricing_Details"), ("Solutions", "Comments")}
)
_WITH_ITEMS = frozenset({"Quotes", "Sales_Orders", "Purchase_Orders", "Invoices"})
# A module of thousands of fields is told of by the command that lists them.
_SHOWN = 12


def find_module(export: Export, modules: Sequence[Module]) -> Module:
    """Return the module of an export. Raises Misfit where it cannot be exported."""
    found = next((module for module in modules if module.api_name == export.module), None)
    if found is None:
        names = [module.api_name for module in modules if can_export(module)]
        raise Misfit(
            f"names no module of this account: {export.module}",
            ("module",),
            hint=_meant(export.module, names, "`bulkfetch modules` lists them."),
        )
    if not can_export(found):
        raise Misfit(
            f"names a module that Zoho does not export: {export.module}",
            ("module",),
            hint="`bulkfetch modules` lists those that it does.",
        )
    return found


def can_export(module: Module) -> bool:
    """Return whether a module can be read in bulk, as far as that is known."""
    return module.api_supported and module.api_name not in REFUSED_MODULES


def is_refused(module: str, field: ModuleField) -> bool:
    """Return whether Zoho refuses to export a field, as far as that is known."""
    return (
        field.data_type in REFUSED_TYPES
        or (module, field.api_name) in _REFUSED_FIELDS
        or (module in _WITH_ITEMS and field.api_name.endswith("_Items"))
    )


def check_export(
    export: Export, fields: Sequence[ModuleField] | None, parents: Parents | None = None
) -> None:
    """Raise Misfit where an export does not fit the fields of its module.

    `fields` None, or empty: nothing is known, and nothing checked. `parents` are the fields of the
    modules that lookups lead to; where one is not there, what is behind the lookup is unchecked.
    """
    if not fields:
        return
    known = {field.api_name: field for field in fields}
    for key, name in (("sync", "Modified_Time"), ("split", "Created_Time")):
        if name not in known and _needs(export, name):
            raise Misfit(
                f"needs a field {name}, and {export.module} has none",
                (key,),
                hint="Export it in full, and in one chain: remove this key.",
            )
    for place, name in enumerate(export.fields or ()):
        found = _find(export.module, name, ("fields", place), known, parents or {})
        if found is not None and is_refused(export.module, found):
            raise Misfit(
                f"names a field that Zoho does not export: {name} ({found.data_type})",
                ("fields", place),
                hint="Remove it from the list.",
            )
    if export.criteria is not None:
        for criterion in each_criterion(export.criteria):
            _check_criterion(export.module, criterion, known, parents or {})


def parents_of(export: Export, fields: Iterable[ModuleField]) -> Iterator[str]:
    """Yield the modules that dotted fields of an export lead into, each once."""
    names = [*(export.fields or ())]
    names += [criterion.field for criterion in each_criterion(export.criteria or {"group": ()})]
    heads = {name.partition(".")[0] for name in names if "." in name}
    # Of users, to whom the other lookups lead, no metadata of this kind is told.
    lookups = (field for field in fields if field.data_type == "lookup" and field.api_name in heads)
    yield from dict.fromkeys(field.lookup_module for field in lookups if field.lookup_module)


def _needs(export: Export, name: str) -> bool:
    if name == "Created_Time":
        return export.split > 1
    return export.sync == "changes" or export.since is not None


def _find(
    module: str,
    name: str,
    path: tuple[str | int, ...],
    known: Mapping[str, ModuleField],
    parents: Parents,
) -> ModuleField | None:
    """Return the field of a name; None where it cannot be told. Raises Misfit for an unknown."""
    head, _, rest = name.partition(".")
    # What begins with a dollar is of the system: no metadata lists it.
    if head.startswith("$") or name in ("id", "Id"):
        return None
    if (found := known.get(head)) is None:
        raise Misfit(
            f"names no field of {module}: {head}",
            path,
            hint=_meant(head, known, "`bulkfetch fields` lists them."),
        )
    if not rest:
        return found
    if found.data_type not in LOOKUPS:
        raise Misfit(
            f"leads into a field that is no lookup: {name} ({head} is {found.data_type})",
            path,
            hint=f"Write {head} alone.",
        )
    behind = parents.get(found.lookup_module or "")
    if not behind:
        return None
    return _find(
        found.lookup_module or "", rest, path, {each.api_name: each for each in behind}, {}
    )


def _check_criterion(
    module: str, criterion: Criterion, known: Mapping[str, ModuleField], parents: Parents
) -> None:
    path = ("criteria", *criterion.path)
    field = _find(module, criterion.field, (*path, "field"), known, parents)
    kind = None if field is None else kind_of(field.data_type, field.formula_type)
    if field is None or kind is None:
        return
    if criterion.comparator not in kind.comparators:
        raise Misfit(
            f"{criterion.comparator!r} does not go with {criterion.field} ({field.data_type})",
            (*path, "comparator"),
            hint=f"Available: {', '.join(kind.comparators)}.",
        )
    values = criterion.value if isinstance(criterion.value, list) else [criterion.value]
    if not all(is_placeholder(value) or kind.fits(value) for value in values):
        raise Misfit(
            f"must be {kind.should} for {criterion.field} ({field.data_type})", (*path, "value")
        )


def _meant(word: str, known: Iterable[str], otherwise: str) -> str:
    known = sorted(known)
    by_lower = {name.lower(): name for name in known}
    like = nearest(word.lower().replace(" ", "_"), by_lower)
    if like is not None:
        return f'did you mean "{by_lower[like]}"?'
    if len(known) <= _SHOWN:
        return f"Available: {', '.join(known)}."
    return otherwise
