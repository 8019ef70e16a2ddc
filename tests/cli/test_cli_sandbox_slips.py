"""Slips about the stand-in: in [sandbox], and on the command line of `bulkfetch sandbox`."""

from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.sandbox import FAULTS

Call = Callable[..., Ended]
TABLE = '[account]\ndata_center = "sandbox"\n[sandbox]\n'
# What stands in [sandbox], the complaint after the file's name, its line, part of the hint.
SLIPS = [
    ("record = 5", "unknown key sandbox.record", 4, 'did you mean "records"?'),
    ("nonsense = 5", "unknown key sandbox.nonsense", 4, "Available: accounts, auth, "),
    ("records = 'five'", "sandbox.records must be a whole number", 4, ""),
    ("records = 5.5", "sandbox.records must be a whole number", 4, ""),
    ("records = true", "sandbox.records must be a whole number", 4, ""),
    ("records = -1", "sandbox.records must be at least 0", 4, ""),
    ("records = 1979-05-27", "sandbox.records must be a whole number", 4, ""),
    ("requests = 0", "sandbox.requests must be at least 1", 4, ""),
    ("period_s = 0", "sandbox.period_s must be more than 0", 4, ""),
    ("period_s = inf", "sandbox.period_s must be a finite number", 4, ""),
    ("period_s = nan", "sandbox.period_s must be", 4, ""),
    ("records = '5'", "sandbox.records must be a whole number", 4, ""),
    ("bandwidth_bytes_per_s = true", "sandbox.bandwidth_bytes_per_s must be a number", 4, ""),
    ("auth = 'maybe'", "sandbox.auth must be true or false", 4, ""),
    ("window = 'sliding'", "sandbox.window must be 'rolling' or 'fixed'", 4, ""),
    ("not_found_status = 500", "sandbox.not_found_status must be 400 or 404", 4, ""),
    ("latency_s = [1]", "sandbox.latency_s", 4, ""),
    ("latency_s = 1", "sandbox.latency_s must be a list", 4, ""),
    ("jobs = 5", "sandbox.jobs must be a table", 4, ""),
    ("seed = 1\n[sandbox.jobs.55]\nrecord = 5", "unknown key sandbox.jobs.55.record", 6, "records"),
    ("[sandbox.jobs.55]\nkind = 'xml'", "sandbox.jobs.55.kind must be 'csv' or 'ics'", 5, ""),
    ("[sandbox.faults]\n55 = ['nope']", "sandbox.faults.55[1]: no fault is called 'nope'", 5, ""),
    ("[sandbox.faults]\n55 = 'nope'", "sandbox.faults.55 must be a list", 5, ""),
    (
        "[[sandbox.rules]]\nshare = 2\nfaults = []",
        "sandbox.rules[1].share must be at most",
        5,
        "",
    ),
    ("[[sandbox.rules]]\nfaults = []", "sandbox.rules[1].share is missing", 4, ""),
    ("epoch = 'soon'", "sandbox.epoch must be a date and a time of day", 4, ""),
    (
        "[sandbox.modules.Leads]\nrecord = 5",
        "unknown key sandbox.modules.Leads.record",
        5,
        'did you mean "records"?',
    ),
    (
        "[sandbox.modules.A]\nfields = [{api_name = 'B', data_type = 'txt'}]",
        "sandbox.modules.A.fields[1].data_type must be",
        5,
        "",
    ),
    (
        "[[sandbox.plans.Leads]]\nfaults = ['nope']",
        "sandbox.plans.Leads[1].faults[1]: no fault is called 'nope'",
        5,
        "",
    ),
    (
        "[[sandbox.rules]]\nshare = 1\nfaults = ['close_in_bdy']",
        "sandbox.rules[1].faults[1]: no fault is called 'close_in_bdy'",
        6,
        "did you mean 'close_in_body'?",
    ),
]


@pytest.mark.parametrize(("text", "message", "line", "hint"), SLIPS, ids=lambda v: ascii(v)[:40])
def test_a_slip_in_the_sandbox_table(
    program: Program, call: Call, text: str, message: str, line: int, hint: str
) -> None:
    """It is told in our words with the file's own name, key and line; nothing is started."""
    (program.folder / "mine.toml").write_text(f"{TABLE}{text}\n")
    for command in ("run", "check"):
        ended = call(command, "mine.toml", *([IDS[0]] if command == "run" else []))
        assert ended.status == 2
        told = ended.err if command == "run" else ended.out
        assert f"mine.toml: {message}" in told
        assert f"(line {line})" in told
        assert hint in told
        assert "pydantic" not in told
        assert "\\n" not in told
        assert not (program.folder / "exports").exists()


def test_an_unknown_fault_on_the_command_line(call: Call) -> None:
    """A name that is like another one is mended, of any other all names are told."""
    ended = call("sandbox", "--fault", "nope")
    assert (ended.status, ended.out) == (2, "")
    error, hint = ended.err.splitlines()
    assert error == "error: --fault: no fault is called 'nope'"
    assert all(name in hint for name in FAULTS)
    ended = call("sandbox", "--fault", "INTERNAL_ERROR", "--fault", "internal_eror")
    assert ended.err.endswith("hint: did you mean 'INTERNAL_ERROR'?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--module", "Leads"], "'--module': 'Leads' is not of the form Leads=5000"),
        (["--module", "Leads=-1"], "'--module'"),
        (["--module", "../x=1"], "'--module'"),
        (["--credits", "-1"], "'--credits'"),
        (["--period", "nan"], "'--period': nan is not a finite number"),
        (["--period", "inf"], "'--period': inf is not a finite number"),
        (["--period", "0"], "'--period'"),
        (["--bandwidth", "nan"], "'--bandwidth'"),
        (["--lockout", "-1"], "'--lockout'"),
        (["--fault-share", "nan"], "'--fault-share'"),
        (["--fault-share", "1.5"], "'--fault-share'"),
        (["--requests", "0"], "'--requests'"),
        (["--requests", "ten"], "'ten' is not a valid integer"),
        (["--records", "-5"], "'--records'"),
        (["--window", "sliding"], "'sliding' is not one of 'rolling', 'fixed'"),
        (["--port", "80000"], "'--port'"),
        (["--recrods", "5"], "'--records'?"),
        (["jobs.toml"], "unexpected extra argument"),
    ],
)
def test_options_that_cannot_be_meant(call: Call, arguments: list[str], message: str) -> None:
    """A slip in an option names the option and what it may be."""
    ended = call("sandbox", *arguments)
    assert (ended.status, ended.out) == (2, "")
    error, hint = ended.err.splitlines()
    assert error.startswith("error: ")
    assert message.lower() in error.lower()
    assert hint.startswith("hint: ")
