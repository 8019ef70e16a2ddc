"""The order of steps from a complete body to a published file, written down as they are done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.flow_clock import run_flow
from tests.support.flows import ids, small, watch

from bulkfetch import Job, disk
from bulkfetch.journal import Journal
from bulkfetch.pipeline import finish


@contextmanager
def written_down() -> Iterator[list[str]]:
    """Write down each step that matters to a power cut, in order, while the body runs."""
    steps: list[str] = []

    def note(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            paths = [each for each in arguments if isinstance(each, str | os.PathLike)]
            ends = " → ".join(Path(path).suffix or "folder" for path in paths)
            steps.append(f"{name} {ends}".strip())
            return call(*arguments, **more)

        return noted

    with ExitStack() as stack:
        for owner, names in (
            (finish, ("inspect", "extract", "fsync_file", "fsync_dir")),
            (disk, ("fsync_file", "fsync_dir")),
            (os, ("replace", "rename")),
            (Journal, ("all_downloaded", "all_done", "failed")),
        ):
            for name in names:
                call = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, note(name, call)))
        stack.enter_context(patch.object(Path, "unlink", _unlink(steps)))
        yield steps


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
    return steps[steps.index("inspect .part") :]


def test_order(tmp_path: Path) -> None:
    """Verified, synced, journal, extracted, synced, renamed, folder synced, journal, ZIP gone."""
    assert run_one(tmp_path / "out") == [
        "inspect .part",
        "fsync_file .part",
        "replace .part → .zip",
        "fsync_dir folder",
        "all_downloaded",
        "extract .zip → .out",
        "fsync_file .out",
        "rename .out → .csv",
        "fsync_dir folder",
        "all_done",
        "unlink .zip",
    ]


def test_order_with_kept_zip(tmp_path: Path) -> None:
    """A kept ZIP is published before its file: who sees the file finds the ZIP."""
    steps = run_one(tmp_path / "out", keep_zip=True)
    kept, published = steps.index("rename .keep → .zip"), steps.index("rename .out → .csv")
    assert steps.index("extract .zip → .out") < kept < published < steps.index("all_done")
    assert steps[kept - 1] == "fsync_file .keep"
    assert steps[kept + 1] == "fsync_dir folder"


def test_order_of_a_refusal(tmp_path: Path) -> None:
    """A refused archive is in quarantine before its failure is written down."""
    steps = run_one(tmp_path / "out", sandbox={"faults": {ids(1)[0]: ("zip_encrypted",)}})
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
