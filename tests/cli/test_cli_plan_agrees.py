"""What `plan` says is what `run` then does: requests, and jobs that fail without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]

A, B, C, D = IDS[:4]
GONE = "554023000000990404"  # the sandbox knows no such result

LISTS = {
    "one name": [(A, "Leads"), (B, "Leads"), (C, "leads"), (D, "Stra\u00dfe")],
    "a name is an id": [(A, B), (B, ""), (C, "")],
    "an id is a name": [(A, ""), (B, A), (C, "")],
    "a chain": [(A, B), (B, C), (C, A)],
    "the second of a second": [(A, "Leads"), (B, "Leads"), (C, B), (D, B)],
    "two names": [(A, "Leads"), (A, "Deals"), (A, "Leads"), (A, "")],
    "bad names": [(A, "a/b"), (B, "ok"), ("x", "ok"), (C, "OK")],
    "its id for a name": [(A, ""), (A, A), (B, B), (B, "")],
    "gone": [(GONE, "Leads"), (A, "Leads"), (B, "Deals")],
    "sound": [(A, "Leads"), (B, "Deals"), (C, "")],
}


@pytest.mark.slow
@pytest.mark.parametrize("rows", LISTS.values(), ids=LISTS)
def test_plan_agrees_with_run(program: Program, call: Call, rows: list[tuple[str, str]]) -> None:
    """Before each of three runs of a list, two as it is and one turned round."""
    name = program.settings()
    options = (name, "--ids", "list.csv", "--ids-column", "id", "--json")
    for night, order in enumerate((rows, rows, rows[::-1])):
        lines = "".join(f"{job_id},{stem}\n" for job_id, stem in order)
        (program.folder / "list.csv").write_text(f"id,name\n{lines}", "utf-8")
        planned = call("plan", *options).records[-1]
        ended = call("run", *options).records[-1]
        assert planned["to_fetch"] == ended["requests"]
        assert planned["failed_before"] == ended["failed_before"]
        if night < 2:  # turned round, a done job can be in the way
            unasked = planned["malformed"] + planned["conflicts"] + planned["failed_before"]
            gone = int(rows[0][0] == GONE and not planned["failed_before"])
            assert unasked + gone == ended["failed"]


@pytest.mark.parametrize("keep_zip", ["false", "true"])
@pytest.mark.parametrize(
    ("before", "rows"),
    [
        ((A, "Old"), [(A, "Leads"), (B, "Leads")]),
        ((A, "Old"), [(B, "Old"), (A, "Leads"), (C, "Leads")]),
        ((A, "Leads"), [(B, "Leads"), (A, "")]),
        ((A, "Leads"), [(A, ""), (B, "Leads"), (C, A)]),
    ],
    ids=["free by now", "taken over", "done second", "kept"],
)
def test_plan_knows_the_names_of_what_is_done(
    program: Program,
    call: Call,
    keep_zip: str,
    before: tuple[str, str],
    rows: list[tuple[str, str]],
) -> None:
    """A done job has the name of its file, whatever a later list calls it, as in a run."""
    name = program.settings(f"keep_zip = {keep_zip}")
    options = (name, "--ids", "list.csv", "--ids-column", "id", "--json")
    for listed in ([before], rows):
        lines = "".join(f"{job_id},{stem}\n" for job_id, stem in listed)
        (program.folder / "list.csv").write_text(f"id,name\n{lines}", "utf-8")
        planned = call("plan", *options).records[-1]
        *jobs, ended = call("run", *options).records
        unasked = sum(job["status"] == "failed" and not job["attempts"] for job in jobs)
        assert (planned["to_fetch"], planned["done"], planned["conflicts"]) == (
            ended["requests"],
            ended["skipped"],
            unasked,
        )
