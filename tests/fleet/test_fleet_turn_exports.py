"""Exports in a fleet: gone on with by whichever host has the account's turn."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.support.fleet_exports import (
    EXPORTS,
    PAGES,
    THREE_PAGES,
    ExportScene,
    creates,
    ended,
    published,
    wait_for,
)
from tests.support.fleet_scene import ids_of

from bulkfetch.fleet.turn_exports import (
    LEAST_S,
    MOST_S,
    UNKNOWN_S,
    ExportEnd,
    account_cause,
    fails_alone,
    pause_s,
)
from bulkfetch.models import ExportReport, Failure, Status

pytestmark = pytest.mark.slow

# What Python imports at its start: a worker that dies as soon as a state is written.
_DEADLY = """
import os, signal
if os.environ.get("DEADLY_STATE"):
    from bulkfetch.fleet.export_store import TurnExports
    opened, write = TurnExports.open, TurnExports.write
    def die(states):
        if os.environ["DEADLY_STATE"] in states:
            os.kill(os.getpid(), signal.SIGKILL)
    async def open_and_die(self, *arguments):
        made = await opened(self, *arguments)
        die({"PLANNED"})
        return made
    async def write_and_die(self, change):
        await write(self, change)
        generation = [] if change.generation is None else [change.generation.state]
        die({*generation, *(page.state for page in change.pages)})
    TurnExports.open, TurnExports.write = open_and_die, write_and_die
"""
STEPS = ("PLANNED", "CREATING", "PREPARING", "READY", "COUNTED", "PUBLISHING")


@pytest.mark.parametrize("step", STEPS)
def test_an_export_is_gone_on_with_by_another_host_wherever_the_first_one_died(
    tmp_path: Path, export_scene: ExportScene, step: str
) -> None:
    """The same bytes as without a death, and no page is created twice.

    Where the create call may have left, its credits are told as wasted. Nothing stays on the hosts.
    """
    scene = export_scene(accounts=2, heartbeat_s=2, org=THREE_PAGES)
    (tmp_path / "sitecustomize.py").write_text(_DEADLY)
    whole, account = scene.accounts
    scene.env["DEADLY_STATE"] = step
    scene.submit_exports(f"{account}/Leads")
    scene.start(0)
    wait_for(scene, lambda: scene.hosts[0].poll() is not None)
    del scene.env["DEADLY_STATE"]
    scene.start(1)
    wait_for(scene, lambda: ended(scene)[f"{account}/Leads"] == "1")
    scene.term(1)
    scene.submit_exports(f"{whole}/Leads")
    scene.start(0)
    wait_for(scene, lambda: ended(scene)[f"{whole}/Leads"] == "1")
    scene.term(0)
    digests = published(scene.bucket.objects, f"{whole}/Leads")
    assert published(scene.bucket.objects, f"{account}/Leads") == digests
    assert len(digests) == creates(scene, whole) == creates(scene, account) == PAGES
    wasted = "SELECT report ->> 'credits_wasted' FROM bulkfetch.fleet_export"
    told = scene.sql(f"{wasted} WHERE account = '{account}'")
    assert told == ("50" if step == "CREATING" else "0")
    for host in (0, 1):
        assert list((tmp_path / f"host{host}").glob("*/.bulkfetch/exports/*/*")) == [], host


def test_an_export_of_changes_begins_where_the_one_of_another_host_ended(
    export_scene: ExportScene,
) -> None:
    """The cursor is the fleet's; and in full is only what was asked for in full."""
    mode = "SELECT report ->> 'mode', whole FROM bulkfetch.fleet_export WHERE name = 'Leads'"
    scene = export_scene()
    for host, full, wanted in ((0, False, "full"), (1, False, "changes"), (0, True, "full")):
        scene.submit_exports("a000/Leads", full=full)
        scene.start(host)
        wait_for(scene, lambda: ended(scene)["a000/Leads"] == "1")
        scene.term(host)
        assert scene.sql(mode) == f"{wanted}|f"


def test_jobs_and_exports_share_a_turn_and_what_the_settings_do_not_know_is_left(
    export_scene: ExportScene,
) -> None:
    """A name that this host's settings lack is told once; the others are done, and the jobs."""
    scene = export_scene(accounts=2)
    scene.submit_exports("a000/Leads", "a000/Contacts", "a000/Deals", "a001/Contacts")
    scene.submit({name: ids_of(at, 5) for at, name in enumerate(scene.accounts)})
    scene.start(0)
    scene.wait(60)
    wanted = {"a000/Leads": "1", "a000/Contacts": "1", "a000/Deals": "0", "a001/Contacts": "1"}
    wait_for(scene, lambda: ended(scene) == wanted)
    text = "a000: the settings here do not know its export Deals; it is left alone"
    wait_for(scene, lambda: text in scene.log(0))
    scene.term(0)
    assert scene.log(0).count("do not know its export") == 1
    scene.check()
    assert len(published(scene.bucket.objects, "a001/Contacts")) == 1


def test_an_export_that_does_not_fit_its_module_fails_alone(export_scene: ExportScene) -> None:
    """Why is in its report; the account's other exports are done in the same turn."""
    scene = export_scene(exports=EXPORTS.replace("Contacts", "Kontakte"))
    scene.submit_exports("a000/Kontakte", "a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "1", "a000/Kontakte": "2"})
    scene.term(0)
    code = "SELECT report -> 'error' ->> 'code' FROM bulkfetch.fleet_export"
    assert scene.sql(f"{code} WHERE name = 'Kontakte'") == "CONFIG"
    assert scene.sql("SELECT generation FROM bulkfetch.fleet_account") == "1"


def test_an_export_is_published_in_a_shared_folder_by_the_host_that_goes_on_with_it(
    tmp_path: Path, export_scene: ExportScene
) -> None:
    """The first one died just before: the other one publishes under the same name."""
    shared = tmp_path / "shared"
    shared.mkdir()
    scene = export_scene(heartbeat_s=2, org=THREE_PAGES)
    (tmp_path / "sitecustomize.py").write_text(_DEADLY)
    scene.store = f"{shared}/{{account}}"
    scene.env["DEADLY_STATE"] = "PUBLISHING"
    scene.submit_exports("a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: scene.hosts[0].poll() is not None)
    del scene.env["DEADLY_STATE"]
    wanted = scene.sql("SELECT folder FROM bulkfetch.fleet_generation")
    scene.start(1)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "1"})
    scene.term(1)
    found = (path for path in shared.rglob("*") if path.is_file())
    files = {path.relative_to(shared).as_posix(): path.read_bytes() for path in found}
    assert len(published(files, "a000/Leads")) == creates(scene, "a000") == PAGES
    assert scene.sql("SELECT folder FROM bulkfetch.fleet_generation") == wanted
    assert wanted.startswith(f"file://{shared}/a000/Leads/2")


def test_a_worker_that_is_told_to_stop_leaves_its_exports_to_the_others(
    export_scene: ExportScene,
) -> None:
    """Within ten seconds, while a page is being prepared; nothing is created twice."""
    states = "SELECT string_agg(state, ' ') FROM bulkfetch.fleet_page"
    scene = export_scene(heartbeat_s=60, org={"prepare_s": 5.0})
    scene.submit_exports("a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: scene.sql(states) == "PREPARING")
    assert scene.term(0) < 10, scene.log(0)
    assert ended(scene) == {"a000/Leads": "0"}
    scene.start(1)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "1"})
    scene.term(1)
    assert len(published(scene.bucket.objects, "a000/Leads")) == creates(scene, "a000") == 1


def test_a_worker_that_wakes_up_creates_no_page_of_an_export_that_others_have(
    export_scene: ExportScene,
) -> None:
    """Frozen while a first page was prepared, it would have created the next one."""
    states = "SELECT string_agg(state, ' ') FROM bulkfetch.fleet_page"
    scene = export_scene(heartbeat_s=2, org=THREE_PAGES | {"prepare_s": 3.0})
    scene.submit_exports("a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: scene.sql(states) == "PREPARING")
    scene.hosts[0].send_signal(signal.SIGSTOP)
    scene.start(1)
    wait_for(scene, lambda: "host1" in scene.sql("SELECT worker FROM bulkfetch.fleet_account"))
    scene.hosts[0].send_signal(signal.SIGCONT)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "1"})
    wait_for(scene, lambda: "a000: another worker has taken it over" in scene.log(0))
    for host in (0, 1):
        scene.term(host)
    assert len(published(scene.bucket.objects, "a000/Leads")) == creates(scene, "a000") == PAGES


# Whoever publishes this export dies.
_DEADLY_EXPORT = """
import os, signal
from bulkfetch.exporter import finishing
finish = finishing.finish
async def deadly(work, *arguments):
    if work.name == "Leads":
        os.kill(os.getpid(), signal.SIGKILL)
    return await finish(work, *arguments)
finishing.finish = deadly
"""


def test_an_export_at_which_workers_die_fails_alone(
    tmp_path: Path, export_scene: ExportScene
) -> None:
    """After two deaths each export of its account is done in a process of its own, as jobs are."""
    failed = "SELECT report->'error'->>'code' FROM bulkfetch.fleet_export WHERE state = 2"
    scene = export_scene(heartbeat_s=2)
    (tmp_path / "sitecustomize.py").write_text(_DEADLY_EXPORT)
    scene.submit({"a000": ids_of(0, 3)})
    scene.submit_exports("a000/Leads", "a000/Contacts")
    deaths = 0
    scene.start(0)

    def is_over() -> bool:
        nonlocal deaths
        if scene.hosts[0].poll() is not None:
            deaths += 1
            scene.start(0)
        return ended(scene) == {"a000/Leads": "2", "a000/Contacts": "1"}

    wait_for(scene, is_over, within_s=90)
    scene.term(0)
    assert scene.sql(failed) == "POISONED"
    assert deaths == 2
    scene.check()


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("SUPERSEDED", True),
        ("INVALID_TOKEN", True),
        ("SERVICE_DOWN", True),
        ("NOT_READY_IN_TIME", False),
        ("CREDITS_SPENT", False),
        ("CONTROL_PAUSED", False),
    ],
)
def test_what_keeps_an_export_waiting_does_not_end_its_account(code: str, *, ends: bool) -> None:
    """A page that is prepared, or credits that are spent, hinder no job; wrong credentials do."""
    failure = Failure(code, "words")
    waits = ExportReport("Leads", "acme", "pending", error=failure)
    assert account_cause([ExportEnd(waits)]) == (failure if ends else None)
    failed = ExportReport("Leads", "acme", "failed", error=failure)
    assert account_cause([ExportEnd(failed)]) is None


@pytest.mark.parametrize(
    ("goes_on_s", "unknown", "expected"),
    [
        ([], False, None),
        ([40.0, 2.0, None], False, 2.0),
        ([None], False, UNKNOWN_S),
        ([], True, UNKNOWN_S),
        ([300.0], True, UNKNOWN_S),
        ([0.0], False, LEAST_S),
        ([-20.0], False, LEAST_S),
        ([86_000.0], False, MOST_S),
    ],
)
def test_the_account_comes_back_when_the_first_of_its_exports_can_go_on(
    goes_on_s: list[float | None], *, unknown: bool, expected: float | None
) -> None:
    """Within bounds: it does not spin, and looks now and then for credits that come after a day."""
    pending = ExportReport("Leads", "acme", "pending", error=Failure("NEW", "words"))
    now = 5_000.0
    ends = [ExportEnd(pending, None if each is None else now + each) for each in goes_on_s]
    over = ExportEnd(ExportReport("Deals", "acme", "done"))
    assert pause_s([*ends, over], now, unknown=unknown) == expected


@pytest.mark.parametrize(
    ("status", "code", "alone"),
    [
        ("pending", "OAUTH_SCOPE_MISMATCH", True),
        ("pending", "INVALID_URL_PATTERN", True),
        ("pending", "INVALID_TOKEN", False),
        ("pending", "CREDITS_SPENT", False),
        ("pending", None, False),
        ("done", None, False),
    ],
)
def test_what_only_the_calls_of_an_export_meet_ends_it_alone(
    status: Status, code: str | None, *, alone: bool
) -> None:
    """A scope that is missing for a module hinders no job, and no export of another module."""
    failure = None if code is None else Failure(code, "words")
    assert fails_alone(ExportReport("Leads", "acme", status, error=failure)) == alone
