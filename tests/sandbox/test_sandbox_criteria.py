"""Criteria: what they find, and what they are refused for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.sandbox import FieldSpec, ModuleSpec
from bulkfetch.sandbox.org.criteria import COMPARATORS, read_criteria
from bulkfetch.sandbox.org.org import Org
from bulkfetch.sandbox.org.query import OrgQuery, read_query
from bulkfetch.sandbox.org.refusal import BadCreate
from bulkfetch.sandbox.org.table import select
from bulkfetch.sandbox.org.values import class_of, id_of

ORG = Org({"Leads": ModuleSpec(fields=(FieldSpec("Size", "bigint"),))}, 0, 120, 30)
VIEW = ORG.view()
ROWS = {module: ORG.rows(module, None, "utc") for module in ("Leads", "Contacts", "Deals", "Tasks")}

FIRST_ACCOUNT = id_of("Accounts", 0)


def asked(module: str, criteria: Any, **more: Any) -> OrgQuery:
    body = {"query": {"module": {"api_name": module}, "criteria": criteria, **more}}
    return read_query(body, 8.0, VIEW, ORG.specs, 10)


def found(module: str, criteria: Any, **more: Any) -> list[str]:
    """Return the ids that criteria find."""
    selection = select(VIEW, module, asked(module, criteria, **more).conditions)
    return [str(id_of(module, n)) for _, numbers in selection.spans for n in numbers]


def one(field: str, comparator: str, value: Any) -> dict[str, Any]:
    return {"field": {"api_name": field}, "comparator": comparator, "value": value}


def refusal(module: str, criteria: Any, **more: Any) -> tuple[str, Any]:
    with pytest.raises(BadCreate) as caught:
        asked(module, criteria, **more)
    return caught.value.code, caught.value.details


def having(module: str, field: str, test: Callable[[str], bool]) -> list[str]:
    return [row["Id"] for row in ROWS[module] if test(row[field])]


moment = datetime.fromisoformat
LOW, HIGH = "2022-03-01T10:00:00+05:30", "2024-01-01T00:00:00Z"
CASES = [
    ("Leads", one("City", "equal", "malmö"), "City", lambda v: v == "Malmö"),
    ("Leads", one("City", "not_equal", "Malmö"), "City", lambda v: v != "Malmö"),
    ("Leads", one("City", "in", ["Malmö", "東京"]), "City", lambda v: v in ("Malmö", "東京")),
    ("Leads", one("City", "not_in", ["Malmö"]), "City", lambda v: v != "Malmö"),
    ("Leads", one("City", "equal", "${EMPTY}"), "City", lambda v: not v),
    ("Leads", one("City", "not_equal", "${EMPTY}"), "City", lambda v: v),
    ("Leads", one("City", "in", ["${EMPTY}", "Austin"]), "City", lambda v: v in ("", "Austin")),
    ("Leads", one("City", "contains", "ür"), "City", lambda v: "ür" in v),
    ("Leads", one("City", "not_contains", "ür"), "City", lambda v: "ür" not in v),
    ("Leads", one("City", "starts_with", "m"), "City", lambda v: v.startswith(("M", "m"))),
    ("Leads", one("City", "ends_with", "n"), "City", lambda v: v.endswith("n")),
    ("Leads", one("Email_Opt_Out", "equal", True), "Email_Opt_Out", lambda v: v == "true"),
    ("Leads", one("Size", "greater_than", 5 * 10**13), "Size", lambda v: v and int(v) > 5 * 10**13),
    (
        "Leads",
        one("Annual_Revenue", "less_equal", "400000.5"),
        "Annual_Revenue",
        lambda v: v and float(v) <= 400000.5,
    ),
    ("Leads", one("No_of_Employees", "equal", "${EMPTY}"), "No_of_Employees", lambda v: not v),
    (
        "Leads",
        one("Created_Time", "between", [LOW, HIGH]),
        "Created_Time",
        lambda v: moment(LOW) <= moment(v) <= moment(HIGH),
    ),
    (
        "Leads",
        one("Created_Time", "less_than", HIGH),
        "Created_Time",
        lambda v: moment(v) < moment(HIGH),
    ),
    (
        "Contacts",
        one("Date_of_Birth", "not_between", ["2022-01-01", "2023-12-31"]),
        "Date_of_Birth",
        lambda v: not "2022-01-01" <= v <= "2023-12-31",
    ),
    (
        "Contacts",
        one("Account_Name", "equal", str(FIRST_ACCOUNT)),
        "Account_Name",
        lambda v: v == str(FIRST_ACCOUNT),
    ),
    ("Contacts", one("Account_Name", "equal", "${EMPTY}"), "Account_Name", lambda v: not v),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "criteria", "field", "test"),
    CASES,
    # A function's text has its address, which differs in every process.
    ids=lambda v: "" if callable(v) else str(v)[:60],
)
def test_a_criterion_finds_the_records_that_pass(
    module: str, criteria: Any, field: str, test: Callable[[str], bool]
) -> None:
    """Each comparator agrees with a look at every record, and leaves some out and some in."""
    expected = having(module, field, test)
    assert found(module, criteria) == expected
    assert 0 < len(expected) < len(ROWS[module])


def test_a_dotted_criterion_looks_at_the_parent() -> None:
    """Owner.last_name compares what the owner is called."""
    names = {row["Id"]: row["last_name"] for row in ORG.rows("users", None, "utc")}
    name = next(iter(names.values()))
    expected = having("Leads", "Owner", lambda owner: names[owner] == name)
    assert found("Leads", one("Owner.last_name", "equal", name)) == expected
    assert 0 < len(expected) < len(ROWS["Leads"])


def test_groups_are_nested_and_a_custom_view_is_added_to_them() -> None:
    """and, or, groups in groups; the criterion of the view must hold too."""
    malmö, austin = one("City", "equal", "Malmö"), one("City", "equal", "Austin")
    out = one("Email_Opt_Out", "equal", True)
    either = {"group_operator": "or", "group": [malmö, austin]}
    both = {"group_operator": "and", "group": [either, out]}
    expected = [
        row["Id"]
        for row in ROWS["Leads"]
        if row["City"] in ("Malmö", "Austin") and row["Email_Opt_Out"] == "true"
    ]
    assert expected
    assert found("Leads", both) == expected
    org = Org({"Leads": ModuleSpec(views={"77": out})}, 0, 120, 30)
    for view_id in ("77", 77):
        body = {"query": {"module": {"api_name": "Leads"}, "cvid": view_id, "criteria": either}}
        query = read_query(body, 8.0, org.view(), org.specs, 10)
        numbers = [
            n for _, each in select(org.view(), "Leads", query.conditions).spans for n in each
        ]
        assert [str(id_of("Leads", n)) for n in numbers] == expected


def test_version_2_names_module_and_fields_plainly() -> None:
    """v2: "module": "Leads" and "api_name" in the criterion itself."""
    criteria = {"api_name": "City", "comparator": "equal", "value": "Malmö"}
    body = {"query": {"module": "Leads", "criteria": criteria}}
    assert read_query(body, 2.0, VIEW, ORG.specs, 10).conditions
    with pytest.raises(BadCreate, match="MANDATORY_NOT_FOUND"):
        read_query(body, 8.0, VIEW, ORG.specs, 10)


CITY = one("City", "equal", "Malmö")
REFUSED = [
    ("CRITERIA_LIMIT_EXCEEDED", {"group_operator": "or", "group": [CITY] * 26}),
    ("VALUE_LIMIT_EXCEEDED_IN_CRITERIA", one("City", "in", ["x"] * 201)),
    ("VALUE_IN_CRITERIA_NOT_SUPPORTED", one("City", "equal", "x" * 256)),
    ("VALUE_IN_CRITERIA_NOT_SUPPORTED", one("Size", "equal", 10**19)),
    ("VALUE_IN_CRITERIA_NOT_SUPPORTED", one("City", "contains", "${EMPTY}")),
    ("VALUE_IN_CRITERIA_NOT_SUPPORTED", one("Created_Time", "equal", "2026-13-01T00:00:00Z")),
    ("VALUE_IN_CRITERIA_NOT_SUPPORTED", one("City", "in", [])),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Created_Time", "equal", "2026-01-01T00:00:00.000Z")),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Created_Time", "equal", "2026-01-01T00:00:00")),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Created_Time", "equal", "2026-01-01")),
    ("VALUE_TYPE_NOT_SUPPORTED", one("City", "equal", 5)),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Size", "equal", "five")),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Size", "equal", True)),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Email_Opt_Out", "equal", "true")),
    ("VALUE_TYPE_NOT_SUPPORTED", one("Owner", "equal", "Boyle")),
    ("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", one("City", "in", "Malmö")),
    ("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", one("City", "equal", ["Malmö"])),
    ("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", one("Created_Time", "between", [HIGH])),
    ("FIELD_IN_CRITERIA_NOT_AVAILABLE", one("Cty", "equal", "Malmö")),
    ("FIELD_IN_CRITERIA_NOT_AVAILABLE", one("City.Name", "equal", "Malmö")),
    ("FIELD_IN_CRITERIA_NOT_SUPPORTED", one("Resume", "equal", "x")),
    ("GROUP_OPERATOR_NOT_SUPPORTED", {"group_operator": "xor", "group": [CITY, CITY]}),
    ("AMBIGUOUS_GROUP_IN_CRITERIA", {"group": [CITY, CITY]}),
    ("AMBIGUOUS_GROUP_IN_CRITERIA", {"group_operator": "and", "group": []}),
    ("AMBIGUOUS_CRITERIA", {**CITY, "group_operator": "and", "group": [CITY, CITY]}),
    ("INVALID_CRITERIA", {"field": {"api_name": "City"}, "comparator": "equal"}),
    ("INVALID_CRITERIA", "City = Malmö"),
]


@pytest.mark.parametrize(("code", "criteria"), REFUSED, ids=lambda v: str(v)[:60])
def test_criteria_are_refused_with_zohos_codes(code: str, criteria: Any) -> None:
    """Every bound and every mismatch has its code."""
    assert refusal("Leads", criteria)[0] == code


def test_what_is_at_the_bounds_is_taken() -> None:
    """25 criteria, 200 values, 255 letters, 19 digits."""
    assert found("Leads", {"group_operator": "or", "group": [CITY] * 25})
    assert found("Leads", one("City", "in", ["Malmö"] * 200))
    assert found("Leads", one("City", "equal", "x" * 255)) == []
    assert found("Leads", one("Size", "less_than", 10**19 - 1))


@pytest.mark.parametrize("field", ["City", "Size", "Created_Time", "Email_Opt_Out", "Owner"])
def test_a_comparator_that_the_type_does_not_take_is_refused_with_those_it_takes(
    field: str,
) -> None:
    """FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED names what is supported."""
    supported = COMPARATORS[class_of(VIEW["Leads"].fields[field])]
    every = {comparator for each in COMPARATORS.values() for comparator in each}
    for comparator in [*sorted(every - set(supported)), "like"]:
        code, details = refusal("Leads", one(field, comparator, "x"))
        assert code == "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED"
        assert details == {"api_name": field, "supported": list(supported)}


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("FIELD_NOT_AVAILABLE", {"fields": ["Last_Nme"]}),
        ("FIELD_NOT_AVAILABLE", {"fields": ["Owner.shoe_size"]}),
        ("FIELD_NOT_SUPPORTED", {"fields": ["Resume"]}),
        ("INVALID_DATA", {"fields": []}),
        ("INVALID_DATA", {"fields": "Last_Name"}),
        ("CVID_NOT_SUPPORTED", {"cvid": "1"}),
        ("REQUEST_BODY_NOT_SUPPORTED", {"sort_by": "Id"}),
        ("MODULE_NOT_AVAILABLE", {"module": {"api_name": "Leds"}}),
        ("MODULE_NOT_AVAILABLE", {"module": {"api_name": "users"}}),
        ("MODULE_NOT_SUPPORTED", {"module": {"api_name": "Notes"}}),
    ],
)
def test_queries_are_refused_with_zohos_codes(code: str, more: dict[str, Any]) -> None:
    """Fields, views, modules and keys that there are not."""
    body = {"query": {"module": {"api_name": "Leads"}, "criteria": CITY, **more}}
    with pytest.raises(BadCreate) as caught:
        read_query(body, 8.0, VIEW, ORG.specs, 10)
    assert caught.value.code == code


def test_too_many_joins_are_refused() -> None:
    """Each lookup that is joined counts once, however many of its fields are asked for."""
    fields = ["Owner.last_name", "Owner.email", "Created_By.last_name"]
    body = {"query": {"module": {"api_name": "Leads"}, "fields": fields}}
    assert len(read_query(body, 8.0, VIEW, ORG.specs, 2).columns) == 4
    with pytest.raises(BadCreate, match="JOIN_LIMIT_EXCEEDED"):
        read_query(body, 8.0, VIEW, ORG.specs, 1)


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("${EMPTY}"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["field", "api_name", "comparator", "value", "group", "group_operator"]
            ),
            inner | st.sampled_from(["City", "equal", "and", "in", "Created_Time", "between"]),
        )
    ),
    max_leaves=12,
)


@given(_ANY)
def test_whatever_is_sent_is_read_or_refused(criteria: Any) -> None:
    """No form of JSON makes the reader fail in another way."""
    with suppress(BadCreate):
        select(VIEW, "Leads", [read_criteria(criteria, VIEW, "Leads")])


@given(st.sampled_from([operator.and_, operator.or_]), st.integers(0, 8), st.integers(0, 8))
def test_a_group_is_the_set_operation_on_its_members(join: Any, left: int, right: int) -> None:
    """and finds what both find, or what either finds."""
    first, second = CASES[left][1], CASES[right][1]
    name = "and" if join is operator.and_ else "or"
    both = found("Leads", {"group_operator": name, "group": [first, second]})
    assert set(both) == join(set(found("Leads", first)), set(found("Leads", second)))
