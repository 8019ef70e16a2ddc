"""From a hidden folder of parts to a published export. Blocking: to be called in a worker thread.

The order of steps is the promise (a power cut between any two leaves a state from which `publish`
goes on): parts and their descriptions synced → the journal knows the target → the folder published,
manifest.json last where that is not one step → latest.json replaced → the journal says that it is
committed → what is left of the hidden folder removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkfetch.archive import SUFFIXES
from bulkfetch.disk import disk_errors, fsync_dir, make_folders, remove, write_file
from bulkfetch.errors import ExportLost, InvalidName, PublishConflict
from bulkfetch.exports import manifest as files
from bulkfetch.exports.published import is_newer, is_url, place_of, target_of
from bulkfetch.filenames import UNFINISHED_EXPORTS, unsafe_stem
from bulkfetch.text import escape

if TYPE_CHECKING:
    from bulkfetch.destination import ExportDestination

_PART = re.compile(rf"part-[0-9]+({'|'.join(map(re.escape, SUFFIXES))})", re.ASCII)

_SHOWN = 60


class ExportFolders:
    """Where one export's generations are until they are published, below an output folder.

    Raises InvalidName.
    """

    def __init__(self, out: Path, name: str) -> None:
        if (reason := unsafe_stem(name)) is not None:
            raise InvalidName(f"the export's name {reason}")
        self.out = out
        self.name = name
        self.hidden = out / UNFINISHED_EXPORTS / name

    def staged(self, generation: str) -> Path:
        """The hidden folder of a generation's parts."""
        return self.hidden / generation

    def part_folder(self, generation: str) -> str:
        """Return the hidden folder of a generation as a POSIX path below the output folder."""
        return f"{UNFINISHED_EXPORTS}{self.name}/{generation}"


def part_stem(number: int) -> str:
    """Return the name of a part without its ending, by its place among all parts, from 1."""
    return f"part-{number:05}"


def require_home(destination: ExportDestination, name: str) -> None:
    """Raise PublishConflict if something of the user stands where an export is to be published.

    To be called before credits are spent. Raises RunError if it cannot be looked at.
    """
    destination.require_folder(name)
    _latest(destination, name)


def require_unshared(
    destination: ExportDestination, name: str, *, account: str, module: str, last: str | None
) -> bool:
    """Raise PublishConflict if another output folder publishes under this name where this one does.

    To be called before an export begins. `last` is the folder that this one has committed last, as
    its journal has it, None if none. Returns whether the place was another's, who may be gone: then
    it is taken over. Raises RunError.
    """
    place = _place_of_latest(name)
    shown = destination.reported(place)
    content = _latest(destination, name) if is_url(shown) else None
    if content is None:  # the output folder itself is locked
        return False
    latest = _json(content)
    if last is not None and destination.reported(place_of(name, target_of(last))) == last:
        if is_newer(str(latest.get("folder")), target_of(last)):
            what = "names an export that another output folder has published there since"
            raise PublishConflict.of_publisher(shown, what)
        return False
    for key, own in (("account", account), ("module", module)):
        if latest.get(key, own) != own:
            what = f"is of the {key} {escape(str(latest[key]), _SHOWN)}, not of {own}"
            raise PublishConflict.of_publisher(shown, what)
    return True


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


def choose_target(destination: ExportDestination, name: str, wanted: str) -> str:
    """Return a name for the published folder that nothing has: the wanted one, or with a number.

    Raises RunError.
    """
    target, number = wanted, 1
    while destination.holds(place_of(name, target)):
        number += 1
        target = f"{wanted}-{number}"
    return target


def is_published(destination: ExportDestination, name: str, target: str) -> bool:
    """Return whether a folder of an export is published; its description comes with all, or last.

    Raises RunError.
    """
    return _is_ours(destination.content(place_of(name, target, files.MANIFEST)) or b"", name)


def is_described(folders: ExportFolders, generation: str) -> bool:
    """Return whether the description of a generation is here, beside its parts."""
    return (folders.staged(generation) / files.MANIFEST).is_file()


def publish(
    folders: ExportFolders,
    generation: str,
    destination: ExportDestination,
    target: str,
    check: Callable[[], object] = lambda: None,
) -> bool:
    """Publish a complete generation, from wherever an earlier call was cut off.

    Returns False where latest.json names a newer one, which stays. The journal knows destination
    and target by now. `check` is called between the steps, and may raise to cut it off. Raises
    PublishConflict if something of the user is in the way: the generation stays hidden; ExportLost,
    RunError.
    """
    name, staged = folders.name, folders.staged(generation)
    with disk_errors(staged):
        is_staged = os.path.lexists(staged)
    if not is_staged and not is_published(destination, name, target):
        raise _lost(staged)
    require_home(destination, name)
    prepare(folders)
    destination.publish_folder(staged, place_of(name, target), files.MANIFEST, check)
    described = _json(destination.content(place_of(name, target, files.MANIFEST)) or b"")
    return _announce(destination, name, target, files.latest(described, target), check)


def discard(folders: ExportFolders, generation: str) -> None:
    """Remove what is left of the hidden folder of a generation that is committed.

    Raises NotWritable.
    """
    staged = folders.staged(generation)
    with disk_errors(staged):
        if os.path.lexists(staged):
            shutil.rmtree(staged)


def remove_abandoned(folders: ExportFolders, keep: Collection[str]) -> None:
    """Remove the hidden folders of generations that are not to be kept.

    So is a draft that a dead run has left. Links are not followed. Raises NotWritable.
    """
    with disk_errors(folders.hidden):
        if not folders.hidden.is_dir():
            return
        remove(folders.hidden / f"{files.LATEST}.out")
        for entry in list(os.scandir(folders.hidden)):
            if entry.name not in keep and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)


def _announce(
    destination: ExportDestination,
    name: str,
    target: str,
    latest: dict[str, Any],
    check: Callable[[], object],
) -> bool:
    """Have latest.json name `target`, unless it names a newer one; return whether it does.

    Another host may have published meanwhile, or do so now: each replaces only what it has seen.
    """
    place, content = _place_of_latest(name), files.encoded(latest)
    while True:
        found = _latest(destination, name)
        if found is not None and is_newer(str(_json(found).get("folder")), target):
            return False
        if destination.replace(place, content, found):
            return True
        check()


def _latest(destination: ExportDestination, name: str) -> bytes | None:
    """Return what latest.json holds, None where there is none. Raises PublishConflict, RunError."""
    place = _place_of_latest(name)
    content = destination.content(place)
    if content is not None and not _is_ours(content, name):
        shown = destination.reported(place)
        raise PublishConflict.of_export(shown, "was not published by bulkfetch")
    return content


def _place_of_latest(name: str) -> str:
    return f"{name}/{files.LATEST}"


def _require_file(path: Path, size: int | None) -> None:
    """Raise ExportLost unless a file is there, of that size if it is known."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise _lost(path) from None
    if not stat.S_ISREG(found.st_mode) or size not in (None, found.st_size):
        raise _lost(path, "was changed")


def _is_ours(content: bytes, name: str) -> bool:
    """Return whether a file's content describes the export of this name."""
    return _json(content).get("export") == name


def _json(content: bytes) -> dict[str, Any]:
    """Return the object that a JSON file holds, nothing if it holds none."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lost(path: Path, what: str = "is gone") -> ExportLost:
    error = ExportLost(f"{path} {what} before the export was published")
    error.path = os.fspath(path)
    return error
