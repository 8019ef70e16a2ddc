"""How an export's files are published together, on a real disk, cut at every step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.forked import forked
from tests.support.kill_steps import Cut

from bulkfetch.disk import write_file
from bulkfetch.errors import ExportLost, InvalidName, PublishConflict
from bulkfetch.exports.columns import Drift, columns_of
from bulkfetch.exports.manifest import DeletedFile, ExportPart, Manifest, PartFile
from bulkfetch.exports.publication import (
    ExportFolders,
    choose_target,
    complete,
    part_stem,
    prepare,
    publish,
    remove_abandoned,
    require_home,
    standing,
)

TARGET = "20260930T020001Z-full"
GENERATION = "7"
ROWS = b"Id,Name\n1,Boyle\n2,Doe\n"


def part(number: int) -> ExportPart:
    """Describe a part of two records."""
    return ExportPart(
        files=(PartFile(f"{part_stem(number)}.csv", "csv", len(ROWS), "ab" * 32),),
        job_id=f"55402300000056800{number}",
        page=number,
        count=2,
        records=2,
        zip_bytes=99,
        created_time="2026-09-30T07:30:01+05:30",
    )


def told_of(described: ExportPart) -> dict[str, object]:
    """Return what the manifest has of a part: its first file, and then all of them."""
    name = described.files[0].file
    digest = "ab" * 32
    return {
        "file": name,
        "job_id": described.job_id,
        "page": described.page,
        "count": 2,
        "records": 2,
        "bytes": len(ROWS),
        "sha256": digest,
        "zip_bytes": 99,
        "created_time": "2026-09-30T07:30:01+05:30",
        "chain": 1,
        "files": [{"file": name, "format": "csv", "bytes": len(ROWS), "sha256": digest}],
    }


MANIFEST = Manifest(
    export="Leads",
    account="default",
    module="Leads",
    mode="full",
    why="it is the first one",
    queries=[{"module": {"api_name": "Leads"}}],
    query_hash="cd" * 32,
    cursor_from=None,
    cursor_to="2026-09-30T07:30:01+05:30",
    overlap_s=600.0,
    started="2026-09-30T02:00:00Z",
    finished="2026-09-30T02:10:00Z",
    api_version="v8",
    parts=[part(1), part(2)],
    columns=columns_of([("Id", "Name")], {"Name": "text"}),
    drift=Drift(),
    credits_spent=118,
    credits_wasted=50,
    deleted=DeletedFile("deleted.csv", 1),
    warnings=["Müller\ud800"],
)


@pytest.fixture
def folders(tmp_path: Path) -> ExportFolders:
    """The folders of one export whose parts are all there."""
    return staged(tmp_path)


def staged(root: Path, generation: str = GENERATION) -> ExportFolders:
    """Put a generation's parts below a folder."""
    folders = ExportFolders(root / "out", "Leads")
    folders.out.mkdir(parents=True, exist_ok=True)
    prepare(folders, generation)
    for name in ("part-00001.csv", "part-00002.csv"):
        (folders.staged(generation) / name).write_bytes(ROWS)
    (folders.staged(generation) / "deleted.csv").write_bytes(b"id,deleted_time,type\n9,,\n")
    return folders


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def go_on(folders: ExportFolders, generation: str = GENERATION, wanted: str = TARGET) -> None:
    """Publish a generation from wherever an earlier call was cut, as the journal's keeper does.

    Two small files stand for the journal's words that the publication has begun, under which name,
    and that it is over.
    """
    begun, over = (folders.hidden.parent / f"{word}.{generation}" for word in ("begun", "over"))
    if over.exists():
        return
    if not begun.exists() or not begun.read_bytes():
        complete(folders, generation, MANIFEST)
        write_file(begun, choose_target(folders, wanted).encode())
    publish(folders, generation, begun.read_text())
    write_file(over, b"")


def test_an_export_is_published_by_one_rename_and_then_named(folders: ExportFolders) -> None:
    """All files stand in one folder, which latest.json names; nothing hidden is left of them."""
    go_on(folders)
    names = ("deleted.csv", "manifest.json", "part-00001.csv", "part-00002.csv", "schema.json")
    assert sorted(contents(folders.out)) == [
        ".bulkfetch/exports/begun.7",
        ".bulkfetch/exports/over.7",
        *(f"Leads/{TARGET}/{name}" for name in names),
        "Leads/latest.json",
    ]
    assert json.loads(folders.latest.read_bytes()) == {
        "format": 1,
        "export": "Leads",
        "folder": TARGET,
        "manifest": f"{TARGET}/manifest.json",
        "mode": "full",
        "cursor": {"from": None, "to": "2026-09-30T07:30:01+05:30", "overlap_s": 600.0},
        "records": 4,
        "finished": "2026-09-30T02:10:00Z",
    }


def test_the_manifest_has_every_key_that_readers_build_on(folders: ExportFolders) -> None:
    """Keys, their order and their kinds are a promise; odd foreign text is no obstacle."""
    go_on(folders)
    manifest = json.loads((folders.published(TARGET) / "manifest.json").read_bytes())
    assert manifest == {
        "format": 1,
        "export": "Leads",
        "account": "default",
        "module": "Leads",
        "mode": "full",
        "why": "it is the first one",
        "query": {"module": {"api_name": "Leads"}},
        "query_hash": "cd" * 32,
        "cursor": {"from": None, "to": "2026-09-30T07:30:01+05:30", "overlap_s": 600.0},
        "started": "2026-09-30T02:00:00Z",
        "finished": "2026-09-30T02:10:00Z",
        "api_version": "v8",
        "parts": [told_of(part(1)), told_of(part(2))],
        "records": 4,
        "columns": [
            {"name": "Id", "api_type": "bigint", "type": "text", "nullable": False},
            {"name": "Name", "api_type": "text", "type": "text", "nullable": True},
        ],
        "drift": {"added": [], "gone": [], "retyped": []},
        "deleted": {"file": "deleted.csv", "records": 1},
        "credits": {"spent": 118, "wasted": 50},
        "warnings": ["Müller\ud800"],
    }
    schema = json.loads((folders.published(TARGET) / "schema.json").read_bytes())
    assert schema == {"format": 1, "module": "Leads", "columns": manifest["columns"]}


def test_unknown_records_and_several_chains_are_told_as_such() -> None:
    """One part that could not be counted makes the sum null; each chain's query is there."""
    unknown = replace(MANIFEST, parts=[part(1), replace(part(2), records=None)])
    assert unknown.as_json()["records"] is None
    split = replace(MANIFEST, queries=[{"page": 1}, {"page": 2}]).as_json()
    assert (split["query"], split["queries"]) == ({"page": 1}, [{"page": 1}, {"page": 2}])


CUTS: list[Cut] = ["die", "ENOSPC", "EIO"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_at_any_step_leaves_all_or_nothing_and_can_be_gone_on_from(
    tmp_path: Path, cut: Cut
) -> None:
    """After a kill or a failing disk, readers find an older export or the whole new one."""

    def scene(name: str) -> ExportFolders:
        folders = staged(tmp_path / name, "1")
        go_on(folders, "1", "20260929T020001Z-full")
        return staged(tmp_path / name)

    whole = scene("whole")
    steps = forked(lambda: go_on(whole), tmp_path).steps
    assert len(steps) > 12
    for at in range(1, len(steps) + 1):
        folders = scene(f"{cut}{at}")
        ended = forked(lambda folders=folders: go_on(folders), tmp_path, at, cut)  # type: ignore[misc]
        where = f"{cut} at {at}: {steps[at - 1]}"
        # A folder that cannot be made, but is there, is no error.
        stays = cut != "die" and "mkdir" in where
        assert ended.status == (0 if stays else -signal.SIGKILL if cut == "die" else 1), where
        named = json.loads(folders.latest.read_bytes())["folder"]
        for target in {named, *os.listdir(folders.home)} - {"latest.json"}:
            assert len(contents(folders.published(target))) == 5, where
        go_on(folders)
        assert contents(folders.out) == contents(whole.out), where


def test_publishing_again_changes_nothing(folders: ExportFolders) -> None:
    """From each place where an export may stand, the same call ends at the same place."""
    complete(folders, GENERATION, MANIFEST)
    assert standing(folders, GENERATION, TARGET) == "staged"
    folders.home.mkdir()
    os.rename(folders.staged(GENERATION), folders.published(TARGET))
    assert standing(folders, GENERATION, TARGET) == "renamed"
    publish(folders, GENERATION, TARGET)
    assert standing(folders, GENERATION, TARGET) == "announced"
    before = contents(folders.out)
    assert publish(folders, GENERATION, TARGET) == folders.published(TARGET)
    assert contents(folders.out) == before


def test_a_folder_of_that_name_is_never_overwritten(folders: ExportFolders) -> None:
    """A taken name gets a number; one that is taken in between is an error, and nothing is lost."""
    folders.published(TARGET).mkdir(parents=True)
    folders.published(f"{TARGET}-2").write_text("mine")
    assert choose_target(folders, TARGET) == f"{TARGET}-3"
    complete(folders, GENERATION, MANIFEST)
    assert standing(folders, GENERATION, TARGET) == "taken"
    before = contents(folders.out)
    with pytest.raises(PublishConflict, match="appeared while the export was made"):
        publish(folders, GENERATION, TARGET)
    assert contents(folders.out) == before
    publish(folders, GENERATION, f"{TARGET}-3")
    assert json.loads(folders.latest.read_bytes())["folder"] == f"{TARGET}-3"


def _file(folders: ExportFolders) -> None:
    folders.home.write_text("mine")


def _link(folders: ExportFolders) -> None:
    (folders.out / "elsewhere").mkdir()
    folders.home.symlink_to("elsewhere")


def _dangling(folders: ExportFolders) -> None:
    folders.home.symlink_to("nowhere")


def _latest_file(folders: ExportFolders) -> None:
    folders.home.mkdir()
    folders.latest.write_text('{"mine": 1}')


def _latest_folder(folders: ExportFolders) -> None:
    folders.latest.mkdir(parents=True)


def _latest_link(folders: ExportFolders) -> None:
    folders.home.mkdir()
    (folders.out / "mine.json").write_text('{"export": "Leads"}')
    folders.latest.symlink_to("../mine.json")


def _other_case(folders: ExportFolders) -> None:
    (folders.out / "leads").mkdir()


@pytest.mark.parametrize(
    "put", [_file, _link, _dangling, _latest_file, _latest_folder, _latest_link, _other_case]
)
def test_what_the_user_put_there_is_said_before_and_stays(
    folders: ExportFolders, put: Callable[[ExportFolders], None]
) -> None:
    """A file, a link or a folder in the way is an error that names it; nothing is touched."""
    put(folders)
    complete(folders, GENERATION, MANIFEST)
    before = contents(folders.out)
    with pytest.raises(PublishConflict) as told:
        require_home(folders)
    assert told.value.path is not None
    assert told.value.path in told.value.message
    with pytest.raises(PublishConflict):
        publish(folders, GENERATION, TARGET)
    assert contents(folders.out) == before
    assert standing(folders, GENERATION, TARGET) == "staged"


def test_files_of_the_user_in_the_exports_folder_are_no_obstacle(folders: ExportFolders) -> None:
    """Notes beside the exports stay where they are."""
    folders.home.mkdir()
    (folders.home / "notes.txt").write_text("mine")
    require_home(folders)
    go_on(folders)
    assert (folders.home / "notes.txt").read_text() == "mine"


def test_an_output_folder_that_is_not_there_yet_is_no_obstacle(tmp_path: Path) -> None:
    """Nothing stands in the way of the first export of all."""
    require_home(ExportFolders(tmp_path / "out", "Leads"))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "con", "x.csv", "a\nb"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    """What would lead out of the output folder, or cannot be copied everywhere, makes no folder."""
    with pytest.raises(InvalidName):
        ExportFolders(tmp_path, name)


def test_a_part_that_is_gone_or_changed_is_not_published(folders: ExportFolders) -> None:
    """What the manifest names must be there in its size; the error names the file."""
    second = folders.staged(GENERATION) / "part-00002.csv"
    second.write_bytes(ROWS + b"3,x\n")
    with pytest.raises(ExportLost, match=r"part-00002\.csv was changed"):
        complete(folders, GENERATION, MANIFEST)
    second.unlink()
    with pytest.raises(ExportLost, match=r"part-00002\.csv is gone"):
        complete(folders, GENERATION, MANIFEST)
    with pytest.raises(ExportLost, match="is gone"):
        publish(folders, "8", TARGET)
    assert not folders.home.exists()


def test_a_folder_of_somebody_else_is_not_taken_for_ours(folders: ExportFolders) -> None:
    """With the hidden folder gone, a folder without our manifest does not count as published."""
    folders.published(TARGET).mkdir(parents=True)
    assert standing(folders, "8", TARGET) == "lost"
    (folders.published(TARGET) / "manifest.json").write_text("{")
    assert standing(folders, "8", TARGET) == "lost"


def test_parts_that_the_manifest_does_not_name_are_not_published(folders: ExportFolders) -> None:
    """What a chain that began again left behind goes; other files of ours stay."""
    folder = folders.staged(GENERATION)
    (folder / "part-00003.csv").write_bytes(ROWS)
    (folder / "554023000000568002.zip").write_bytes(b"PK")
    go_on(folders)
    names = os.listdir(folders.published(TARGET))
    assert "part-00003.csv" not in names
    assert "554023000000568002.zip" in names


def test_abandoned_generations_are_removed_and_nothing_else(folders: ExportFolders) -> None:
    """Only hidden folders of this export go, links are not followed, and kept ones stay."""
    precious = folders.out / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (folders.hidden / "link").symlink_to(precious)
    for generation in ("5", "6"):
        prepare(folders, generation)
    other = staged(folders.out.parent / "other")
    assert remove_abandoned(folders, keep=[GENERATION]) == ["5", "6"]
    assert sorted(os.listdir(folders.hidden)) == [GENERATION, "link"]
    assert (precious / "file").read_text() == "mine"
    assert other.staged(GENERATION).is_dir()
    fresh = ExportFolders(folders.out, "Deals")
    assert remove_abandoned(fresh, keep=[]) == []


def test_parts_are_made_below_the_output_folder(folders: ExportFolders) -> None:
    """The hidden folder is told as the pipeline wants it: with slashes, from the output folder."""
    assert folders.part_folder(GENERATION) == f".bulkfetch/exports/Leads/{GENERATION}"
    assert (part_stem(1), part_stem(123456)) == ("part-00001", "part-123456")
