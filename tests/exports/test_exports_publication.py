"""How an export's files are published together, at every destination, cut at every step."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.destinations import (
    AWS_ENV,
    DESTINATIONS,
    SeenDestination,
    bucket_destination,
    moto_destination,
)
from tests.support.forked import forked
from tests.support.kill_steps import Cut
from tests.support.s3_server import error

from bulkfetch.destination import ExportDestination
from bulkfetch.disk import write_file
from bulkfetch.errors import DestinationRefused, ExportLost, InvalidName, PublishConflict
from bulkfetch.exports.columns import Drift, columns_of
from bulkfetch.exports.manifest import DeletedFile, ExportPart, Manifest, PartFile
from bulkfetch.exports.publication import (
    ExportFolders,
    choose_target,
    complete,
    discard,
    part_stem,
    prepare,
    publish,
    remove_abandoned,
    require_home,
    require_unshared,
)
from bulkfetch.exports.published import (
    folder_in,
    is_newer,
    place_of,
    reported_file,
    target_of,
    url_above,
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


@dataclass(frozen=True)
class Scene:
    """An export whose parts are all there, and where it is to be published."""

    folders: ExportFolders
    seen: SeenDestination

    @property
    def destination(self) -> ExportDestination:
        """Where it is to be published."""
        return self.seen.destination

    @property
    def home(self) -> Path:
        """Where it is published in a folder."""
        assert self.seen.root is not None
        return self.seen.root / "Leads"

    @property
    def latest(self) -> Path:
        """What names the newest in a folder."""
        return self.home / "latest.json"

    def files(self, target: str) -> dict[str, bytes]:
        """Return the files of a published folder, by name."""
        above = f"{place_of('Leads', target)}/"
        found = self.seen.files().items()
        return {name.removeprefix(above): file for name, file in found if name.startswith(above)}

    def named(self) -> dict[str, object]:
        """Return what latest.json says."""
        content: dict[str, object] = json.loads(self.seen.files()["Leads/latest.json"])
        return content

    def publish(self, generation: str = GENERATION, target: str = TARGET) -> bool:
        """Publish a complete generation; return whether latest.json names it."""
        return publish(self.folders, generation, self.destination, target)

    def require_home(self) -> None:
        """Look whether something is in the way."""
        require_home(self.destination, "Leads")


FOLDERS = ("folder", "shared folder")


def opened(kind: str, root: Path) -> SeenDestination:
    """Open a folder as a run does that finds one there."""
    with DESTINATIONS[kind](root) as seen:
        return seen


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """The export in each kind of folder."""
    return Scene(staged(tmp_path), opened(request.param, tmp_path))


@pytest.fixture(params=[*DESTINATIONS, pytest.param("moto", marks=pytest.mark.slow)])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """The export at each destination."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    if request.param == "moto":
        yield Scene(staged(tmp_path), moto_destination(request.getfixturevalue("moto")))
        return
    with DESTINATIONS[request.param](tmp_path) as seen:
        yield Scene(staged(tmp_path), seen)


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


def go_on(scene: Scene, generation: str = GENERATION, wanted: str = TARGET) -> None:
    """Publish a generation from wherever an earlier call was cut, as the journal's keeper does.

    Two small files stand for the journal's words that the publication has begun, under which name,
    and that it is over.
    """
    folders = scene.folders
    begun, over = (folders.hidden.parent / f"{word}.{generation}" for word in ("begun", "over"))
    remove_abandoned(folders, keep=[generation])
    if over.exists():
        discard(folders, generation)
        return
    if not begun.exists() or not begun.read_bytes():
        target = choose_target(scene.destination, "Leads", wanted)
        complete(folders, generation, MANIFEST)
        write_file(begun, target.encode())
    scene.publish(generation, begun.read_text())
    write_file(over, b"")
    discard(folders, generation)


def test_an_export_is_published_together_and_then_named(scene: Scene) -> None:
    """All files stand in one folder, which latest.json names; nothing hidden is left of them."""
    go_on(scene)
    names = ("deleted.csv", "manifest.json", "part-00001.csv", "part-00002.csv", "schema.json")
    assert sorted(scene.seen.files()) == [
        *(f"Leads/{TARGET}/{name}" for name in names),
        "Leads/latest.json",
    ]
    assert os.listdir(scene.folders.hidden) == []
    assert scene.named() == {
        "format": 1,
        "export": "Leads",
        "account": "default",
        "module": "Leads",
        "folder": TARGET,
        "manifest": f"{TARGET}/manifest.json",
        "mode": "full",
        "cursor": {"from": None, "to": "2026-09-30T07:30:01+05:30", "overlap_s": 600.0},
        "records": 4,
        "finished": "2026-09-30T02:10:00Z",
    }


def test_the_manifest_has_every_key_that_readers_build_on(scene: Scene) -> None:
    """Keys, their order and their kinds are a promise; odd foreign text is no obstacle."""
    go_on(scene)
    manifest = json.loads(scene.files(TARGET)["manifest.json"])
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
    schema = json.loads(scene.files(TARGET)["schema.json"])
    assert schema == {"format": 1, "module": "Leads", "columns": manifest["columns"]}


def test_unknown_records_and_several_chains_are_told_as_such() -> None:
    """One part that could not be counted makes the sum null; each chain's query is there."""
    unknown = replace(MANIFEST, parts=[part(1), replace(part(2), records=None)])
    assert unknown.as_json()["records"] is None
    split = replace(MANIFEST, queries=[{"page": 1}, {"page": 2}]).as_json()
    assert (split["query"], split["queries"]) == ({"page": 1}, [{"page": 1}, {"page": 2}])


def test_a_manifest_in_a_bucket_lists_urls() -> None:
    """Each file has its own, so that a warehouse needs no more than the manifest to load it."""
    url = f"s3://lake/zoho/Leads/{TARGET}"
    told = replace(MANIFEST, url=url).as_json()
    assert [part["url"] for part in told["parts"]] == [
        f"{url}/part-00001.csv",
        f"{url}/part-00002.csv",
    ]
    assert [file["url"] for part in told["parts"] for file in part["files"]] == [
        part["url"] for part in told["parts"]
    ]
    assert told["deleted"] == {"file": "deleted.csv", "records": 1, "url": f"{url}/deleted.csv"}


@pytest.mark.parametrize("url", [None, "s3://lake", "s3://lake/zoho/Leads", "file:///srv"])
def test_a_published_folder_is_found_by_what_the_journal_has(url: str | None) -> None:
    """Where it was published, under which name, and what its files are called in reports."""
    above = "exports/" if url is None else f"{url}/"
    folder = folder_in(f"{above}Leads/{TARGET}")
    assert (url_above(folder, "Leads"), target_of(folder)) == (url, TARGET)
    assert reported_file("exports/", "Leads", folder, "x.csv") == f"{above}Leads/{TARGET}/x.csv"


CUTS: list[Cut] = ["die", "ENOSPC", "EIO"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_at_any_step_leaves_all_or_nothing_and_can_be_gone_on_from(
    tmp_path: Path, cut: Cut, kind: str
) -> None:
    """After a kill or a failing disk, readers find an older export or the whole new one."""

    def found(name: str) -> Scene:
        """Open what is there, as a run does."""
        root = tmp_path / name
        return Scene(ExportFolders(root / "out", "Leads"), opened(kind, root))

    def older(name: str) -> None:
        staged(tmp_path / name, "1")
        go_on(found(name), "1", "20260929T020001Z-full")
        staged(tmp_path / name)

    older("whole")
    steps = forked(lambda: go_on(found("whole")), tmp_path).steps
    assert len(steps) > 12
    for at in range(1, len(steps) + 1):
        name = f"{cut}{at}"
        older(name)
        ended = forked(lambda name=name: go_on(found(name)), tmp_path, at, cut)  # type: ignore[misc]
        where = f"{cut} at {at}: {steps[at - 1]}"
        assert ended.status == (-signal.SIGKILL if cut == "die" else 1), where
        scene = found(name)
        for target in {str(scene.named()["folder"]), *os.listdir(scene.home)} - {"latest.json"}:
            assert len(scene.files(target)) == 5, where
        go_on(scene)
        assert contents(tmp_path / name) == contents(tmp_path / "whole"), where


def is_whole(files: Mapping[str, bytes]) -> bool:
    """Return whether a folder has all that its manifest names."""
    return len(files) == 5


@pytest.mark.slow
def test_any_call_to_a_bucket_that_is_refused_leaves_the_older_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever follows latest.json, or looks for manifest.json, finds only what is whole; the next
    call goes on, and puts again nothing that is there."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    with bucket_destination(tmp_path) as seen:
        assert seen.server is not None
        server, number = seen.server, 0
        scene = Scene(staged(tmp_path, "1"), seen)
        go_on(scene, "1", "20260929T020001Z-full")
        while True:
            number += 1
            target = f"20260930T{number:06}Z-full"
            staged(tmp_path, f"{number + 1}")
            left, before, calls = [number], scene.named(), len(server.calls)

            def refuse(_: object, left: list[int] = left) -> object:
                left[0] -= 1
                return error(403, "AccessDenied") if left[0] == 0 else None

            server.faults = dict.fromkeys(("LIST", "HEAD", "GET", "PUT"), refuse)  # type: ignore[arg-type]
            try:
                go_on(scene, f"{number + 1}", target)
            except DestinationRefused:
                server.faults = {}
            else:
                break
            where = server.calls[calls + number - 1]
            assert scene.named() == before, where
            assert "manifest.json" not in scene.files(target) or is_whole(scene.files(target))
            go_on(scene, f"{number + 1}", target)
            assert (scene.named()["folder"], is_whole(scene.files(target))) == (target, True)
            puts = [key for kind, key in server.calls[calls:] if kind == "PUT"]
            assert len(puts) - len(set(puts)) == (where[0] == "PUT"), where
        assert number > 15


def test_publishing_again_changes_nothing(scene: Scene) -> None:
    """From each place where an export may stand, the same call ends at the same place."""
    complete(scene.folders, GENERATION, MANIFEST)
    destination = scene.destination
    destination.publish_folder(
        scene.folders.staged(GENERATION), place_of("Leads", TARGET), "manifest.json", lambda: None
    )
    assert "Leads/latest.json" not in scene.seen.files()
    assert scene.publish()
    before = scene.seen.files()
    assert scene.named()["folder"] == TARGET
    assert scene.publish()
    discard(scene.folders, GENERATION)
    assert scene.publish()
    assert scene.seen.files() == before
    assert scene.seen.drafts() == 0


OLDER, NEWER = "20260929T020001Z-full", "20261001T020001Z-changes-2"


def test_a_host_that_is_late_leaves_the_newer_one_named(scene: Scene) -> None:
    """Its export is there as a whole, and readers of latest.json still find the newest."""
    go_on(scene, wanted=NEWER)
    newest = scene.seen.files()["Leads/latest.json"]
    staged(scene.folders.out.parent, "8")
    complete(scene.folders, "8", MANIFEST)
    assert not scene.publish("8", OLDER)
    assert is_whole(scene.files(OLDER))
    assert scene.seen.files()["Leads/latest.json"] == newest
    assert scene.seen.drafts() == 0


@pytest.mark.parametrize("before", [None, OLDER])
@pytest.mark.parametrize("rival", [OLDER, NEWER])
def test_what_another_host_announces_in_between_is_looked_at_again(
    scene: Scene, before: str | None, rival: str
) -> None:
    """Between the look at latest.json and its replacement somebody else may publish."""

    def announced(target: str) -> bytes:
        return json.dumps({"export": "Leads", "folder": target}).encode()

    class Late:
        """The destination, at which the rival comes first, once."""

        def __getattr__(self, name: str) -> object:
            return getattr(scene.seen.destination, name)

        def replace(self, place: str, content: bytes, expected: bytes | None) -> bool:
            if not comes.pop():
                scene.seen.put(place, announced(rival) + b"\n")
            return scene.seen.destination.replace(place, content, expected)

    comes = [True, False]
    if before is not None:
        scene.seen.put("Leads/latest.json", announced(before))
    complete(scene.folders, GENERATION, MANIFEST)
    late: Any = Late()
    named = publish(scene.folders, GENERATION, late, TARGET)
    assert named == (rival == OLDER)
    assert scene.named()["folder"] == (TARGET if named else NEWER)
    assert scene.seen.drafts() == 0


def require_mine(scene: Scene, last: str | None, account: str = "default") -> bool:
    """Look whether another output folder publishes where this one does."""
    return require_unshared(scene.destination, "Leads", account=account, module="Leads", last=last)


def test_a_place_that_another_output_folder_has_taken_is_told(scene: Scene) -> None:
    """Who has published there finds the other; who comes new takes over, if it is this export."""
    mine = folder_in(scene.destination.reported(place_of("Leads", TARGET)))
    is_shared = "://" in mine
    assert not require_mine(scene, None)
    go_on(scene)
    assert not require_mine(scene, mine)
    assert require_mine(scene, None) == is_shared
    assert require_mine(scene, "s3://elsewhere/Leads/20260930T020001Z-full") == is_shared
    if is_shared:
        with pytest.raises(PublishConflict, match="is of the account default, not of acme"):
            require_mine(scene, None, account="acme")
    before = folder_in(scene.destination.reported(place_of("Leads", OLDER)))
    if is_shared:
        with pytest.raises(PublishConflict, match="another output folder has published") as caught:
            require_mine(scene, before)
        assert caught.value.hint is not None
        assert "remove latest.json" in caught.value.hint
    else:  # nobody else publishes in the output folder, which is locked
        assert not require_mine(scene, before)


def test_which_of_two_folders_is_newer() -> None:
    """By the service's time in their names; what has none is never newer."""
    assert is_newer(NEWER, TARGET)
    assert not is_newer(TARGET, NEWER)
    assert not is_newer(f"{TARGET}-2", TARGET)
    assert not is_newer("zebra", TARGET)
    assert not is_newer(NEWER, "zebra")


def test_a_folder_of_that_name_is_never_overwritten(scene: Scene) -> None:
    """A taken name gets a number; one that is taken in between is an error, and nothing is lost."""
    destination = scene.destination
    scene.seen.put(f"Leads/{TARGET}/part-00001.csv", b"mine")
    scene.seen.put(f"Leads/{TARGET}-2/notes.txt", b"mine")
    assert choose_target(destination, "Leads", TARGET) == f"{TARGET}-3"
    complete(scene.folders, GENERATION, MANIFEST)
    before = scene.seen.files()
    with pytest.raises(PublishConflict, match=r"appeared (while the export was made|meanwhile)"):
        scene.publish()
    kept = {name: scene.seen.files()[name] for name in before}
    assert kept == before
    assert "Leads/latest.json" not in scene.seen.files()
    scene.publish(target=f"{TARGET}-3")
    assert scene.named()["folder"] == f"{TARGET}-3"


def test_it_is_cut_off_where_the_caller_says(scene: Scene) -> None:
    """A stop need not wait for the last of many files; what was put stays, and is gone on with."""
    complete(scene.folders, GENERATION, MANIFEST)
    looked: list[None] = []

    def check() -> None:
        looked.append(None)
        if len(looked) == 4:
            raise asyncio.CancelledError

    with suppress(asyncio.CancelledError):
        publish(scene.folders, GENERATION, scene.destination, TARGET, check)
    assert "Leads/latest.json" in scene.seen.files() or len(looked) == 4
    assert scene.seen.drafts() == 0
    scene.publish()
    assert is_whole(scene.files(TARGET))


def _file(scene: Scene) -> None:
    scene.home.write_text("mine")


def _link(scene: Scene) -> None:
    (scene.home.parent / "elsewhere").mkdir()
    scene.home.symlink_to("elsewhere")


def _dangling(scene: Scene) -> None:
    scene.home.symlink_to("nowhere")


def _latest_folder(scene: Scene) -> None:
    scene.latest.mkdir(parents=True)


def _latest_link(scene: Scene) -> None:
    scene.home.mkdir()
    (scene.home.parent / "mine.json").write_text('{"export": "Leads"}')
    scene.latest.symlink_to("../mine.json")


def _other_case(scene: Scene) -> None:
    (scene.home.parent / "leads").mkdir()


@pytest.mark.parametrize(
    "put", [_file, _link, _dangling, _latest_folder, _latest_link, _other_case]
)
def test_what_the_user_put_there_is_said_before_and_stays(
    folder: Scene, put: Callable[[Scene], None]
) -> None:
    """A file, a link or a folder in the way is an error that names it; nothing is touched."""
    put(folder)
    complete(folder.folders, GENERATION, MANIFEST)
    before = contents(folder.home.parent)
    with pytest.raises(PublishConflict, match=r"^(exports|file:///.*)/[Ll]eads"):
        folder.require_home()
    with pytest.raises(PublishConflict):
        folder.publish()
    assert contents(folder.home.parent) == before


@pytest.mark.parametrize("content", [b'{"mine": 1}', b'{"export": "Deals"}', b"[]", b"\xff", b""])
def test_a_latest_json_of_somebody_else_stays(scene: Scene, content: bytes) -> None:
    """It is said before credits are spent, and nothing of the export is shown beside it."""
    scene.seen.put("Leads/latest.json", content)
    complete(scene.folders, GENERATION, MANIFEST)
    for act in (scene.require_home, scene.publish):
        with pytest.raises(PublishConflict, match=r"Leads/latest\.json was not published by"):
            act()
    assert scene.seen.files() == {"Leads/latest.json": content}


def test_files_of_the_user_in_the_exports_folder_are_no_obstacle(scene: Scene) -> None:
    """Notes beside the exports stay where they are."""
    scene.seen.put("Leads/notes.txt", b"mine")
    scene.require_home()
    go_on(scene)
    assert scene.seen.files()["Leads/notes.txt"] == b"mine"


def test_a_destination_that_is_not_there_yet_is_no_obstacle(scene: Scene) -> None:
    """Nothing stands in the way of the first export of all."""
    scene.require_home()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "con", "x.csv", "a\nb"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    """What would lead out of the output folder, or cannot be copied everywhere, makes no folder."""
    with pytest.raises(InvalidName):
        ExportFolders(tmp_path, name)


def test_a_part_that_is_gone_or_changed_is_not_published(scene: Scene) -> None:
    """What the manifest names must be there in its size; the error names the file."""
    second = scene.folders.staged(GENERATION) / "part-00002.csv"
    second.write_bytes(ROWS + b"3,x\n")
    with pytest.raises(ExportLost, match=r"part-00002\.csv was changed"):
        complete(scene.folders, GENERATION, MANIFEST)
    second.unlink()
    with pytest.raises(ExportLost, match=r"part-00002\.csv is gone"):
        complete(scene.folders, GENERATION, MANIFEST)
    with pytest.raises(ExportLost, match="is gone"):
        scene.publish("8")
    assert scene.seen.files() == {}


@pytest.mark.parametrize("manifest", [None, b"{", b'{"export": "Deals"}'])
def test_a_folder_of_somebody_else_is_not_taken_for_ours(
    scene: Scene, manifest: bytes | None
) -> None:
    """With the hidden folder gone, a folder without our manifest does not count as published."""
    scene.seen.put(f"Leads/{TARGET}/part-00001.csv", b"mine")
    if manifest is not None:
        scene.seen.put(f"Leads/{TARGET}/manifest.json", manifest)
    with pytest.raises(ExportLost, match="is gone"):
        scene.publish("8")


def test_parts_that_the_manifest_does_not_name_are_not_published(scene: Scene) -> None:
    """What a chain that began again left behind goes; other files of ours stay."""
    folder = scene.folders.staged(GENERATION)
    (folder / "part-00003.csv").write_bytes(ROWS)
    (folder / "554023000000568002.zip").write_bytes(b"PK")
    go_on(scene)
    assert "part-00003.csv" not in scene.files(TARGET)
    assert "554023000000568002.zip" in scene.files(TARGET)


def test_abandoned_generations_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """Only hidden folders of this export go, links are not followed, and kept ones stay."""
    folders = staged(tmp_path)
    precious = folders.out / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (folders.hidden / "link").symlink_to(precious)
    for generation in ("5", "6"):
        prepare(folders, generation)
    other = staged(folders.out.parent / "other")
    remove_abandoned(folders, keep=[GENERATION])
    assert sorted(os.listdir(folders.hidden)) == [GENERATION, "link"]
    assert (precious / "file").read_text() == "mine"
    assert other.staged(GENERATION).is_dir()
    fresh = ExportFolders(folders.out, "Deals")
    remove_abandoned(fresh, keep=[])
    assert not fresh.hidden.exists()


def test_parts_are_made_below_the_output_folder(tmp_path: Path) -> None:
    """The hidden folder is told as the pipeline wants it: with slashes, from the output folder."""
    folders = ExportFolders(tmp_path, "Leads")
    assert folders.part_folder(GENERATION) == f".bulkfetch/exports/Leads/{GENERATION}"
    assert (part_stem(1), part_stem(123456)) == ("part-00001", "part-123456")
