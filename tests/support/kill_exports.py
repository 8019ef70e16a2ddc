"""Exports cut after each of their steps, one after the other, each gone on with to its end.

`python -m tests.support.kill_exports` prints how each cut ended.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.destinations import AWS_ENV
from tests.support.kill_cuts import quick_folder
from tests.support.kill_scene import TOKEN, Service, service
from tests.support.kill_steps import Cut
from tests.support.kill_zygote import Traced, Zygote
from tests.support.programs import Program
from tests.support.s3_server import BUCKET, S3Server

from bulkfetch.exports import polling
from bulkfetch.sandbox import SandboxOptions, read_log

# Two pages, at once prepared.
OPTIONS = SandboxOptions(requests=100_000, period_s=1.0, records=12, per_page=8, prepare_s=0.0)
PAGES = 2
_WIDE = "requests = 1000\nperiod_s = 1\nmargin_s = 0\nconcurrency = 1\n"
_CONTROL = "concurrency = 3\ncreates_per_minute = 1000\npolls_per_minute = 10000\n"
EXPORT = '[[exports]]\nmodule = "Leads"\nsync = "changes"\ndeleted = true\n'


def ask_soon() -> None:
    """Have the program ask for pages at once that nothing is known of."""
    polling.FIRST_S = 0.01


@dataclass(frozen=True)
class Left:
    """What a death left: the state of the newest generation, and those of its pages."""

    generation: str | None
    pages: tuple[str, ...]


@dataclass
class ExportScene:
    """The program with one output folder and one export, which may be published in a bucket."""

    folder: Path
    url: str
    bucket: S3Server | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        url = self.url
        (self.folder / "jobs.toml").write_text(
            f'out = "out"\n{self._publish_to()}'
            f'[account]\napi_domain = "{url}"\naccounts_url = "{url}"\n'
            f"[account.window]\n{_WIDE}[account.control]\n{_CONTROL}[limits]\nthreads = 1\n{EXPORT}"
        )
        state = str(self.folder / "state")
        env = {"ZOHO_ACCESS_TOKEN": TOKEN, "BULKFETCH_STATE_DIR": state}
        env |= {} if self.bucket is None else AWS_ENV
        self.program = Program(self.folder, env)

    def _publish_to(self) -> str:
        if self.bucket is None:
            return ""
        return (
            f'publish_to = "s3://{BUCKET}/{self.folder.name}"\n[destination]\n'
            f'endpoint = "{self.bucket.url}"\nregion = "eu-central-1"\n'
        )

    def files(self) -> dict[str, bytes]:
        """Return all that is published, by place."""
        if self.bucket is None:
            found = (path for path in self.out.rglob("*") if path.is_file())
            here = {path.relative_to(self.out).as_posix(): path for path in found}
            state = ".bulkfetch/"
            return {n: path.read_bytes() for n, path in here.items() if not n.startswith(state)}
        above = f"{self.folder.name}/"
        found_there = self.bucket.objects.items()
        return {k.removeprefix(above): body for k, body in found_there if k.startswith(above)}

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    def run(self, zygote: Zygote, *, at: int = 0, cut: Cut = "die") -> Traced:
        """Export to the end, or to a cut after, or in, step `at`."""
        roots = (self.out, self.folder / "state")
        before = "tests.support.kill_exports:ask_soon"
        arguments = ["export", "jobs.toml", "--json"]
        return zygote.run(self.program, arguments, roots=roots, at=at, cut=cut, before=before)

    def left(self) -> Left:
        """Read from a copy of the journal what a death left."""
        names = ("journal.db", "journal.db-wal")
        with TemporaryDirectory() as copy:
            for name in names:
                path = self.out / ".bulkfetch" / name
                if path.exists():
                    shutil.copy(path, copy)
            if not (Path(copy) / names[0]).exists():
                return Left(None, ())
            with closing(sqlite3.connect(Path(copy) / names[0])) as db:
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'page'").fetchone():
                    return Left(None, ())
                found = db.execute("SELECT key, state FROM generation ORDER BY key DESC").fetchone()
                if found is None:
                    return Left(None, ())
                pages = db.execute("SELECT state FROM page WHERE generation = ?", found[:1])
                return Left(found[1], tuple(state for (state,) in pages))

    def check_visible(self) -> None:
        """Check that what readers begin with names only what is there, whatever was cut."""
        files = self.files()
        if "Leads/latest.json" in files:
            assert f"Leads/{json.loads(files['Leads/latest.json'])['manifest']}" in files
        for name in files:
            folder, _, file = name.rpartition("/")
            if file == "manifest.json":
                for part in json.loads(files[name])["parts"]:
                    assert len(files[f"{folder}/{part['file']}"]) == part["bytes"]

    def published(self) -> dict[str, str]:
        """Return the digests of the newest export's parts, by name; all of it checked."""
        files = self.files()
        folder = f"Leads/{json.loads(files['Leads/latest.json'])['folder']}/"
        here = {n.removeprefix(folder): file for n, file in files.items() if n.startswith(folder)}
        told: dict[str, Any] = json.loads(here["manifest.json"])
        digests = {
            part["file"]: hashlib.sha256(here[part["file"]]).hexdigest() for part in told["parts"]
        }
        assert digests == {part["file"]: part["sha256"] for part in told["parts"]}
        assert here.keys() == {*digests, "manifest.json", "schema.json"} | (
            {told["deleted"]["file"]} if told["deleted"] else set()
        )
        return digests


@dataclass(frozen=True)
class CutExport:
    """An export that was cut at its step `number`, and what it and the next call came to."""

    number: int
    step: str
    left: Left
    first: Traced
    second: Traced
    creates: int
    results: int
    wasted: int
    digests: dict[str, str]


@dataclass(frozen=True)
class Bench:
    """What all cuts share."""

    folder: Path
    server: Service
    zygote: Zygote
    bucket: S3Server | None = None

    def scene(self, name: str) -> ExportScene:
        """Return a scene in a folder of this name."""
        return ExportScene(self.folder / name, self.server.url, self.bucket)


def calls(server: Service) -> Counter[str]:
    """Count the calls that have arrived, by kind."""
    return Counter(each.kind for each in read_log(server.log))


def cut_export(bench: Bench, number: int, cut: Cut = "die") -> CutExport | None:
    """Cut an export at step `number`, and go on with it; None where it ended before that step."""
    scene = bench.scene(f"{cut}{number}")
    before = calls(bench.server)
    first = scene.run(bench.zygote, at=number, cut=cut)
    if len(first.steps) < number:
        return None
    scene.check_visible()
    left = scene.left()
    second = scene.run(bench.zygote)
    came = calls(bench.server) - before
    assert second.ended.status == 0, (first.steps[-1], second.ended.err)
    hidden = scene.out / ".bulkfetch" / "exports" / "Leads"
    assert [path.name for path in hidden.iterdir()] == []
    assert list((scene.out / ".bulkfetch" / "staging").iterdir()) == []
    return CutExport(
        number,
        first.steps[number - 1],
        left,
        first,
        second,
        came["create"],
        came["result"],
        second.ended.records[-2]["credits_wasted"],
        scene.published(),
    )


@contextmanager
def benches() -> Iterator[Bench]:
    """Give a folder, a sandbox and a warm program."""
    with quick_folder() as folder, service(folder, OPTIONS) as server, Zygote() as zygote:
        yield Bench(folder, server, zygote)


def _main() -> None:
    with benches() as bench:
        whole = bench.scene("whole").run(bench.zygote)
        print(len(whole.steps), "steps; exit", whole.ended.status, whole.ended.err)
        for number, _ in enumerate(whole.steps, 1):
            cut = cut_export(bench, number)
            if cut is not None:
                print(number, cut.step, cut.left, cut.creates, cut.results, flush=True)


if __name__ == "__main__":
    _main()
