"""The record store beside a plain dictionary, and a module of a million records."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.sandbox import FieldSpec, ModuleSpec
from bulkfetch.sandbox.org.org import Org
from bulkfetch.sandbox.org.pages import OrgPage, PageFiles, PageMode, first_page, next_page
from bulkfetch.sandbox.org.query import OrgQuery, read_query
from bulkfetch.sandbox.org.store import BLOCK
from bulkfetch.sandbox.org.values import id_of

NAME = "Things"
SPEC = ModuleSpec(fields=(FieldSpec("Name", filled=0.5), FieldSpec("Size", "integer")))
NOW = 1_790_000_000


def org_of(records: int) -> Org:
    return Org({NAME: ModuleSpec(records=records, fields=SPEC.fields)}, 0, 3, 3)


def query_of(org: Org, **more: Any) -> OrgQuery:
    body = {"query": {"module": {"api_name": NAME}, **more}}
    return read_query(body, 8.0, org.view(), org.specs, 10)


STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "modify", "delete", "look"]), st.integers(0, 10**6)),
    max_size=25,
)


@pytest.mark.slow
@given(STEPS, st.sampled_from([0, 1, 7, BLOCK - 2]))
def test_the_store_is_what_a_dictionary_would_be(steps: list[tuple[str, int]], size: int) -> None:
    """Whatever is inserted, modified and deleted, over the edge of a block too; views stay."""
    org = org_of(size)
    store = org.store(NAME)
    model = {row["Id"]: row for row in org.rows(NAME, ["Name", "Modified_Time"], "utc")}
    looks = []
    for number, (step, pick) in enumerate(steps):
        now, name = NOW + number, f"name {number}"
        if step == "look":
            looks.append((store.view(), len(model), number))
        elif step == "insert":
            record_id = str(store.insert({"Name": name}, now))
            assert record_id not in model
            model[record_id] = {"Id": record_id, "Name": name}
        elif model:
            record_id = sorted(model)[pick % len(model)]
            if step == "modify":
                store.modify(int(record_id), {"Name": name}, now)
                model[record_id] = {"Id": record_id, "Name": name}
            else:
                store.delete(int(record_id), now)
                del model[record_id]
    found = {row["Id"]: row for row in org.rows(NAME, ["Name", "Modified_Time"], "utc")}
    assert list(found) == sorted(model, key=int)
    assert store.view().count() == len(model)
    for record_id, row in model.items():
        assert found[record_id]["Name"] == row["Name"]
        assert found[record_id]["Modified_Time"] >= row.get("Modified_Time", "2026")
    for view, count, number in looks:
        assert view.count() == count == sum(len(view.numbers(block)) for block in view.blocks)
        later = {f"name {n}" for n in range(number, len(steps))}
        assert not later & {name for b in view.blocks[-1:] for name in view.column("Name", b)}


@pytest.mark.parametrize("mode", ["snapshot", "live", "shifting"])
@given(records=st.integers(0, 30), per_page=st.integers(1, 12))
def test_the_pages_of_a_chain_are_the_whole(mode: PageMode, records: int, per_page: int) -> None:
    """Where nothing changes, every way of paging gives each record once, in full pages."""
    org = org_of(records)
    view = org.view()
    page = first_page(query_of(org), view, per_page, mode)
    pages = [page]
    while page.more:
        page = next_page(page, view, per_page, mode)
        pages.append(page)
    assert [each.number for each in pages] == list(range(1, len(pages) + 1))
    assert all(each.found.count == per_page for each in pages[:-1])
    numbers = [n for each in pages for _, span in each.found.spans for n in span]
    assert numbers == list(range(records))


def rows_of(page: OrgPage, files: PageFiles) -> list[bytes]:
    body = files.make(f"9{page.number}", page)
    with zipfile.ZipFile(io.BytesIO(body.read(0, body.length))) as archive:
        return archive.read(archive.namelist()[0]).splitlines()[1:]


@pytest.mark.slow
def test_a_million_records_come_once_each_in_five_pages() -> None:
    """A module is declared by its size; pages of 200,000 are cut out of it and packed."""
    org = org_of(1_000_000)
    store = org.store(NAME)
    store.delete(id_of(NAME, 0), NOW)
    store.insert({"Name": "the last"}, NOW)
    files = PageFiles("mixed")
    page = first_page(query_of(org, fields=["Name"]), org.view(), 200_000, "snapshot")
    ids = [line.partition(b",")[0] for line in rows_of(page, files)]
    while page.more:
        page = next_page(page, org.view(), 200_000, "snapshot")
        rows = rows_of(page, files)
        ids += [line.partition(b",")[0] for line in rows]
    assert page.number == 5
    assert len(set(ids)) == len(ids) == 1_000_000
    assert rows[-1].endswith(b",the last")
