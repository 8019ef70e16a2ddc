"""The bodies that create pages: those that Zoho's own SDK sends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bulkfetch.config import Export
from bulkfetch.exports.chain import body
from bulkfetch.exports.query import create_body, pages_by_token, query_hash
from bulkfetch.journal import PageRow

# As Zoho's SDK sends them, but for the callback, which bulkfetch has no use for.
GOLDEN = [
    '{"query":{"cvid":5725767000000087501,"criteria":{"group_operator":"and","group":[{"comparator":'
    '"between","field":{"api_name":"Modified_Time"},"value":["2021-02-22T15:39:26+05:30",'
    '"2021-07-20T09:00:00+05:30"]},{"comparator":"equal","field":{"api_name":"$converted"},"value":'
    'false}]},"module":{"api_name":"Leads"},"fields":["Last_Name","Owner.last_name"]}}',
    '{"query":{"criteria":{"comparator":"equal","field":{"api_name":"Last_Name"},"value":"Boyle"},'
    '"module":{"api_name":"Contacts"}}}',
    '{"file_type":"ics","query":{"module":{"api_name":"Events"}}}',
    '{"query":{"page_token":"a4d1c8ff"}}',
]
IST = timezone(timedelta(hours=5, minutes=30))
LEADS = Export(
    module="Leads",
    custom_view="5725767000000087501",
    fields=["Last_Name", "Owner.last_name"],
    criteria={
        "group_operator": "and",
        "group": [
            {
                "field": "Modified_Time",
                "comparator": "between",
                "value": [
                    datetime(2021, 2, 22, 15, 39, 26, tzinfo=IST),
                    datetime(2021, 7, 20, 9, tzinfo=IST),
                ],
            },
            {"field": "$converted", "comparator": "equal", "value": False},
        ],
    },
)
BOYLE = Export(
    module="Contacts", criteria={"field": "Last_Name", "comparator": "equal", "value": "Boyle"}
)
EVENTS = Export(module="Events", file_type="ics")
DEALS = Export(module="Deals")
MODIFIED = {
    "comparator": "greater_equal",
    "field": {"api_name": "Modified_Time"},
    "value": "2026-09-30T02:00:01+00:00",
}
SINCE = datetime(2026, 9, 30, 2, 0, 1, 999_999, tzinfo=UTC)


def page_body(version: str, page: PageRow) -> dict[str, Any]:
    """Return the body that creates a page of an export of deals."""
    return body([create_body(DEALS, version)], page)


@pytest.mark.parametrize(
    ("sent", "golden"),
    [
        (create_body(LEADS, "v8"), GOLDEN[0]),
        (create_body(BOYLE, "v8"), GOLDEN[1]),
        (create_body(EVENTS, "v8"), GOLDEN[2]),
        (page_body("v8", PageRow(0, 1, 2, token="a4d1c8ff")), GOLDEN[3]),
    ],
    ids=["criteria", "one criterion", "ics", "token"],
)
def test_bodies_equal_those_of_zohos_sdk(sent: dict[str, Any], golden: str) -> None:
    """What bulkfetch sends is what the official SDK sends."""
    assert json.loads(json.dumps(sent)) == json.loads(golden)


def test_version_2_has_a_form_of_its_own() -> None:
    """There the module is a text, and a criterion has the field's name in itself."""
    third = page_body("v2", PageRow(0, 1, 3))
    assert third == {"query": {"module": "Deals", "page": 3}}
    assert create_body(BOYLE, "v2")["query"]["criteria"] == {
        "api_name": "Last_Name",
        "comparator": "equal",
        "value": "Boyle",
    }
    criteria = create_body(LEADS, "v2")["query"]["criteria"]
    assert [each["api_name"] for each in criteria["group"]] == ["Modified_Time", "$converted"]
    assert create_body(BOYLE, "v2.1")["query"]["module"] == {"api_name": "Contacts"}


@pytest.mark.parametrize(
    ("version", "by_token"),
    [("v2", False), ("v2.1", False), ("v6", False), ("v7", True), ("v8", True), ("v10", True)],
)
def test_further_pages_by_version(version: str, by_token: bool) -> None:
    """Up to version 6 pages have numbers; from 7 on a token, alone."""
    assert pages_by_token(version) is by_token
    second = page_body(version, PageRow(0, 1, 2, token="t" if by_token else None))
    if by_token:
        assert second == {"query": {"page_token": "t"}}
    else:
        assert second["query"]["page"] == 2


def test_changes_are_asked_for_from_the_cursor_on() -> None:
    """The cursor is AND-ed to what the user asked, floored to the second: gaps never."""
    assert create_body(DEALS, "v8", since=SINCE)["query"]["criteria"] == MODIFIED
    asked = create_body(BOYLE, "v8", since=SINCE)["query"]["criteria"]
    assert asked == {"group_operator": "and", "group": [BOYLE.criteria, MODIFIED]}
    either = replace(LEADS, criteria={**LEADS.criteria, "group_operator": "or"})  # type: ignore[dict-item]
    asked = create_body(either, "v8", since=SINCE)["query"]["criteria"]
    assert asked == {"group_operator": "and", "group": [either.criteria, MODIFIED]}
    asked = create_body(LEADS, "v8", since=SINCE)["query"]["criteria"]
    assert LEADS.criteria is not None
    assert asked["group"] == [*LEADS.criteria["group"], MODIFIED]
    own = replace(DEALS, since=SINCE)
    assert create_body(own, "v8")["query"]["criteria"] == MODIFIED


def test_ranges_of_a_split_meet_without_overlap() -> None:
    """Each range begins where the one before ends: a record is in exactly one of them."""
    middle = datetime(2026, 1, 1, tzinfo=UTC)
    first = create_body(DEALS, "v8", created=(None, middle))["query"]["criteria"]
    last = create_body(DEALS, "v8", created=(middle, None), since=SINCE)["query"]["criteria"]
    assert (first["comparator"], first["value"]) == ("less_than", "2026-01-01T00:00:00+00:00")
    assert last["group_operator"] == "and"
    modified, created = last["group"]
    assert modified == MODIFIED
    assert created == {**first, "comparator": "greater_equal"}


def test_a_moment_needs_its_offset() -> None:
    """A naive time would be the local one of nobody knows where."""
    with pytest.raises(ValueError, match="offset"):
        create_body(DEALS, "v8", since=datetime(2026, 9, 30))


def test_the_hash_is_of_what_was_asked() -> None:
    """The order of keys and how it is brought make no difference; rows and columns do."""
    turned = dict(reversed(list((BOYLE.criteria or {}).items())))
    same = [
        replace(BOYLE, criteria=turned),
        replace(BOYLE, name="Other", account="a", sync="changes", overlap_s=5.0, split=4),
        replace(BOYLE, sync="changes", deleted=True, full_every_s=60.0),
    ]
    assert {query_hash(each) for each in same} == {query_hash(BOYLE)}
    others = [
        replace(BOYLE, module="Leads"),
        replace(BOYLE, fields=["A"]),
        replace(BOYLE, fields=["A", "B"]),
        replace(BOYLE, custom_view="5"),
        replace(BOYLE, criteria=None),
        replace(BOYLE, since=SINCE),
        replace(BOYLE, criteria={"field": "Last_Name", "comparator": "equal", "value": "boyle"}),
        EVENTS,
        replace(EVENTS, file_type="csv"),
    ]
    assert len({query_hash(each) for each in [BOYLE, *others]}) == len(others) + 1
