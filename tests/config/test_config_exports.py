"""[[exports]] of jobs.toml: what is taken, and how each slip is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.slips import require_told

import bulkfetch
from bulkfetch.config import Settings, load_settings
from bulkfetch.config.complaints import about_export
from bulkfetch.config.criteria import normal_criteria
from bulkfetch.config.misfit import Misfit

LEADS = "[[exports]]\nmodule = 'Leads'\n"
ONE = "{field = 'Last_Name', comparator = 'equal', value = 'Boyle'}"


def group(count: int) -> str:
    return f"{LEADS}criteria = {{group_operator = 'or', group = [{', '.join([ONE] * count)}]}}\n"


def criterion(value: str, comparator: str = "equal") -> str:
    return f"{LEADS}criteria = {{field = 'A', comparator = '{comparator}', value = {value}}}\n"


# Text of the file, beginning of the complaint after the file's name, its line, part of the hint.
EXPORT_SLIPS = [
    # keys
    ("[[exports]]\nname = 'Leads'\n", "exports[1].module is missing", 1, ""),
    ("[exports]\nmodule = 'Leads'\n", "exports must be a list of tables", 1, "Write [[exports]]"),
    ("exports = ['Leads']\n", "exports must be a list of tables", 1, 'module = "Leads"'),
    ("[[export]]\nmodule = 'Leads'\n", "unknown key export", 1, 'did you mean "exports"?'),
    ("module = 'Leads'\n", "unknown key module", 1, "in [[exports]]"),
    ("sync = 'changes'\n", "unknown key sync", 1, "in [[exports]]"),
    (f"{LEADS}modul = 'x'\n", "unknown key exports[1].modul", 3, 'did you mean "module"?'),
    (f"{LEADS}cvid = '5'\n", "unknown key exports[1].cvid", 3, 'did you mean "custom_view"?'),
    (f"{LEADS}columns = ['A']\n", "unknown key exports[1].columns", 3, 'did you mean "fields"?'),
    (f"{LEADS}where = 'x'\n", "unknown key exports[1].where", 3, 'did you mean "criteria"?'),
    (f"{LEADS}ids_file = 'x'\n", "unknown key exports[1].ids_file", 3, "at the top"),
    ("[[jobs]]\nid = '5'\nsplit = 2\n", "unknown key jobs[1].split", 3, "in [[exports]]"),
    # values
    ("[[exports]]\nmodule = 5\n", "exports[1].module must be a string", 2, ""),
    ("[[exports]]\nmodule = 'Sales Orders'\n", "exports[1].module must be a", 2, "underscores"),
    ("[[exports]]\nmodule = '../x'\n", "exports[1].module must be a module's API name", 2, ""),
    (f"{LEADS}name = '../Leads'\n", "exports[1].name cannot be a file's", 3, ""),
    (f"{LEADS}name = ''\n", "exports[1].name cannot be a file's name: it is empty", 3, ""),
    ("[[exports]]\nmodule = 'CON'\n", "exports[1].module cannot be a folder's", 2, "Add a name"),
    (f"{LEADS}fields = 'Last_Name'\n", "exports[1].fields must be a list", 3, '["Last_Name"'),
    (f"{LEADS}fields = []\n", "exports[1].fields is empty", 3, "Omit it"),
    (f"{LEADS}fields = ['A', 5]\n", "exports[1].fields[2] must be a field's API name", 3, ""),
    (f"{LEADS}fields = ['Last Name']\n", "exports[1].fields[1] must be a field's API", 3, ""),
    (f"{LEADS}fields = ['A', 'A']\n", "exports[1].fields[2] names A a second time", 3, ""),
    (f"{LEADS}custom_view = 5\n", "exports[1].custom_view must be a string", 3, "in quotes"),
    (f"{LEADS}custom_view = 'All'\n", "exports[1].custom_view must be the id of a", 3, ""),
    (f"{LEADS}sync = 'change'\n", "exports[1].sync must be 'full' or 'changes'", 3, ""),
    (f"{LEADS}overlap = 10\n", "exports[1].overlap must be a duration", 3, ""),
    (f"{LEADS}overlap = '10 x'\n", "exports[1].overlap must be a duration such as", 3, ""),
    (f"{LEADS}full_every = '0d'\n", "exports[1].full_every must be more than 0", 3, ""),
    (f"{LEADS}full_every = '400d'\n", "exports[1].full_every must be at most", 3, ""),
    (f"{LEADS}split = 0\n", "exports[1].split must be at least 1", 3, ""),
    (f"{LEADS}split = 2.0\n", "exports[1].split must be a whole number", 3, "decimal point"),
    (f"{LEADS}deleted = 'yes'\n", "exports[1].deleted must be true or false", 3, ""),
    (f"{LEADS}file_type = 'xlsx'\n", "exports[1].file_type must be 'csv' or 'ics'", 3, ""),
    # criteria
    (f"{LEADS}criteria = 5\n", "exports[1].criteria must be a table", 3, "Such as"),
    (f"{LEADS}criteria = '{{x'\n", "exports[1].criteria must be a table, or Zoho's", 3, ""),
    (f"{LEADS}criteria = {{}}\n", "exports[1].criteria.field is missing", 3, ""),
    (
        f"{LEADS}criteria = {{field = 'A', comparator = 'equal', value = 1, x = 2}}\n",
        "unknown key exports[1].criteria.x",
        3,
        "Available: comparator, field, value",
    ),
    (
        f"{LEADS}[exports.criteria]\nfield = 'A'\noperator = '='\nvalue = 1\n",
        "unknown key exports[1].criteria.operator",
        5,
        'did you mean "comparator"?',
    ),
    (
        f"{LEADS}[exports.criteria]\ngroup_operator = 'or'\n"
        "[[exports.criteria.group]]\nfield = 'A'\ncomparator = 'equal'\nvalue = 1\n"
        "[[exports.criteria.group]]\nfield = 'A'\ncomparator = 'equals'\nvalue = 1\n",
        "exports[1].criteria.group[2].comparator must be a comparator",
        11,
        'mean "equal"?',
    ),
    (
        f"{LEADS}criteria = {{group_operator = 'xor', group = [{ONE}]}}\n",
        "exports[1].criteria.group_operator must be 'and' or 'or'",
        3,
        "",
    ),
    (f"{LEADS}criteria = {{group = [{ONE}]}}\n", "exports[1].criteria.group_operator is", 3, ""),
    (
        f"{LEADS}criteria = {{group_operator = 'or', group = []}}\n",
        "exports[1].criteria.group must be a list of criteria",
        3,
        "",
    ),
    (
        f"{LEADS}criteria = {{group_operator = 'or', group = [{ONE}, 'x']}}\n",
        "exports[1].criteria.group[2] must be a table",
        3,
        "",
    ),
    (criterion("1", "equals"), "exports[1].criteria.comparator must be", 3, 'mean "equal"?'),
    (criterion("1", ">="), "exports[1].criteria.comparator must be", 3, '"greater_equal"?'),
    (criterion("1", "like"), "exports[1].criteria.comparator must be", 3, "Available: equal, "),
    (criterion("[1, 2]"), "exports[1].criteria.value must be one value for equal", 3, '"in"'),
    (criterion("1", "in"), "exports[1].criteria.value must be a list of values for in", 3, ""),
    (criterion("[1]", "between"), "exports[1].criteria.value must be a list of two", 3, ""),
    (criterion("[1, [2]]", "in"), "exports[1].criteria.value[2] must be a text, a", 3, ""),
    (criterion("inf"), "exports[1].criteria.value must be a text, a number", 3, ""),
    (criterion("1" + "0" * 19), "exports[1].criteria.value must be a number of at most 19", 3, ""),
    (criterion(f"'{'x' * 256}'"), "exports[1].criteria.value has 256 characters", 3, "at most 255"),
    (criterion(f"[{'1, ' * 201}]", "in"), "exports[1].criteria.value has 201 values", 3, "200"),
    (group(26), "exports[1].criteria has 26 criteria", 3, "at most 25"),
    (f"{group(25)}sync = 'changes'\n", "exports[1].criteria has 25 criteria", 3, "(1)"),
    (f"{group(24)}split = 2\n", "exports[1].criteria has 24 criteria", 3, "(2)"),
    (
        criterion("'2021-02-22T15:39:26.123+05:30'", "greater_than"),
        "exports[1].criteria.value must be a date-time without milliseconds",
        3,
        "2026-09-30T02:00:01+00:00",
    ),
    (
        criterion("2021-02-22T15:39:26.5Z", "greater_than"),
        "exports[1].criteria.value must be a date-time without milliseconds",
        3,
        "",
    ),
    (
        criterion("['2021-02-22T15:39:26', '2021-02-23T00:00:00Z']", "between"),
        "exports[1].criteria.value[1] must be a date-time with its offset",
        3,
        "",
    ),
    (criterion("2021-02-22T15:39:26"), "exports[1].criteria.value must be a date-time wi", 3, ""),
    (criterion("'2021-02-30T15:39:26Z'"), "exports[1].criteria.value must be a date-time t", 3, ""),
    (criterion("'x'") + "fields = 5\n", "exports[1].fields must be a list", 4, ""),
    # what does not go together
    (f"{LEADS}file_type = 'ics'\n", "exports[1].file_type must be 'csv'", 3, "Only Events"),
    (
        "[[exports]]\nmodule = 'Events'\nfile_type = 'ics'\nfields = ['Subject']\n",
        "exports[1].fields cannot be chosen with file_type",
        4,
        "Remove fields",
    ),
    (f"{LEADS}deleted = true\n", 'exports[1].deleted is for sync = "changes"', 3, "change sync"),
    (f"{LEADS}{LEADS}", "exports[2] (line 3): name 'Leads' is that of the export in line 1", 0, ""),
    (
        f"{LEADS}[[exports]]\nmodule = 'Deals'\nname = 'LEADS'\n",
        "exports[2] (line 3): name 'LEADS' is that of the export in line 1",
        0,
        "another name",
    ),
    (f"{LEADS}account = 'acme'\n", "exports[1] (line 1): unknown account 'acme'", 0, "default"),
    (
        f"[accounts.a]\n[accounts.b]\nenv_prefix = 'B_'\n{LEADS}",
        "exports[1] (line 4): account is missing",
        0,
        "One of a, b",
    ),
]


@pytest.mark.parametrize(
    ("text", "message", "line", "hint"), EXPORT_SLIPS, ids=[f"{s[0]!a:.60}" for s in EXPORT_SLIPS]
)
def test_a_slip_of_an_export_is_told(
    tmp_path: Path, text: str, message: str, line: int, hint: str
) -> None:
    """Whatever is wrong in [[exports]], one sentence leads to the very place."""
    require_told(tmp_path, text, message, line or None, hint)


def read(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "jobs.toml").write_text(text)
    return load_settings(tmp_path / "jobs.toml", {})


def test_an_export_has_its_defaults(tmp_path: Path) -> None:
    """A module's name is enough: everything, in one folder of its name, for the one account."""
    [export] = read(tmp_path, LEADS).exports
    assert export == bulkfetch.Export(module="Leads", account="default")
    assert (export.name, export.account, export.sync) == ("Leads", "default", "full")
    assert (export.overlap_s, export.full_every_s, export.split) == (600.0, None, 1)


def test_every_key_is_read(tmp_path: Path) -> None:
    """What stands in the file arrives, criteria in Zoho's form and durations in seconds."""
    [export] = read(
        tmp_path,
        f"{LEADS}name = 'All leads'\nfields = ['Last_Name', 'Owner.last_name', '$converted']\n"
        f"custom_view = '5725767000000087501'\ncriteria = {ONE}\nsync = 'changes'\n"
        "overlap = '0s'\nfull_every = '7d'\ndeleted = true\nsplit = 3\nfile_type = 'csv'\n",
    ).exports
    assert export.name == "All leads"
    assert export.fields == ("Last_Name", "Owner.last_name", "$converted")
    assert export.custom_view == "5725767000000087501"
    assert export.criteria == {
        "comparator": "equal",
        "field": {"api_name": "Last_Name"},
        "value": "Boyle",
    }
    assert (export.sync, export.deleted, export.split) == ("changes", True, 3)
    assert (export.overlap_s, export.full_every_s) == (0.0, 604_800.0)


def test_criteria_may_be_pasted_as_zoho_has_them(tmp_path: Path) -> None:
    """Short form, tables in Zoho's form, its JSON as a text, and that of version 2 are one."""
    short = f"{LEADS}criteria = {{group_operator = 'and', group = [{ONE}]}}\n"
    tables = (
        f"{LEADS}[exports.criteria]\ngroup_operator = 'and'\n[[exports.criteria.group]]\n"
        "field = {api_name = 'Last_Name', id = '5'}\ncomparator = 'equal'\nvalue = 'Boyle'\n"
    )
    json = (
        f'{LEADS}criteria = \'\'\'{{"group_operator":"and","group":[{{"comparator":"equal",'
        '"field":{"api_name":"Last_Name"},"value":"Boyle"}]}\'\'\'\n'
    )
    old = json.replace('"field":{"api_name":"Last_Name"}', '"api_name":"Last_Name"')
    made = {repr(read(tmp_path, text).exports[0].criteria) for text in (short, tables, json, old)}
    assert len(made) == 1


def test_normal_criteria_stay_as_they_are() -> None:
    """What is in Zoho's form already passes the check unchanged."""
    golden = {
        "group_operator": "and",
        "group": [
            {
                "comparator": "between",
                "field": {"api_name": "Modified_Time"},
                "value": ["2021-02-22T15:39:26+05:30", "2021-07-20T09:00:00+05:30"],
            },
            {"comparator": "equal", "field": {"api_name": "$converted"}, "value": False},
        ],
    }
    assert normal_criteria(golden) == golden
    assert normal_criteria(normal_criteria(golden)) == golden


def test_dates_of_toml_become_those_of_zoho(tmp_path: Path) -> None:
    """A date and a date-time of TOML are written as Zoho takes them; Z is an offset too."""
    [export] = read(tmp_path, criterion("[2021-02-22, 2021-02-22T15:39:26Z]", "in")).exports
    assert export.criteria is not None
    assert export.criteria["value"] == ["2021-02-22", "2021-02-22T15:39:26+00:00"]


@pytest.mark.parametrize("count", [25, 1])
def test_what_zoho_takes_is_taken(tmp_path: Path, count: int) -> None:
    """25 criteria, 200 values, 255 characters and 19 digits are no slip."""
    read(tmp_path, group(count))
    read(tmp_path, criterion(f"[{'1, ' * 200}]", "in"))
    read(tmp_path, criterion(f"'{'x' * 255}'"))
    read(tmp_path, criterion("9" * 18))
    assert normal_criteria({"field": "A", "comparator": "equal", "value": 10**19 - 1})


def test_nesting_without_end_is_refused() -> None:
    """Groups in groups are taken, but not a thousand levels of them."""
    one = {"field": "A", "comparator": "equal", "value": "${EMPTY}"}
    nested: object = one
    for _ in range(3):
        nested = {"group_operator": "or", "group": [nested, one]}
    assert normal_criteria(nested)
    for _ in range(500):
        nested = {"group_operator": "or", "group": [nested]}
    with pytest.raises(Misfit, match="nested too deeply"):
        normal_criteria(nested)
    with pytest.raises(Misfit, match="no JSON"):
        normal_criteria("[" * 100_000)


def test_an_export_made_in_code_is_checked_alike() -> None:
    """Lists, mappings and texts are taken, and what does not fit is a ConfigError."""
    export = bulkfetch.Export(
        module="Leads",
        fields=["Last_Name"],
        criteria={"field": "A", "comparator": "in", "value": ("x", "y")},
        since=datetime(2026, 9, 30, tzinfo=UTC),
    )
    assert export.name == "Leads"
    assert export.account is None
    assert export.fields == ("Last_Name",)
    with pytest.raises(bulkfetch.ConfigError, match="offset"):
        bulkfetch.Export(module="Leads", since=datetime(2026, 9, 30))
    with pytest.raises(bulkfetch.ConfigError, match="second time"):
        bulkfetch.Export(module="Leads", fields=["A", "A"])
    with pytest.raises(bulkfetch.ConfigError, match="is for sync"):
        bulkfetch.Export(module="Leads", deleted=True)
    with pytest.raises(TypeError, match="needs module"):
        bulkfetch.Export()  # type: ignore[call-arg]


def test_a_later_complaint_leads_to_the_place_too(tmp_path: Path) -> None:
    """What shows only with the metadata is told with file, key and line; in code, with the name."""
    settings = read(tmp_path, f"{LEADS}fields = ['Last_Nam']\n")
    [export] = settings.exports
    found = Misfit("names no field", ("fields", 0), hint="did you mean?")
    error = about_export(found, export, settings)
    assert error.message == f"{tmp_path}/jobs.toml: exports[1].fields[1] names no field (line 3)"
    assert error.hint == "did you mean?"
    error = about_export(found, bulkfetch.Export(module="Deals"), settings)
    assert error.message == "export Deals: fields[1] names no field"
