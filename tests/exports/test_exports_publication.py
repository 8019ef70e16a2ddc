"""How an export's files are published together, in a folder and in a bucket, cut at every step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.destinations import (
    AWS_ENV,
    SeenDestination,
    bucket_destination,
    folder_destination,
)
from tests.support.forked import forked
from tests.support.kill_steps import Cut
from tests.support.s3_server import error

from bulkfetch.destination import ExportDestination, FolderDestination
from bulkfetch.destination.bucket import BucketDestination
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
)
from bulkfetch.exports.published import (
    bucket_above,
    folder_in,
    place_of,
    reported_file,
    target_of,
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
        assert isinstance(self.seen.destination, FolderDestination | BucketDestination)
        return self.seen.destination

    @property
    def home(self) -> Path:
        """Where it is published in a folder."""
        return self.folders.out / "Leads"

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

    def publish(self, generation: str = GENERATION, target: str = TARGET) -> None:
        """Publish a complete generation."""
        publish(self.folders, generation, self.destination, target)

    def require_home(self) -> None:
        """Look whether something is in the way."""
        require_home(self.destination, "Leads")


def in_folder(root: Path) -> Scene:
    """Put a generation's parts below a folder, in which they are to be published."""
    with folder_destination(root, "exports") as seen:
        return Scene(staged(root), seen)


@pytest.fixture
def folder(tmp_path: Path) -> Scene:
    """The export in a folder."""
    return in_folder(tmp_path)


@pytest.fixture(params=["folder", "bucket"])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """The export at each destination."""
    if request.param == "folder":
        yield in_folder(tmp_path)
        return
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    with bucket_destination(tmp_path) as seen:
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


@pytest.mark.parametrize("url", [None, "s3://lake", "s3://lake/zoho/Leads"])
def test_a_published_folder_is_found_by_what_the_journal_has(url: str | None) -> None:
    """Where it was published, under which name, and what its files are called in reports."""
    folder = folder_in(url, "Leads", TARGET)
    assert (bucket_above(folder, "Leads"), target_of(folder)) == (url, TARGET)
    above = "exports/" if url is None else f"{url}/"
    assert reported_file("exports/", "Leads", folder, "x.csv") == f"{above}Leads/{TARGET}/x.csv"


CUTS: list[Cut] = ["die", "ENOSPC", "EIO"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_at_any_step_leaves_all_or_nothing_and_can_be_gone_on_from(
    tmp_path: Path, cut: Cut
) -> None:
    """After a kill or a failing disk, readers find an older export or the whole new one."""

    def older(name: str) -> Scene:
        with folder_destination(tmp_path / name, "exports") as seen:
            scene = Scene(staged(tmp_path / name, "1"), seen)
        go_on(scene, "1", "20260929T020001Z-full")
        staged(tmp_path / name)
        return scene

    whole = older("whole")
    steps = forked(lambda: go_on(whole), tmp_path).steps
    assert len(steps) > 12
    for at in range(1, len(steps) + 1):
        scene = older(f"{cut}{at}")
        ended = forked(lambda scene=scene: go_on(scene), tmp_path, at, cut)  # type: ignore[misc]
        where = f"{cut} at {at}: {steps[at - 1]}"
        # A folder that cannot be made, but is there, is no error.
        stays = cut != "die" and "mkdir" in where
        assert ended.status == (0 if stays else -signal.SIGKILL if cut == "die" else 1), where
        for target in {str(scene.named()["folder"]), *os.listdir(scene.home)} - {"latest.json"}:
            assert len(scene.files(target)) == 5, where
        go_on(scene)
        assert contents(scene.folders.out) == contents(whole.folders.out), where


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
    scene.publish()
    before = scene.seen.files()
    assert scene.named()["folder"] == TARGET
    scene.publish()
    discard(scene.folders, GENERATION)
    scene.publish()
    assert scene.seen.files() == before
    assert scene.seen.drafts() == 0


def test_a_folder_of_that_name_is_never_overwritten(scene: Scene) -> None:
    """A taken name gets a number; one that is taken in between is an error, and nothing is lost."""
    destination = scene.destination
    scene.seen.put(f"Leads/{TARGET}/part-00001.csv", b"mine")
    scene.seen.put(f"Leads/{TARGET}-2/notes.txt", b"mine")
    assert choose_target(destination, "Leads", TARGET) == f"{TARGET}-3"
    complete(scene.folders, GENERATION, MANIFEST)
    before = scene.seen.files()
    with pytest.raises(PublishConflict, match="appeared while the export was made"):
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
            raise LookupError

    with suppress(LookupError):
        publish(scene.folders, GENERATION, scene.destination, TARGET, check)
    assert "Leads/latest.json" in scene.seen.files() or len(looked) == 4
    assert scene.seen.drafts() == 0
    scene.publish()
    assert is_whole(scene.files(TARGET))


def _file(scene: Scene) -> None:
    scene.home.write_text("mine")


def _link(scene: Scene) -> None:
    (scene.folders.out / "elsewhere").mkdir()
    scene.home.symlink_to("elsewhere")


def _dangling(scene: Scene) -> None:
    scene.home.symlink_to("nowhere")


def _latest_folder(scene: Scene) -> None:
    scene.latest.mkdir(parents=True)


def _latest_link(scene: Scene) -> None:
    scene.home.mkdir()
    (scene.folders.out / "mine.json").write_text('{"export": "Leads"}')
    scene.latest.symlink_to("../mine.json")


def _other_case(scene: Scene) -> None:
    (scene.folders.out / "leads").mkdir()


@pytest.mark.parametrize(
    "put", [_file, _link, _dangling, _latest_folder, _latest_link, _other_case]
)
def test_what_the_user_put_there_is_said_before_and_stays(
    folder: Scene, put: Callable[[Scene], None]
) -> None:
    """A file, a link or a folder in the way is an error that names it; nothing is touched."""
    put(folder)
    complete(folder.folders, GENERATION, MANIFEST)
    before = contents(folder.folders.out)
    with pytest.raises(PublishConflict, match=r"^exports/[Ll]eads"):
        folder.require_home()
    with pytest.raises(PublishConflict):
        folder.publish()
    assert contents(folder.folders.out) == before


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
    assert remove_abandoned(folders, keep=[GENERATION]) == ["5", "6"]
    assert sorted(os.listdir(folders.hidden)) == [GENERATION, "link"]
    assert (precious / "file").read_text() == "mine"
    assert other.staged(GENERATION).is_dir()
    fresh = ExportFolders(folders.out, "Deals")
    assert remove_abandoned(fresh, keep=[]) == []


def test_parts_are_made_below_the_output_folder(tmp_path: Path) -> None:
    """The hidden folder is told as the pipeline wants it: with slashes, from the output folder."""
    folders = ExportFolders(tmp_path, "Leads")
    assert folders.part_folder(GENERATION) == f".bulkfetch/exports/Leads/{GENERATION}"
    assert (part_stem(1), part_stem(123456)) == ("part-00001", "part-123456")
