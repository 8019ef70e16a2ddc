"""From a hidden folder of parts to a published export. Blocking: to be called in a worker thread.

The order of steps is the promise (a power cut between any two leaves a state from which `publish`
goes on): parts and their descriptions synced → the journal knows the target → the folder renamed,
synced → latest.json replaced, synced → the journal says that it is committed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal

from bulkfetch.archive import SUFFIXES
from bulkfetch.disk import disk_errors, fsync_dir, make_folders, rename_into_place, write_file
from bulkfetch.errors import ExportLost, InvalidName, PublishConflict
from bulkfetch.exports import manifest as files
from bulkfetch.filenames import UNFINISHED_EXPORTS, same_file, unsafe_stem

Standing = Literal["staged", "renamed", "announced", "taken", "lost"]

_PART = re.compile(rf"part-[0-9]+({'|'.join(map(re.escape, SUFFIXES))})", re.ASCII)


class ExportFolders:
    """The folders of one export below an output folder.

    `home` is where it is published, `hidden` where its generations are until then, on the same file
    system. Raises InvalidName.
    """

    def __init__(self, out: Path, name: str) -> None:
        if (reason := unsafe_stem(name)) is not None:
            raise InvalidName(f"the export's name {reason}")
        self.out = out
        self.name = name
        self.home = out / name
        self.hidden = out / UNFINISHED_EXPORTS / name
        self.latest = self.home / files.LATEST

    def staged(self, generation: str) -> Path:
        """The hidden folder of a generation's parts."""
        return self.hidden / generation

    def published(self, target: str) -> Path:
        """The published folder of that name."""
        return self.home / target

    def part_folder(self, generation: str) -> str:
        """Return the hidden folder of a generation as a POSIX path below the output folder."""
        return f"{UNFINISHED_EXPORTS}{self.name}/{generation}"


def part_stem(number: int) -> str:
    """Return the name of a part without its ending, by its place among all parts, from 1."""
    return f"part-{number:05}"


def require_home(folders: ExportFolders) -> None:
    """Raise PublishConflict if something of the user stands where the export is to be published.

    To be called before credits are spent. Raises NotWritable if the folder cannot be looked at.
    """
    with disk_errors(folders.out):
        others = os.listdir(folders.out) if folders.out.is_dir() else []
    for other in others:
        if other != folders.name and same_file(other) == same_file(folders.name):
            raise _conflict(folders.out / other, f"is the same as {folders.name} on some systems")
    found = _mode(folders.home)
    if found is not None and not stat.S_ISDIR(found):
        raise _conflict(folders.home, "is a link" if stat.S_ISLNK(found) else "is not a folder")
    if _mode(folders.latest) is not None and not _is_ours(folders.latest, folders.name):
        raise _conflict(folders.latest, "was not published by bulkfetch")


def prepare(folders: ExportFolders, generation: str = "") -> None:
    """Make the hidden folder of a generation, or that of them all; on the device on return.

    Raises DiskFull, NotWritable.
    """
    make_folders(folders.staged(generation), folders.out)


def require_parts(
    folders: ExportFolders, generation: str, parts: Iterable[files.ExportPart]
) -> None:
    """Raise ExportLost unless the parts of a generation are there, each of its size."""
    for part in parts:
        for file in part.files:
            _require_file(folders.staged(generation) / file.file, file.bytes)


def complete(folders: ExportFolders, generation: str, manifest: files.Manifest) -> None:
    """Describe the parts of a generation; then its hidden folder is ready, and on the device.

    May be repeated. Parts that the manifest does not name are removed. Raises ExportLost if one
    that it names is gone or has another size; DiskFull, NotWritable.
    """
    folder = folders.staged(generation)
    expected = {file.file for part in manifest.parts for file in part.files}
    with disk_errors(folder):
        require_parts(folders, generation, manifest.parts)
        if manifest.deleted is not None:
            _require_file(folder / manifest.deleted.file, None)
        for entry in os.scandir(folder):
            if _PART.fullmatch(entry.name) and entry.name not in expected:
                os.unlink(entry.path)
    write_file(
        folder / files.SCHEMA, files.encoded(files.schema(manifest.module, manifest.columns))
    )
    write_file(folder / files.MANIFEST, files.encoded(manifest.as_json()))
    fsync_dir(folder)


def choose_target(folders: ExportFolders, wanted: str) -> str:
    """Return a name for the published folder that nothing has: the wanted one, or with a number."""
    target, number = wanted, 1
    while _mode(folders.published(target)) is not None:
        number += 1
        target = f"{wanted}-{number}"
    return target


def standing(folders: ExportFolders, generation: str, target: str) -> Standing:
    """Return how far the publication of a complete generation under `target` has come.

    `staged`: not renamed. `renamed`: only latest.json is missing. `announced`: all is done.
    `taken`: not renamed, and something else has the name by now. `lost`: the folder is gone.
    Raises NotWritable if the folders cannot be looked at.
    """
    with disk_errors(folders.home):
        staged = _mode(folders.staged(generation)) is not None
        occupied = _mode(folders.published(target)) is not None
    if staged:
        return "taken" if occupied else "staged"
    if not _is_ours(folders.published(target) / files.MANIFEST, folders.name):
        return "lost"
    announced = _read(folders.latest).get("folder") == target
    return "announced" if announced else "renamed"


def publish(folders: ExportFolders, generation: str, target: str) -> Path:
    """Publish a complete generation, from wherever an earlier call was cut off; return its folder.

    The journal knows the target by now. Raises PublishConflict if something of the user is in the
    way: the generation stays hidden; ExportLost, DiskFull, NotWritable.
    """
    found = standing(folders, generation, target)
    final = folders.published(target)
    if found == "taken":
        raise _conflict(final, "appeared while the export was made")
    if found == "lost":
        raise _lost(folders.staged(generation))
    require_home(folders)
    prepare(folders)
    if found == "staged":
        _rename(folders, folders.staged(generation), final)
    # A cut may have come between a step and its sync, so that each is synced on every way.
    fsync_dir(folders.home)
    fsync_dir(folders.hidden)
    if found != "announced":
        _announce(folders, target)
    fsync_dir(folders.home)
    return final


def remove_abandoned(folders: ExportFolders, keep: Collection[str]) -> list[str]:
    """Remove the hidden folders of generations that are not to be kept; return their names.

    Links are not followed. Raises NotWritable.
    """
    with disk_errors(folders.hidden):
        if not folders.hidden.is_dir():
            return []
        gone = [
            entry.name
            for entry in os.scandir(folders.hidden)
            if entry.name not in keep and entry.is_dir(follow_symlinks=False)
        ]
        for name in gone:
            shutil.rmtree(folders.hidden / name)
    return sorted(gone)


def _rename(folders: ExportFolders, staged: Path, final: Path) -> None:
    make_folders(folders.home, folders.out)
    with disk_errors(final):
        os.rename(staged, final)


def _announce(folders: ExportFolders, target: str) -> None:
    manifest = _read(folders.published(target) / files.MANIFEST)
    draft = folders.hidden / files.LATEST
    write_file(draft, files.encoded(files.latest(manifest, target)))
    # What stands there is ours: `require_home` looked.
    rename_into_place(draft, folders.latest, replace=True)


def _require_file(path: Path, size: int | None) -> None:
    """Raise ExportLost unless a file is there, of that size if it is known."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise _lost(path) from None
    if not stat.S_ISREG(found.st_mode) or size not in (None, found.st_size):
        raise _lost(path, "was changed")


def _is_ours(path: Path, name: str) -> bool:
    """Return whether a file is a regular one that describes the export of this name."""
    found = _mode(path)
    return found is not None and stat.S_ISREG(found) and _read(path).get("export") == name


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON file's content, nothing if there is none or it is not an object."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _conflict(path: Path, what: str) -> PublishConflict:
    error = PublishConflict(
        f"{path} {what}",
        hint="Move it away, or give the export another name. What was fetched is kept.",
    )
    error.path = os.fspath(path)
    return error


def _lost(path: Path, what: str = "is gone") -> ExportLost:
    error = ExportLost(f"{path} {what} before the export was published")
    error.path = os.fspath(path)
    return error
