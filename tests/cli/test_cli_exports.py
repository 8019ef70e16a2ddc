"""What users write of exports, before a credit is spent: modules, fields, plan, and every slip."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.support.programs import Ended, Program

from bulkfetch.cli.plan_exports import estimate_of
from bulkfetch.config import Export
from bulkfetch.sandbox import AccountSpec, Sandbox, SandboxOptions, SandboxThread
from bulkfetch.sandbox.org.specs import FieldSpec, ModuleSpec

Call = Callable[..., Ended]

ONE = '{ field = "Company", comparator = "equal", value = "Boyle" }'
MODULES = {
    "Plain": ModuleSpec(records=3, timed=False, fields=(FieldSpec("Name"),)),
    "Silent": ModuleSpec(records=3, fields_known=False),
    "Projects": ModuleSpec(records=450_001, generated_type="custom"),
}


@pytest.fixture
def zoho(program: Program, call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An org to be asked, and a token for it."""
    with SandboxThread(SandboxOptions(records=30, modules=MODULES)) as server:
        monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "1000.hushhushhush")
        yield server.sandbox


def wrote(program: Program, zoho: Sandbox, *exports: str) -> str:
    """Write a jobs.toml of exports, and give its name."""
    tables = "\n".join(f"[[exports]]\n{each}" for each in exports)
    text = f'{tables}\n[account]\napi_domain = "{zoho.url}"\n'
    (program.folder / "jobs.toml").write_text(text)
    return "jobs.toml"


def kinds(zoho: Sandbox) -> list[str]:
    return [arrival.kind for arrival in zoho.log]


# Lines of [[exports]]; which key, what is said of it, and the hint.
BAD_INPUT = {
    "unknown module": ('module = "Leadz"', "module names no module", 'mean "Leads"?'),
    "unknown field": (
        'module = "Leads"\nfields = ["Company", "Last_Nam"]',
        "fields[2] names no field of Leads: Last_Nam",
        'mean "Last_Name"?',
    ),
    "unknown field of a parent": (
        'module = "Deals"\nfields = ["Account_Name.Fone"]',
        "fields[1] names no field of Accounts: Fone",
        'mean "Phone"?',
    ),
    "unknown field in criteria": (
        'module = "Leads"\ncriteria = { field = "Companie", comparator = "equal", value = "x" }',
        "criteria.field names no field of Leads: Companie",
        'mean "Company"?',
    ),
    "comparator of another type": (
        'module = "Leads"\n'
        'criteria = { field = "Email_Opt_Out", comparator = "contains", value = true }',
        "criteria.comparator 'contains' does not go with Email_Opt_Out (boolean)",
        "Available: equal.",
    ),
    "26 criteria": (
        'module = "Leads"\ncriteria = { group_operator = "or", group = ['
        + ", ".join([ONE] * 26)
        + "] }",
        "criteria has 26 criteria",
        "at most 25",
    ),
    "201 values": (
        'module = "Leads"\ncriteria = { field = "Company", comparator = "in", value = ['
        + '"x", ' * 201
        + "] }",
        "criteria.value has 201 values",
        "at most 200",
    ),
    "milliseconds": (
        'module = "Leads"\ncriteria = { field = "Modified_Time", comparator = "greater_than", '
        'value = "2026-09-30T02:00:01.000+00:00" }',
        "criteria.value must be a date-time without milliseconds",
        "2026-09-30T02:00:01+00:00",
    ),
    "fields with ICS": (
        'module = "Events"\nfile_type = "ics"\nfields = ["Event_Title"]',
        'fields cannot be chosen with file_type = "ics"',
        "Remove fields",
    ),
    "changes without Modified_Time": (
        'module = "Plain"\nsync = "changes"',
        "sync needs a field Modified_Time, and Plain has none",
        "Export it in full",
    ),
    "split without Created_Time": (
        'module = "Plain"\nsplit = 2',
        "split needs a field Created_Time, and Plain has none",
        "one chain",
    ),
    "a module that is refused": (
        'module = "Emails"',
        "module names a module that Zoho does not export",
        "bulkfetch modules",
    ),
    "a field that is refused": (
        'module = "Leads"\nfields = ["Resume"]',
        "fields[1] names a field that Zoho does not export: Resume (fileupload)",
        "Remove it",
    ),
}
ASKING = [("plan", "--estimate"), ("export",)]
# An export that goes on waits for its page.
GOING_ON = [("plan", "--estimate"), pytest.param(("export",), marks=pytest.mark.slow)]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
@pytest.mark.parametrize("slip", BAD_INPUT)
def test_bad_input_ends_with_2_before_a_credit_is_spent(
    program: Program, call: Call, zoho: Sandbox, slip: str, command: tuple[str, ...]
) -> None:
    """The key, the nearest right name, what is allowed; nothing is created."""
    lines, message, hint = BAD_INPUT[slip]
    name, *options = command
    ended = call(name, wrote(program, zoho, lines), *options)
    assert (ended.status, ended.out) == (2, "")
    error, hinted = ended.err.splitlines()[-2:]
    assert error.startswith("error: jobs.toml: exports[1].")
    assert message in error
    assert " (line " in error
    assert hinted.startswith("hint: ")
    assert hint in hinted
    assert {"create", "result", "status"}.isdisjoint(kinds(zoho))


def test_two_exports_with_one_name(program: Program, call: Call, zoho: Sandbox) -> None:
    """Two exports would have one folder, also where only the case of letters differs."""
    lines = 'module = "Deals"\nname = "leads"'
    ended = call("plan", wrote(program, zoho, 'module = "Leads"', lines))
    assert ended.status == 2
    assert "exports[2] (line 3): name 'leads' is that of the export in line 1" in ended.err
    assert kinds(zoho) == []


@pytest.mark.parametrize("command", GOING_ON, ids=" ".join)
def test_metadata_that_there_is_none_of_is_said(
    program: Program, call: Call, zoho: Sandbox, command: tuple[str, ...]
) -> None:
    """Fields of which Zoho tells nothing (204) are a warning, and the export goes unchecked."""
    name, *options = command
    ended = call(
        name, wrote(program, zoho, 'module = "Silent"\nfields = ["Modified_Time"]'), *options
    )
    told = "warning: export Silent goes on unchecked: Zoho tells no fields of Silent"
    assert told in ended.err.splitlines()
    assert ended.status == 0


@pytest.mark.parametrize("command", GOING_ON, ids=" ".join)
def test_metadata_without_its_scope_is_said(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A token that may export but see no metadata exports unchecked, and is told what it lacks."""
    name, *options = command
    spec = AccountSpec(
        access_tokens=("1000.hushhushhush",),
        scope="ZohoCRM.bulk.read,ZohoCRM.modules.Leads.READ",
    )
    given = SandboxOptions(records=3, auth=True, check_scopes=True, accounts={"a": spec})
    with SandboxThread(given) as server:
        monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "1000.hushhushhush")
        settings = wrote(program, server.sandbox, 'module = "Leads"\nfields = ["Company"]')
        ended = call(name, settings, *options)
        asked = call("fields", settings, "Leads")
    assert ended.status == 0
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    beginning = "warning: export Leads goes on unchecked: the"
    end = "cannot be had (OAUTH_SCOPE_MISMATCH). Create a token with the scope ZohoCRM.settings."
    assert warnings == [
        f"{beginning} modules {end}modules.READ.",
        f"{beginning} fields of Leads {end}fields.READ.",
    ]
    assert asked.status == 3
    assert "ZohoCRM.settings.fields.READ" in asked.err


def test_modules(program: Program, call: Call, zoho: Sandbox) -> None:
    """One name a line, of what can be exported; as JSON all of them."""
    settings = wrote(program, zoho)
    ended = call("modules", settings)
    assert (ended.status, ended.err) == (0, "")
    names = ended.out.splitlines()
    assert {"Leads", "Deals", "Projects"} <= set(names)
    assert names == sorted(names)
    assert {"Emails", "CTI_Entry"}.isdisjoint(names)
    records = {each["name"]: each for each in call("modules", settings, "--json").records}
    assert records["Leads"]["type"] == "module"
    assert records["Leads"]["exportable"] is True
    assert records["Emails"]["exportable"] is False
    assert records["Projects"]["custom"] is True
    assert kinds(zoho) == ["modules"] * 2


def test_fields(program: Program, call: Call, zoho: Sandbox) -> None:
    """Each field with its type, what leads where and what is refused; as JSON the comparators."""
    settings = wrote(program, zoho)
    ended = call("fields", settings, "Deals")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert "Closing_Date  date" in lines
    assert "Account_Name  lookup to Accounts" in lines
    assert any(line.startswith("Deal_Name  text(") for line in lines)
    records = {each["name"]: each for each in call("fields", settings, "Leads", "--json").records}
    assert records["Resume"]["exportable"] is False
    assert records["Email_Opt_Out"]["comparators"] == ["equal"]
    assert "between" in records["Modified_Time"]["comparators"]


def test_fields_of_no_module(program: Program, call: Call, zoho: Sandbox) -> None:
    """An unknown module is told with the nearest; one without metadata as a warning."""
    settings = wrote(program, zoho)
    ended = call("fields", settings, "Leadz")
    assert (ended.status, ended.out) == (2, "")
    assert "error: MODULE names no module of this account: Leadz" in ended.err
    assert 'did you mean "Leads"?' in ended.err
    ended = call("fields", settings, "Silent")
    assert (ended.status, ended.out) == (0, "")
    assert "warning: Zoho tells no fields of Silent" in ended.err


def test_several_accounts(program: Program, call: Call, zoho: Sandbox) -> None:
    """With several accounts one must be named; an unknown one is told with those there are."""
    (program.folder / "jobs.toml").write_text(
        f'[accounts.one]\napi_domain = "{zoho.url}"\nenv_prefix = "ONE_"\n'
        f'[accounts.two]\napi_domain = "{zoho.url}"\ntoken_command = ["echo", "token"]\n'
    )
    ended = call("modules", "jobs.toml")
    assert ended.status == 2
    assert "hint: Add --account: one of one, two." in ended.err
    assert call("modules", "jobs.toml", "--account", "three").status == 2
    ended = call("modules", "jobs.toml", "--account", "two")
    assert ended.status == 0
    assert "Leads" in ended.out.splitlines()
    ended = call("modules", "jobs.toml", "--account", "one")
    assert ended.status == 3
    assert "MISSING_CREDENTIALS" in ended.err


def test_plan_lists_exports_without_a_request(program: Program, call: Call, zoho: Sandbox) -> None:
    """Exports alone need no list of ids; with one, both are shown."""
    split = 'module = "Deals"\nname = "All deals"\nsync = "changes"\nsplit = 3'
    settings = wrote(program, zoho, 'module = "Leads"', split)
    ended = call("plan", settings)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        'export Leads: full: sync is "full"',
        "export All deals: full of Deals in 3 chains: it is the first one",
    ]
    first, second = call("plan", settings, "--json").records
    assert (first["type"], first["name"], first["estimate"]) == ("export", "Leads", None)
    assert (second["module"], second["sync"], second["split"]) == ("Deals", "changes", 3)
    assert (second["mode"], second["why"]) == ("full", "it is the first one")
    ended = call("plan", settings, "554023000000568002")
    assert ended.out.splitlines()[2] == "account default: 1 job to fetch; 10 in 1 min 1 s"
    assert kinds(zoho) == []


def test_plan_estimates(program: Program, call: Call, zoho: Sandbox) -> None:
    """Records, pages, credits and minutes, said to be an estimate; a credit or two for each."""
    settings = wrote(program, zoho, 'module = "Projects"', 'module = "Leads"')
    ended = call("plan", settings, "--estimate")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        'export Projects: full: sync is "full"',
        "  at most 450,001 records (an estimate): 3 pages, some 171 credits, 0.0 s of the window",
        'export Leads: full: sync is "full"',
        "  at most 30 records (an estimate): 1 page, some 57 credits, 0.0 s of the window",
        "exports: 4 pages, some 228 credits: an estimate",
    ]
    assert sorted(kinds(zoho)) == ["count", "count", "fields", "fields", "modules"]
    first, _ = call("plan", settings, "--estimate", "--json").records
    assert first["estimate"] == {
        "records": 450_001,
        "pages": 3,
        "credits": 171,
        "window_s": 0.0,
        "expiring": 0,
    }


def test_estimates_of_large_and_split_exports() -> None:
    """Each chain has pages of its own; the window bounds how many start in a day."""
    leads = Export(module="Leads")
    assert estimate_of(leads, 0, 10, 61.0).pages == 1
    assert estimate_of(leads, 200_001, 10, 61.0).pages == 2
    assert estimate_of(Export(module="Leads", split=4), 1_000_000, 10, 61.0).pages == 8
    events = Export(module="Events", file_type="ics")
    found = estimate_of(events, 20_000 * 25, 10, 61.0)
    assert (found.pages, found.credits, found.window_s) == (25, 25 * 57, 122.0)
    assert estimate_of(events, 20_000 * 15_000, 10, 61.0).expiring == 15_000 - 14_170


@pytest.mark.slow
def test_plan_says_what_the_next_export_does(program: Program, call: Call, zoho: Sandbox) -> None:
    """After a complete export the next asks for changes; one that was left is gone on with."""
    settings = wrote(
        program, zoho, 'module = "Leads"\nsync = "changes"', 'module = "Deals"\nsync = "changes"'
    )
    assert call("export", settings, "Leads").status == 0
    assert call("export", settings, "Deals", "--no-wait").status == 3
    leads, deals = call("plan", settings, "--json").records
    assert (leads["mode"], leads["goes_on"]) == ("changes", False)
    assert leads["why"].startswith("since 20")
    assert (deals["mode"], deals["goes_on"]) == ("full", True)
    assert "export Deals: full: goes on, 0 pages at home" in call("plan", settings).out


def test_run_says_whose_exports_are(program: Program, call: Call, zoho: Sandbox) -> None:
    """A file of exports alone holds no ids: the hint names the command that is meant."""
    ended = call("run", wrote(program, zoho, 'module = "Leads"'))
    assert ended.status == 2
    assert "Its [[exports]] are for `bulkfetch export`." in ended.err
