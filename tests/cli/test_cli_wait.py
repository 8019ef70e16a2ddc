"""`run --wait`: exit statuses, JSON, and what is said where a result does not get ready."""

from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]

NEVER = "554023000000990202"
REFUSED = "554023000000990555"


def test_what_is_ready_is_fetched(program: Program, call: Call) -> None:
    """Without a time there is no limit; the records are those that Zoho tells."""
    ended = call("run", program.settings(), *IDS[:2], "--json", "-q", "--wait")
    assert (ended.status, ended.err) == (0, "")
    assert [record["records"] for record in ended.records[:-1]] == [20, 20]
    assert call("run", "jobs.toml", *IDS[:2], "--wait").status == 0


@pytest.mark.slow
def test_what_is_not_ready_in_time_is_pending(program: Program, call: Call) -> None:
    """3, with the code in JSON and in words, and the command that goes on."""
    settings = program.settings()
    ended = call("run", settings, IDS[0], NEVER, REFUSED, "--json", "--wait=0.3s")
    assert ended.status == 3
    *jobs, summary = ended.records
    by_id = {record["id"]: record for record in jobs}
    assert by_id[IDS[0]]["status"] == "done"
    assert by_id[NEVER]["status"] == "pending"
    assert by_id[NEVER]["error"]["code"] == "NOT_READY_IN_TIME"
    assert by_id[REFUSED]["status"] == "failed"
    assert by_id[REFUSED]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert by_id[REFUSED]["attempts"] == 0
    assert summary["error"]["code"] == "NOT_READY_IN_TIME"
    assert (summary["exit_status"], summary["requests"]) == (3, 1)
    assert ended.err.count("NOT_READY_IN_TIME: not all results were ready within 0.3 s") == 1
    assert "to continue: bulkfetch run jobs.toml" in ended.err
    assert call("status", "exports").out.count(NEVER) == 0


@pytest.mark.slow
def test_the_settings_say_it_too(program: Program, call: Call) -> None:
    """wait = "0.3s" is the same; --wait wins over it."""
    settings = program.settings('wait = "0.3s"')
    assert call("run", settings, NEVER).status == 3
    ended = call("run", settings, REFUSED, "--wait", "1h")
    assert ended.status == 1
    assert "INTERNAL_SERVER_ERROR: Internal server error occurred." in ended.err


@pytest.mark.parametrize("arguments", [["--wait", IDS[0]], ["--wait=soon"], ["--wait", "30"]])
def test_what_is_no_time_is_refused(program: Program, call: Call, arguments: list[str]) -> None:
    """An id behind --wait would be taken for its time: 2, and how to write it."""
    ended = call("run", program.settings(), *arguments)
    assert ended.status == 2
    assert "is not a duration such as 90s, 30m or 2h" in ended.err
    assert "put --wait behind the other arguments" in ended.err
