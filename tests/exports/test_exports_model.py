"""The decisions about changes in a model of a CRM: any history, no requests, no disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.exports_reading import Folder, Row, put_together

from bulkfetch.config import Export
from bulkfetch.exports.changes import DELETIONS_LISTED, Committed, committed_by, next_step
from bulkfetch.exports.server_time import earliest

pytestmark = pytest.mark.slow

EPOCH = datetime(2026, 9, 30, 2, tzinfo=UTC)
ZONE = timezone(timedelta(hours=5, minutes=30))
PER_PAGE = 3
DAY_S = 86_400.0


class Deed(NamedTuple):
    """What somebody does, so many seconds after what was done before."""

    wait_s: float
    kind: Literal["insert", "modify", "delete", "restore"]
    pick: int


class Try(NamedTuple):
    """One export under these settings; `deeds` are done while its pages are made."""

    deeds: list[Deed]
    export: Export
    full: bool
    live: bool
    wait_s: float
    chains: int


class Crm:
    """Records and deletions, on a clock of whole seconds as the service has it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.rows: dict[str, Row] = {}
        self.bin: dict[str, tuple[float, Row]] = {}
        self._made = 0

    def stamp(self) -> str:
        """The time as the service writes it."""
        return (EPOCH + timedelta(seconds=int(self.now_s))).astimezone(ZONE).isoformat()

    def do(self, deed: Deed) -> None:
        """Do one deed, if there is a record to do it to."""
        self.now_s += deed.wait_s
        among = sorted(self.bin if deed.kind == "restore" else self.rows)
        if deed.kind == "insert":
            self._made += 1
            self._put(f"{self._made:04}", deed.pick)
        elif among:
            record_id = among[deed.pick % len(among)]
            if deed.kind == "modify":
                self._put(record_id, deed.pick)
            elif deed.kind == "delete":
                self.bin[record_id] = (self.now_s, self.rows.pop(record_id))
            else:
                self.now_s += 1  # nobody finds a record in the bin within the second
                del self.bin[record_id]
                self._put(record_id, deed.pick)

    def _put(self, record_id: str, value: int) -> None:
        self.rows[record_id] = {
            "Id": record_id,
            "Value": str(value),
            "Modified_Time": self.stamp(),
        }

    def deleted(self, since: datetime) -> dict[str, str]:
        """The deletions since then that are still known, as the service writes them."""
        known = {}
        for record_id, (at_s, _) in self.bin.items():
            at = EPOCH + timedelta(seconds=int(at_s))
            if at >= since and self.now_s - at_s <= DELETIONS_LISTED.total_seconds():
                known[record_id] = at.astimezone(ZONE).isoformat()
        return known


def play(crm: Crm, one: Try, committed: Committed | None) -> tuple[Folder, Committed]:
    """Play one export and return its folder, and what it leaves."""
    crm.now_s += one.wait_s
    now = EPOCH + timedelta(seconds=crm.now_s)
    step = next_step(
        one.export, committed, now, account="default", query_hash="same", full=one.full
    )
    deeds = list(one.deeds)
    created, found = [], []
    for chain in range(one.chains):
        created.append(crm.stamp())
        snapshot = dict(crm.rows)
        last = ""
        while True:
            there = crm.rows if one.live else snapshot
            rows = [
                there[key]
                for key in sorted(there)
                if key > last
                and int(key) % one.chains == chain
                and (
                    step.since is None
                    or datetime.fromisoformat(there[key]["Modified_Time"]) >= step.since
                )
            ]
            found += rows[:PER_PAGE]
            if len(rows) <= PER_PAGE:
                break
            last = rows[PER_PAGE - 1]["Id"]
            for deed in (meanwhile := deeds[:3]):
                crm.do(deed)
            del deeds[: len(meanwhile)]
    gone = {} if step.deleted_since is None else crm.deleted(step.deleted_since)
    for deed in deeds:
        crm.do(deed)
    left = committed_by(
        step,
        committed,
        account="default",
        cursor_to=earliest(created),
        query_hash="same",
        columns=(),
        folder="",
        finished="",
    )
    return Folder(step.mode, found, gone), left


DEEDS = st.lists(
    st.builds(
        Deed,
        st.sampled_from([0.0, 0.3, 1.0, 40.0]),
        st.sampled_from(["insert", "insert", "modify", "modify", "delete", "restore"]),
        st.integers(0, 1_000),
    ),
    max_size=15,
)


def tries(deleted: bool) -> st.SearchStrategy[Try]:
    """Exports of changes with any settings."""
    exports = st.builds(
        lambda overlap_s, full_every_s: Export(
            module="Leads",
            sync="changes",
            deleted=deleted,
            overlap_s=overlap_s,
            full_every_s=full_every_s,
        ),
        st.sampled_from([0.0, 600.0]),
        st.sampled_from([None, 7 * DAY_S]),
    )
    waits = st.sampled_from([0.0, 0.5, 30.0, DAY_S, 59 * DAY_S, 70 * DAY_S])
    return st.builds(Try, DEEDS, exports, st.booleans(), st.booleans(), waits, st.integers(1, 2))


# The last one, in which nobody does anything: tomorrow, or when deletions are forgotten.
QUIET = st.sampled_from([1.0, 70 * DAY_S]).map(
    lambda wait_s: Try(
        [],
        Export(module="Leads", sync="changes", deleted=True, overlap_s=0.0),
        False,
        False,
        wait_s,
        1,
    )
)


@settings(max_examples=300, deadline=None)
@given(DEEDS, st.lists(st.booleans().flatmap(tries), min_size=1, max_size=6), QUIET)
def test_any_history_of_exports_put_together_is_the_truth(
    before: list[Deed], runs: list[Try], quiet: Try
) -> None:
    """With deletions listed or not in between, a quiet export at last brings all that is true."""
    crm = Crm()
    for deed in [*(Deed(0.0, "insert", pick) for pick in range(10)), *before]:
        crm.do(deed)
    committed, folders = None, []
    for one in [*runs, quiet]:
        folder, committed = play(crm, one, committed)
        folders.append(folder)
    assert put_together(folders) == crm.rows
