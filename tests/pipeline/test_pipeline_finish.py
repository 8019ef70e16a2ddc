"""The order of steps from a complete body to a published file, written down as they are done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import Seen, ids, small, watch
from tests.support.zips import Item, pack

from bulkfetch import Job, disk
from bulkfetch.archive import ExtractLimits, extract, inspect
from bulkfetch.journal import Journal
from bulkfetch.pipeline import finish


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
            (finish, ("inspect", "extract", "fsync_file", "fsync_dir")),
            (disk, ("fsync_file", "fsync_dir")),
            (disk.Unsynced, ("sync",)),
            (os, ("replace", "rename")),
            (Journal, ("all_downloaded", "all_done", "failed")),
        ):
            for name in names:
                call = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, note(name, call)))
        stack.enter_context(patch.object(Path, "unlink", _unlink(steps)))
        yield steps


def _told(argument: object) -> str | None:
    match argument:
        case str() | os.PathLike():
            return Path(argument).suffix or "folder"
        case _:
            return None


def _unlink(steps: list[str]) -> Callable[..., None]:
    unlink = Path.unlink

    def noted(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            steps.append(f"unlink {path.suffix}")
        unlink(path, missing_ok=missing_ok)

    return noted


def run_one(out: Path, **how: Any) -> list[str]:
    """Run a list of one job and give the steps, those of opening the journal left out."""
    with written_down() as steps:
        run_flow(watch(small(**how.pop("sandbox", {})), [Job(ids(1)[0])], out, **how))
    first = next(step for step in steps if step.startswith("inspect"))
    return steps[steps.index(first) :]


def test_order(tmp_path: Path) -> None:
    """Verified, synced, journal, extracted, synced, renamed, folder synced, journal, ZIP gone."""
    assert run_one(tmp_path / "out") == [
        "inspect .part",
        "fsync_file .part",
        "replace .part → .zip",
        "fsync_dir folder",
        "all_downloaded",
        "extract .zip → .out",
        "sync",
        "rename .out → .csv",
        "fsync_dir folder",
        "all_done",
        "unlink .zip",
    ]


def test_syncing_is_syncing(tmp_path: Path) -> None:
    """What says that it syncs asks the system to, after the last byte and before the name."""
    with patch.object(os, "fsync", wraps=os.fsync) as synced:
        disk.write_file(tmp_path / "a", b"more")
        assert len(synced.mock_calls) == 1
        assert (tmp_path / "a").read_bytes() == b"more"
        archive = tmp_path / "in.zip"
        archive.write_bytes(pack(Item(data=b"Id\n1\n")))
        limits = ExtractLimits(file_bytes=1 << 20)
        member = inspect(archive, limits)
        with closing(disk.Unsynced()) as unsynced:
            for name in "bc":
                extract(archive, member, tmp_path / name, limits, unsynced=unsynced)
            assert len(synced.mock_calls) == 1
            unsynced.sync()
            assert len(synced.mock_calls) == 3
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == b"Id\n1\n"


def test_order_with_kept_zip(tmp_path: Path) -> None:
    """A kept ZIP is published before its file: who sees the file finds the ZIP."""
    steps = run_one(tmp_path / "out", keep_zip=True)
    kept, published = steps.index("rename .keep → .zip"), steps.index("rename .out → .csv")
    assert steps.index("extract .zip → .out") < kept < published < steps.index("all_done")
    assert steps[kept - 1] == "fsync_file .keep"
    assert steps[kept + 1] == "fsync_dir folder"


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


def run_many(out: Path, count: int, **how: Any) -> tuple[list[str], Seen]:
    """Run a list whose results all wait when the finishers come; give steps and what was seen."""
    go = threading.Event()
    steps_of: list[str] = []

    def held(*arguments: Any, **more: Any) -> Any:
        # The first to be inspected waits until the others have come.
        go.wait(0.3)
        go.set()
        return inspect(*arguments, **more)

    with patch.object(finish, "inspect", held), written_down() as steps:
        seen = run_flow(
            watch(
                small(requests=1000, **how),
                ids(count),
                out,
                window={"requests": 1000, "concurrency": count},
            )
        )
        steps_of = list(steps)
    return steps_of, seen


def test_small_results_share_their_steps(tmp_path: Path) -> None:
    """Several small ones: each file is synced, folders and journal once for many, in order."""
    steps, seen = run_many(tmp_path / "out", 40)
    assert seen.report.done == 40
    steps = steps[steps.index("inspect .part") :]
    assert steps.count("extract .zip → .out") == 40
    batches = steps.count("all_done")
    assert batches < 40
    assert (steps.count("sync"), steps.count("fsync_dir folder")) == (batches, 2 * batches)
    # One finisher takes one batch after the other, so that each one's steps stand in order.
    kinds = ("all_downloaded", "extract", "sync", "rename", "all_done")
    seen_kinds = [step.split()[0] for step in steps if step.startswith(kinds)]
    assert [kind for kind, _ in groupby(seen_kinds)] == list(kinds) * batches


def test_one_refused_among_small_ones(tmp_path: Path) -> None:
    """A refused archive is its own job's end: those finished along with it are done."""
    bad = ids(40)[7]
    _, seen = run_many(tmp_path / "out", 40, faults={bad: ("zip_encrypted",)})
    assert (seen.report.done, seen.report.failed) == (39, 1)
    assert [outcome.job_id for outcome in seen.outcomes if outcome.status == "failed"] == [bad]


@pytest.mark.slow
def test_small_zips_of_large_files(tmp_path: Path) -> None:
    """After so many bytes unpacked the rest of a batch waits for another hop; all are done."""
    with patch.object(finish, "UNPACK_BYTES", 1):
        _, seen = run_many(tmp_path / "out", 40)
    assert seen.report.done == 40
