"""A scene for murder: the sandbox as a process of its own, the program in a folder, and the rules.

The sandbox's log is the truth about requests: its stamps compare across all processes of the
machine. Its data are made from a seed, so the truth about files needs no server.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.support.programs import Ended, Program

from bulkfetch.journal.schema import DONE, DOWNLOADED, SKIPPED
from bulkfetch.sandbox import Arrival, JobSpec, Sandbox, SandboxOptions, read_log, worst_in

if TYPE_CHECKING:
    from collections.abc import Iterator

# The window of these tests: Zoho's ten, in half a second instead of a minute.
REQUESTS, PERIOD_S, MARGIN_S = 10, 0.5, 0.05
IDS = [str(5540230000005680000 + number) for number in range(3000)]
# Every fifth result takes its time, so that bodies are cut as well.
OPTIONS = SandboxOptions(
    requests=REQUESTS,
    period_s=PERIOD_S,
    lockout_s=PERIOD_S,
    records=20,
    latency_s=(0.0, 0.02),
    bandwidth_bytes_per_s=600_000,
    jobs=dict.fromkeys(IDS[::5], JobSpec(records=2000)),
)
TOKEN = "kill-scene-token"
# What the journal calls a job whose ZIP is, or was, complete on the disk.
_HOME = (DOWNLOADED, DONE, SKIPPED)
_FAST = f"requests = {REQUESTS}\nperiod_s = {PERIOD_S}\nmargin_s = {MARGIN_S}\n"


@dataclass(frozen=True)
class Truth:
    """What a job's result is: digests in hex, and the bytes of the ZIP."""

    file_sha256: str
    zip_bytes: int
    zip_sha256: str


@dataclass
class Service:
    """A sandbox in its own process."""

    options: SandboxOptions
    url: str
    log: Path

    def __post_init__(self) -> None:
        self._twin = Sandbox(self.options)
        self._truths: dict[str, Truth] = {}

    def arrivals(self) -> list[Arrival]:
        """Give every result request that arrived up to now, in order."""
        return [each for each in read_log(self.log) if each.kind == "result"]

    def asked(self) -> Counter[str]:
        """Count the result requests of each job."""
        return Counter(str(each.job_id) for each in self.arrivals())

    def worst(self, period_s: float = PERIOD_S) -> int:
        """Give the most arrivals in any rolling period."""
        return worst_in(self.arrivals(), period_s)

    def truth(self, job_id: str) -> Truth:
        """Give what an honest answer for a job holds."""
        if job_id not in self._truths:
            body = self._twin.zip_of(job_id)
            self._truths[job_id] = Truth(
                hashlib.sha256(self._twin.file_of(job_id)).hexdigest(),
                body.length,
                hashlib.sha256(body.read(0, body.length)).hexdigest(),
            )
        return self._truths[job_id]

    def refused(self) -> int:
        """Count the 429s."""
        return sum(each.status == 429 for each in self.arrivals())


@contextmanager
def service(folder: Path, options: SandboxOptions = OPTIONS) -> Iterator[Service]:
    """Run a sandbox until the block ends; its log is `folder`/arrivals.jsonl."""
    log = folder / "arrivals.jsonl"
    log.touch()
    command = [sys.executable, "-m", "bulkfetch.sandbox", "--options-json", "-"]
    source = str(Path(__file__).parents[2] / "src")
    env = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdin is not None
        process.stdin.write(replace(options, log_file=log).to_json())
        process.stdin.close()
        assert process.stdout is not None
        try:
            yield Service(options, json.loads(process.stdout.readline())["url"], log)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Remains:
    """What a death left: ids published, and ids whose complete ZIP was on the disk."""

    published: frozenset[str]
    at_home: frozenset[str]


@dataclass
class Scene:
    """The program with one output folder, asked for `ids`; several may share `state`.

    The rest are lines of jobs.toml. A slot's lease is the two times of `patience` and five seconds.
    """

    folder: Path
    service: Service
    ids: list[str]
    state: Path
    account: str = ""
    window: str = _FAST
    limits: str = ""
    patience: str = "connect_s = 0.5\nheaders_s = 1.5\n"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._home: dict[str, int] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ids.txt").write_text("".join(f"{each}\n" for each in self.ids))
        url = self.service.url
        (self.folder / "jobs.toml").write_text(
            f'out = "out"\n[account]\napi_domain = "{url}"\naccounts_url = "{url}"\n'
            f"{self.account}\n[account.window]\n{self.window}"
            f"[limits]\n{self.patience}{self.limits}\n"
        )
        env = {"ZOHO_ACCESS_TOKEN": TOKEN, "BULKFETCH_STATE_DIR": str(self.state), **self.env}
        self.program = Program(self.folder, env)

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    @property
    def staging(self) -> Path:
        """Where ZIPs are until they are published."""
        return self.out / ".bulkfetch" / "staging"

    @property
    def arguments(self) -> list[str]:
        """What the program is started with."""
        return ["run", "jobs.toml", "--ids", "ids.txt", "--json"]

    def start(self, *options: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start a run; its streams go nowhere unless told otherwise."""
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return self.program.start(*self.arguments, *options, **(nowhere | streams))

    def run(self, *options: str) -> Ended:
        """Run to the end."""
        return self.program.run(*self.arguments, *options)

    def check_after_death(self) -> Remains:
        """Check everything that must hold whenever no run is alive, and note what is at home."""
        published = frozenset(self._check_published())
        at_home = published | self._recorded() | self._staged()
        asked = self.service.asked()
        for job_id in at_home:
            self._home.setdefault(job_id, asked[job_id])
        for job_id, before in self._home.items():
            assert asked[job_id] == before, f"{job_id} was at home and asked for again"
            assert job_id in at_home, f"{job_id} was at home and is lost"
        return Remains(published, at_home)

    def check_finished(self, ended: Ended) -> None:
        """Check that a run ended with the whole list at home, and nothing asked twice for it."""
        assert ended.status == 0, ended.err
        *jobs, summary = ended.records
        told = Counter(record["id"] for record in jobs)
        assert told == Counter(dict.fromkeys(self.ids, 1))
        assert all(record["status"] == "done" for record in jobs)
        assert summary["type"] == "summary"
        assert summary["pending"] == summary["failed"] == 0
        assert self.check_after_death().published == set(self.ids)
        assert list(self.staging.iterdir()) == []

    def _check_published(self) -> Iterator[str]:
        """Give the published ids: each file whole and right, and none gone since."""
        now: dict[str, tuple[int, int, int]] = {}
        for entry in os.scandir(self.out) if self.out.exists() else ():
            if entry.name == ".bulkfetch":
                continue
            assert entry.name.endswith(".csv"), f"foreign file {entry.name}"
            now[entry.name] = _identity(entry.stat())
            if now[entry.name] != self._seen.get(entry.name):
                # New, or put there once more, by a run that died before it had recorded it.
                content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
                right = self.service.truth(entry.name[:-4]).file_sha256
                assert content == right, f"{entry.name} is not whole"
            yield entry.name[:-4]
        assert not self._seen.keys() - now.keys(), "a published file is gone"
        self._seen = now

    def _recorded(self) -> set[str]:
        """Give the ids that the journal calls downloaded or done, leaving its log as it is."""
        names = ("journal.db", "journal.db-wal")
        present = [self.out / ".bulkfetch" / name for name in names]
        with TemporaryDirectory() as copy:
            for path in present:
                if path.exists():
                    shutil.copy(path, copy)
            if not (Path(copy) / names[0]).exists():
                return set()
            with closing(sqlite3.connect(Path(copy) / names[0])) as db:
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchone():
                    return set()
                rows = db.execute("SELECT id FROM job WHERE state IN (?, ?, ?)", _HOME)
                return {job_id for (job_id,) in rows}

    def _staged(self) -> set[str]:
        """Give the ids whose ZIP is complete in staging, whatever its name says."""
        found: set[str] = set()
        for path in self.staging.glob("*.*") if self.staging.exists() else ():
            if path.suffix in (".zip", ".part"):
                job_id = path.name.split(".")[-2]
                truth = self.service.truth(job_id)
                whole = path.stat().st_size == truth.zip_bytes
                if whole and hashlib.sha256(path.read_bytes()).hexdigest() == truth.zip_sha256:
                    found.add(job_id)
                else:
                    assert path.suffix == ".part", f"{path.name} is named as complete and is not"
        return found


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
