"""Exports in a fleet that cannot go on at once: for credits, a page, a scope. Real workers."""

from __future__ import annotations

import json

import pytest
from tests.support.fleet_exports import (
    PAGES,
    THREE_PAGES,
    ExportScene,
    causes,
    creates,
    ended,
    pass_a_day,
    published,
    wait_for,
)
from tests.support.fleet_scene import FleetScene, ids_of

pytestmark = pytest.mark.slow


def _submit_jobs(scene: FleetScene) -> None:
    scene.submit({name: ids_of(at, 3) for at, name in enumerate(scene.accounts)})


def test_credits_that_are_spent_in_mid_chain_are_waited_for(export_scene: ExportScene) -> None:
    """It is told; jobs and other accounts go on; another host creates the page that is left.

    Jobs that are submitted meanwhile do not wait with the export. Time passes in the database.
    """
    scene = export_scene(accounts=2, org=THREE_PAGES)
    scene.control["a000"] = ", credits_per_day = 130"  # two pages, and the calls around them
    scene.submit_exports("a000/Leads", "a001/Leads")
    scene.start(0)
    wait_for(scene, lambda: causes(scene) == {"a000/Leads": "CREDITS_SPENT"})
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "0", "a001/Leads": "1"})
    assert creates(scene, "a000") == 2
    waiting = scene.begin(1, "fleet", "wait", scene.settings(1), "1", "--json")
    assert waiting.stderr is not None
    said = b""
    while b"waits: CREDITS_SPENT: credits_per_day, 130, is spent" not in said:
        said = waiting.stderr.readline()
        assert said, "it has ended"
    told = scene.command(1, "fleet", "status", scene.settings(1), "--account", "a000").out
    assert "exports: 0 done, 0 failed, 1 pending (2 pages fetched, " in told
    _submit_jobs(scene)
    scene.wait(60)
    assert (ended(scene)["a000/Leads"], creates(scene, "a000")) == ("0", 2)
    scene.term(0)
    pass_a_day(scene)
    scene.start(1)
    wait_for(scene, lambda: set(ended(scene).values()) == {"1"})
    out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    summary = json.loads(out.splitlines()[-1])
    assert summary["exports"] == {"done": 2, "failed": 0, "pending": 0, "skipped": 0}
    worker = scene.sql("SELECT worker FROM bulkfetch.fleet_account WHERE account = 'a000'")
    assert "host1" in worker
    scene.term(1)
    digests = published(scene.bucket.objects, "a000/Leads")
    assert digests == published(scene.bucket.objects, "a001/Leads")
    assert len(digests) == creates(scene, "a000") == PAGES
    scene.check()


def test_a_page_that_is_not_ready_by_the_end_of_a_turn_is_asked_for_when_it_is_due(
    export_scene: ExportScene,
) -> None:
    """Turns of a second, pages that take five: the account comes back for each question."""
    scene = export_scene(org={"prepare_s": 5.0}, turn_s=1.0)
    scene.submit_exports("a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "1"}, within_s=50)
    scene.term(0)
    assert len(published(scene.bucket.objects, "a000/Leads")) == creates(scene, "a000") == 1
    turns = int(scene.sql("SELECT generation FROM bulkfetch.fleet_account"))
    assert 1 < turns < 10


def test_a_scope_that_only_exports_need_ends_them_alone(export_scene: ExportScene) -> None:
    """The export fails with its cause, and is begun by the next submission; jobs go on."""
    scene = export_scene(org={"check_scopes": True})
    scene.submit_exports("a000/Leads")
    scene.start(0)
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "2"})
    assert causes(scene) == {"a000/Leads": "OAUTH_SCOPE_MISMATCH"}
    told = scene.command(0, "fleet", "wait", scene.settings(0), "1")
    assert told.status == 1
    assert "export Leads of account a000: OAUTH_SCOPE_MISMATCH" in told.err
    assert "ZohoCRM.modules.Leads.READ" in told.err
    _submit_jobs(scene)
    scene.wait(60)
    scene.submit_exports("a000/Leads")
    assert ended(scene) == {"a000/Leads": "0"}
    wait_for(scene, lambda: ended(scene) == {"a000/Leads": "2"})
    scene.term(0)
    scene.check()
