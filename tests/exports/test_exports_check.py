"""Exports that do not fit their module are told before a credit is spent."""

from __future__ import annotations

from typing import Any

import pytest

from bulkfetch.config import Export
from bulkfetch.config.misfit import Misfit
from bulkfetch.control.responses import Module, ModuleField
from bulkfetch.exports.check import check_export, find_module, is_refused, parents_of
from bulkfetch.exports.comparators import kind_of

MODULES = [
    Module(name, api_supported=True)
    for name in ("Leads", "Contacts", "Deals", "Sales_Orders", "Emails", "CTI_Entry")
] + [Module("Social")]
FIELDS = [
    ModuleField("Last_Name", "text"),
    ModuleField("Lead_Source", "picklist"),
    ModuleField("No_of_Employees", "integer"),
    ModuleField("Annual_Revenue", "currency"),
    ModuleField("Closing_Date", "date"),
    ModuleField("Email_Opt_Out", "boolean"),
    ModuleField("Owner", "ownerlookup"),
    ModuleField("Account_Name", "lookup", lookup_module="Accounts"),
    ModuleField("Score", "formula", formula_type="double"),
    ModuleField("Attached", "fileupload"),
    ModuleField("Odd", "rollup_summary"),
    ModuleField("Created_Time", "datetime"),
    ModuleField("Modified_Time", "datetime"),
]
ACCOUNTS = [ModuleField("Phone", "phone"), ModuleField("Owner", "ownerlookup")]
WHEN = "2026-09-30T02:00:01+00:00"


def leads(**given: Any) -> Export:
    return Export(module="Leads", **given)


def compared(field: str, comparator: str, value: Any) -> Export:
    return leads(criteria={"field": field, "comparator": comparator, "value": value})


def misfit(export: Export, **given: Any) -> Misfit:
    with pytest.raises(Misfit) as caught:
        check_export(export, given.pop("fields", FIELDS), {"Accounts": ACCOUNTS} | given)
    return caught.value


def test_a_module_is_found_or_the_nearest_told() -> None:
    """An unknown module is told with the nearest; one that is not exported, as such."""
    assert find_module(leads(), MODULES).api_name == "Leads"
    for word, meant in (("Lead", "Leads"), ("leads", "Leads"), ("Salesorders", "Sales_Orders")):
        with pytest.raises(Misfit, match="names no module") as caught:
            find_module(Export(module=word), MODULES)
        assert caught.value.path == ("module",)
        assert caught.value.advice == f'did you mean "{meant}"?'
    with pytest.raises(Misfit) as caught:
        find_module(Export(module="Xyzzy"), MODULES)
    assert caught.value.advice == "Available: Contacts, Deals, Leads, Sales_Orders."
    for word in ("Emails", "CTI_Entry", "Social"):
        with pytest.raises(Misfit, match="does not export"):
            find_module(Export(module=word), MODULES)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Last_Nam", 'did you mean "Last_Name"?'),
        ("last_name", 'did you mean "Last_Name"?'),
        ("Xyzzy", "`bulkfetch fields` lists them."),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest(name: str, advice: str) -> None:
    """In the list of fields and in criteria alike."""
    found = misfit(leads(fields=["Last_Name", name]))
    assert (found.sentence, found.path) == (f"names no field of Leads: {name}", ("fields", 1))
    assert found.advice == advice
    found = misfit(compared(name, "equal", "x"))
    assert (found.path, found.advice) == (("criteria", "field"), advice)


def test_a_dotted_field_leads_into_the_parent() -> None:
    """What stands behind a lookup is checked where the parent's fields are at hand, else not."""
    good = leads(fields=["Account_Name.Phone", "Owner.last_name", "$converted", "Id"])
    check_export(good, FIELDS, {"Accounts": ACCOUNTS})
    check_export(leads(fields=["Account_Name.Whatever"]), FIELDS)
    found = misfit(leads(fields=["Account_Name.Fone"]))
    assert found.sentence == "names no field of Accounts: Fone"
    assert found.advice == 'did you mean "Phone"?'
    found = misfit(leads(fields=["Last_Name.x"]))
    assert "no lookup: Last_Name.x (Last_Name is text)" in found.sentence
    assert list(parents_of(good, FIELDS)) == ["Accounts"]


@pytest.mark.parametrize(
    ("field", "comparator", "value", "allowed"),
    [
        ("Last_Name", "greater_than", "x", "contains"),
        ("Lead_Source", "between", ["a", "b"], "starts_with"),
        ("No_of_Employees", "contains", "1", "less_equal"),
        ("Closing_Date", "starts_with", "2026", "between"),
        ("Email_Opt_Out", "not_equal", True, "equal."),
        ("Owner", "starts_with", "5", "not_in"),
        ("Score", "contains", "5", "greater_than"),
        ("Account_Name.Phone", "less_than", "5", "contains"),
    ],
)
def test_a_comparator_goes_with_its_type(
    field: str, comparator: str, value: Any, allowed: str
) -> None:
    """A comparator that the field's type does not take is told with those that it does."""
    found = misfit(compared(field, comparator, value))
    assert f"'{comparator}' does not go with {field}" in found.sentence
    assert found.path == ("criteria", "comparator")
    assert found.advice.startswith("Available: ")
    assert allowed in found.advice


@pytest.mark.parametrize(
    ("field", "comparator", "value"),
    [
        ("Last_Name", "equal", 5),
        ("No_of_Employees", "greater_than", "many"),
        ("No_of_Employees", "equal", True),
        ("Closing_Date", "equal", WHEN),
        ("Modified_Time", "greater_than", "2026-09-30"),
        ("Email_Opt_Out", "equal", "true"),
        ("Owner", "in", ["554023000000568002", "Boyle"]),
    ],
)
def test_a_value_goes_with_its_type(field: str, comparator: str, value: Any) -> None:
    """A value of another kind than the field is told with what it must be."""
    found = misfit(compared(field, comparator, value))
    assert found.sentence.startswith("must be ")
    assert f"for {field} (" in found.sentence
    assert found.path == ("criteria", "value")


@pytest.mark.parametrize(
    ("field", "comparator", "value"),
    [
        ("Last_Name", "contains", "x"),
        ("Lead_Source", "in", ["Web", "${EMPTY}"]),
        ("No_of_Employees", "greater_equal", 5),
        ("Annual_Revenue", "less_than", 0.5),
        ("No_of_Employees", "in", ["9223372036854775807", 1]),
        ("Closing_Date", "between", ["2026-01-01", "2026-12-31"]),
        ("Modified_Time", "not_between", [WHEN, WHEN]),
        ("Email_Opt_Out", "equal", False),
        ("Owner", "equal", "${EMPTY}"),
        ("Account_Name", "in", ["554023000000568002"]),
        ("Score", "greater_than", 5),
        ("Odd", "between", [1, 2]),
        ("$converted", "equal", False),
        ("Id", "not_equal", "5"),
    ],
)
def test_what_zoho_takes_passes(field: str, comparator: str, value: Any) -> None:
    """Each type with its comparators; what nobody has told of is left to Zoho."""
    check_export(compared(field, comparator, value), FIELDS)


def test_a_criterion_is_told_by_its_place_in_the_groups() -> None:
    """The path leads through nested groups to the very criterion."""
    good = {"field": "Last_Name", "comparator": "equal", "value": "x"}
    bad = {"field": "Last_Name", "comparator": "between", "value": ["x", "y"]}
    inner = {"group_operator": "or", "group": [good, bad]}
    found = misfit(leads(criteria={"group_operator": "and", "group": [good, inner]}))
    assert found.path == ("criteria", "group", 1, "group", 1, "comparator")


def test_changes_and_splits_need_their_times() -> None:
    """sync = "changes" needs Modified_Time, split needs Created_Time."""
    without = [field for field in FIELDS if not field.api_name.endswith("_Time")]
    found = misfit(leads(sync="changes"), fields=without)
    assert (found.path, found.sentence) == (
        ("sync",),
        "needs a field Modified_Time, and Leads has none",
    )
    found = misfit(leads(split=2), fields=without)
    assert found.path == ("split",)
    assert "Created_Time" in found.sentence
    check_export(leads(), without)
    check_export(leads(sync="changes", split=2), FIELDS)


def test_fields_that_zoho_refuses_are_told() -> None:
    """Files, multi-select lookups and some columns of standard modules are not exported."""
    found = misfit(leads(fields=["Attached"]))
    assert found.sentence == "names a field that Zoho does not export: Attached (fileupload)"
    items = ModuleField("Ordered_Items", "subform")
    assert is_refused("Sales_Orders", items)
    assert not is_refused("Leads", items)
    assert is_refused("Cases", ModuleField("Comments", "textarea"))


def test_nothing_known_is_nothing_checked() -> None:
    """Without metadata an export passes: Zoho has the last word."""
    export = leads(fields=["Xyzzy"], sync="changes", split=2)
    check_export(export, None)
    check_export(export, [])


def test_kinds_of_types() -> None:
    """A formula is what it returns; types that nobody has told of have no rules."""
    assert kind_of("formula", "string") == kind_of("text", None)
    assert kind_of("formula", None) is None
    assert kind_of("RRULE", None) is None
