"""The order of steps from a complete body to a published file, written down as they are done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.flow_clock import run_flow
from tests.support.flows import Seen, ids, small, watch

from bulkfetch import Job, disk
from bulkfetch.archive import ArchivedFile, FileDraft, suffixes
from bulkfetch.destination import folder
from bulkfetch.journal import Journal
from bulkfetch.pipeline import publish


@contextmanager
def written_down() -> Iterator[list[str]]:
    """Write down each step that matters to a power cut, in order, while the body runs."""
    steps: list[str] = []

    def note(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            ends = " → ".join(filter(None, map(_told, arguments)))
            steps.append(f"{name} {ends}".strip())
            return call(*arguments, **more)

        return noted

    with ExitStack() as stack:
        for owner, names in (
            (publish, ("inspect", "fsync_file", "fsync_dir")),
            (suffixes, ("extract", "extract_gzip")),
            (folder, ("fsync_file", "fsync_dir")),
            (disk, ("fsync_file", "fsync_dir")),
            (os, ("replace", "rename")),
            (Journal, ("downloaded", "done", "failed")),
        ):
            for name in names:
                call = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, note(name, call)))
        stack.enter_context(patch.object(publish, "remove", _remove(steps)))
        yield steps


def _told(argument: object) -> str | None:
    match argument:
        case str() | os.PathLike():
            return Path(argument).suffix or "folder"
        case ArchivedFile():
            return Path(argument.archive).suffix
        case FileDraft():
            return Path(argument.path).suffix
        case _:
            return None


def _remove(steps: list[str]) -> Callable[..., None]:
    def noted(*paths: str) -> None:
        steps.extend(f"remove {Path(path).suffix}" for path in paths if os.path.exists(path))
        disk.remove(*paths)

    return noted


def run_one(out: Path, job: Job | None = None, **how: Any) -> list[str]:
    """Run a list of one job and give the steps, those of opening the journal left out."""
    with written_down() as steps:
        run_flow(watch(small(**how.pop("sandbox", {})), [job or Job(ids(1)[0])], out, **how))
    first = next(step for step in steps if step.startswith("inspect"))
    return steps[steps.index(first) :]


def test_order(tmp_path: Path) -> None:
    """Verified, synced, journal, extracted, synced, renamed, folder synced, journal, ZIP gone."""
    assert run_one(tmp_path / "out") == [
        "inspect .part",
        "fsync_file .part",
        "replace .part → .zip",
        "fsync_dir folder",
        "downloaded",
        "extract .zip → .out",
        "fsync_file .out",
        "rename .out → .csv",
        "fsync_dir folder",
        "done",
        "remove .zip",
    ]


def test_syncing_is_syncing(tmp_path: Path) -> None:
    """What says that it syncs asks the system to, after the last byte."""
    with patch.object(os, "fsync", wraps=os.fsync) as synced:
        disk.write_file(tmp_path / "a", b"more")
        assert len(synced.mock_calls) == 1
        assert (tmp_path / "a").read_bytes() == b"more"
        disk.fsync_file(tmp_path / "a")
        assert len(synced.mock_calls) == 2


def test_order_with_kept_zip(tmp_path: Path) -> None:
    """A kept ZIP is published before its file: who sees the file finds the ZIP."""
    steps = run_one(tmp_path / "out", keep_zip=True)
    kept, published = steps.index("rename .keep → .zip"), steps.index("rename .out → .csv")
    assert steps.index("extract .zip → .out") < kept < published < steps.index("done")
    assert "fsync_file .keep" in steps[:kept]
    assert steps[published + 1] == "fsync_dir folder"


def test_order_with_a_folder(tmp_path: Path) -> None:
    """The names of its folders are synced, each in the one above, before the file is in it."""
    steps = run_one(tmp_path / "out", Job(ids(1)[0], folder="Leads/part"))
    renamed = steps.index("rename .out → .csv")
    assert steps[renamed - 3 : renamed + 3] == [
        "fsync_file .out",
        "fsync_dir folder",
        "fsync_dir folder",
        "rename .out → .csv",
        "fsync_dir folder",
        "done",
    ]


def test_order_of_a_count_that_differs(tmp_path: Path) -> None:
    """Nothing is renamed to its final name; the second archive is in quarantine."""
    steps = run_one(tmp_path / "out", Job(ids(1)[0], records=21))
    assert not any(step.startswith("rename") for step in steps)
    assert steps.count("extract .zip → .out") == 2
    assert steps[-1] == "failed"


def test_order_of_a_refusal(tmp_path: Path) -> None:
    """A refused archive is in quarantine before its failure is written down."""
    refused = {"faults": {ids(1)[0]: ("zip_encrypted",)}}
    steps = run_one(tmp_path / "out", sandbox=refused)
    assert steps == ["inspect .part", "replace .part → .zip", "failed"]


def test_kept_zips_without_links(tmp_path: Path) -> None:
    """A ZIP is kept by a link, and by a copy where the file system has no links."""
    out = tmp_path / "out"
    run_one(out, keep_zip=True)
    archive = (out / f"{ids(1)[0]}.zip").read_bytes()

    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    with patch.object(os, "link", no_links):
        run_one(tmp_path / "other", keep_zip=True)
    assert (tmp_path / "other" / f"{ids(1)[0]}.zip").read_bytes() == archive


def run_many(out: Path, count: int, **how: Any) -> Seen:
    """Run a list whose results all come at once."""
    return run_flow(
        watch(
            small(requests=1000, **how),
            ids(count),
            out,
            window={"requests": 1000, "concurrency": count},
        )
    )


def test_each_of_many_keeps_the_order(tmp_path: Path) -> None:
    """Side by side, each result passes the steps in their order, and its ZIP is gone in the end."""
    with written_down() as steps:
        seen = run_many(tmp_path / "out", 40)
    assert seen.report.done == 40
    for step in ("extract .zip → .out", "fsync_file .out", "rename .out → .csv", "remove .zip"):
        assert steps.count(step) == 40
    assert steps.count("downloaded") == steps.count("done") == 40


def test_one_refused_among_small_ones(tmp_path: Path) -> None:
    """A refused archive is its own job's end: those published beside it are done."""
    bad = ids(40)[7]
    seen = run_many(tmp_path / "out", 40, faults={bad: ("zip_encrypted",)})
    assert (seen.report.done, seen.report.failed) == (39, 1)
    assert [outcome.job_id for outcome in seen.outcomes if outcome.status == "failed"] == [bad]
