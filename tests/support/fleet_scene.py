"""A fleet for murder: a PostgreSQL, a sandbox with many accounts, a bucket, and workers to kill.

The sandbox's own log is the truth about requests, the bucket the truth about files.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.destinations import AWS_ENV
from tests.support.fleets import make_fleet, submit_to
from tests.support.kill_scene import Service, service
from tests.support.postgres import PostgresServer
from tests.support.programs import Ended, Program
from tests.support.s3_server import BUCKET, S3Server, s3_server

from bulkfetch.models import Job
from bulkfetch.sandbox import AccountSpec, SandboxOptions, worst_in

REQUESTS, MARGIN_S = 10, 0.1
_CHECKOUT = Path(__file__).parents[2]
# Longer than a busy machine needs; a slot of a killed worker comes back after it and ten seconds.
HEADERS_S = 10.0


@dataclass(frozen=True)
class FleetFigures:
    """What a fleet came to. `worst` is the most arrivals of an account in any rolling period."""

    jobs: int
    done: int
    requests: int
    worst: int
    refused: int
    elapsed_s: float

    @property
    def repeats(self) -> int:
        """Requests beyond one a job."""
        return self.requests - self.jobs

    def __str__(self) -> str:
        return (
            f"{self.done} of {self.jobs} done, worst {self.worst}, {self.refused} refused, "
            f"{self.repeats} repeats, {self.elapsed_s:.1f} s"
        )


@dataclass
class FleetScene:
    """Workers on hosts of their own, each with a staging folder and settings of its own."""

    folder: Path
    postgres: PostgresServer
    database: str
    service: Service
    bucket: S3Server
    accounts: list[str]
    period_s: float
    headers_s: float
    keys: Mapping[str, Any]
    asked: dict[str, list[str]] = field(default_factory=dict)
    hosts: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    exports: str = ""  # tables of every host's settings
    control: dict[str, str] = field(default_factory=dict)  # ", KEY = VALUE" of accounts
    store: str = f"s3://{BUCKET}/{{account}}"
    tokens: dict[str, str] = field(default_factory=dict)  # those that are not right
    reserves: dict[int, int] = field(default_factory=dict)  # bytes that a host is to keep free
    ways: dict[int, str] = field(default_factory=dict)  # to the database, where it is another one
    inside: dict[int, tuple[str, ...]] = field(default_factory=dict)  # before a host's commands
    begun: list[Program] = field(default_factory=list)
    told: dict[int, int] = field(default_factory=dict)  # in the log before the newest start
    began: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        """The database's address."""
        return self.postgres.url(self.database)

    def settings(self, host: int) -> str:
        """Write a host's FLEET.toml, and give its name."""
        keys = "".join(f"{key} = {value}\n" for key, value in self.keys.items())
        accounts = "".join(
            f"[accounts.{name}]\n"
            f'api_domain = "{self.service.url}"\nenv_prefix = "{name.upper()}_"\n'
            f"window = {{ requests = {REQUESTS}, period_s = {self.period_s}, "
            f"margin_s = {MARGIN_S} }}\n"
            f"control = {{ creates_per_minute = 1000, polls_per_minute = 10000"
            f"{self.control.get(name, '')} }}\n"
            for name in self.accounts
        )
        name = f"host{host}.toml"
        (self.folder / name).write_text(
            f'[fleet]\ndatabase = "{self.ways.get(host, self.url)}"\nstore = "{self.store}"\n'
            f'staging = "{self.folder}/host{host}"\n{keys}'
            f"[limits]\nconnect_s = 2\nheaders_s = {self.headers_s}\n"
            f"free_bytes = {self.reserves.get(host, 0)}\n"
            f'[destination]\nendpoint = "{self.bucket.url}"\nregion = "eu-central-1"\n{accounts}'
            f"{self.exports}"
        )
        return name

    def start(self, host: int, *options: str) -> subprocess.Popen[bytes]:
        """Start the worker of a host, with further options: also those of `fleet_worker`.

        What it tells is in host{N}.log.
        """
        (self.folder / f"host{host}").mkdir(exist_ok=True)
        log = self.folder / f"host{host}.log"
        self.told[host] = len(log.read_text()) if log.exists() else 0
        with open(log, "ab") as stream:
            self.hosts[host] = subprocess.Popen(
                [
                    *self.inside.get(host, ()),
                    *(sys.executable, "-m", "tests.support.fleet_worker"),
                    *(self.settings(host), "--name", f"host{host}", *options),
                ],
                cwd=self.folder,
                env=self._program(host).environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        return self.hosts[host]

    def run(self, host: int) -> Ended:
        """Run a worker of a host to its end."""
        return self.command(host, "fleet", "work", self.settings(host))

    def begin(self, host: int, *words: str) -> subprocess.Popen[bytes]:
        """Start a command on a host; its streams are pipes."""
        program = self._program(host)
        self.begun.append(program)
        return program.start(*words)

    def command(self, host: int, *words: str) -> Ended:
        """Run a command on a host to its end."""
        return self._program(host).run(*words)

    def _program(self, host: int) -> Program:
        tokens = {name: self.tokens.get(name, f"token-{name}") for name in self.accounts}
        return Program(
            self.folder,
            {
                **AWS_ENV,
                **{f"{name.upper()}_ZOHO_ACCESS_TOKEN": each for name, each in tokens.items()},
                "PYTHONPATH": f"{self.folder}:{_CHECKOUT}:{_CHECKOUT}/src",
                **self.env,
                # Hosts share nothing.
                "BULKFETCH_STATE_DIR": str(self.folder / f"state{host}"),
            },
        )

    def kill(self, host: int) -> None:
        """SIGKILL the worker of a host."""
        self.hosts[host].kill()
        self.hosts[host].wait()

    def kill_with_whole(self, host: int, count: int, within_s: float) -> None:
        """Start a worker that cannot publish, and kill it when its staging has so many whole ZIPs.

        The store takes files again afterwards.
        """
        hung = threading.Event()

        def hang(_: object) -> str:
            hung.wait(60)
            return "reset"

        self.bucket.faults["PUT"] = hang
        self.start(host)
        folder = self.folder / f"host{host}"
        over = time.monotonic() + within_s
        while len(list(folder.glob("*/.bulkfetch/staging/*.zip"))) < count:
            assert time.monotonic() < over, self.log(host)
            time.sleep(0.05)
        self.kill(host)
        del self.bucket.faults["PUT"]
        hung.set()

    def wait_until_it_works(self, host: int) -> None:
        """Wait until the worker of a host takes turns."""
        while "works for" not in self.log(host)[self.told[host] :]:
            assert self.hosts[host].poll() is None, self.log(host)
            time.sleep(0.02)

    def term(self, host: int) -> float:
        """SIGTERM the worker of a host, once it works; return the seconds until it had ended."""
        self.wait_until_it_works(host)
        began = time.monotonic()
        self.hosts[host].send_signal(signal.SIGTERM)
        assert self.hosts[host].wait(30) == 0, self.log(host)
        return time.monotonic() - began

    def log(self, host: int) -> str:
        """What the worker of a host has told."""
        return (self.folder / f"host{host}.log").read_text()

    def submit(self, ids: Mapping[str, Iterable[str]]) -> None:
        """Submit ids of accounts."""
        jobs = [Job(job_id, account) for account, some in ids.items() for job_id in some]
        for job in jobs:
            known = self.asked.setdefault(job.account, [])
            if job.id not in known:
                known.append(job.id)
        asyncio.run(submit_to(self.url, jobs, ids))

    def submit_exports(self, *exports: str, full: bool = False) -> None:
        """Submit exports, written as ACCOUNT/NAME."""
        asyncio.run(submit_to(self.url, [], self.accounts, exports=exports, full=full))

    def sql(self, statement: str) -> str:
        """Do a statement in the fleet's database, and return what it prints."""
        return self.postgres.sql(statement, self.database)

    def done(self) -> int:
        """Count the jobs that the journal knows to be done."""
        return int(self.sql("SELECT count(*) FROM bulkfetch.fleet_job WHERE state = 1"))

    def wait(self, within_s: float, until: int | None = None) -> None:
        """Wait until so many jobs are done, None: all."""
        wanted = sum(map(len, self.asked.values())) if until is None else until
        over = time.monotonic() + within_s
        while (done := self.done()) < wanted:
            logs = "".join(f"\n--- {host}\n{self.log(host)}" for host in self.hosts)
            gone = [host for host, process in self.hosts.items() if process.poll() is not None]
            in_time = time.monotonic() < over and len(gone) < len(self.hosts)
            assert in_time, f"{done} of {wanted} are done{logs}"
            time.sleep(0.1)

    def figures(self) -> FleetFigures:
        """Sum up, as the sandbox, the bucket and the journal have it."""
        arrivals = self.service.arrivals()
        return FleetFigures(
            jobs=sum(map(len, self.asked.values())),
            done=self.done(),
            requests=len(arrivals),
            worst=worst_in(arrivals, self.period_s),
            refused=sum(each.status == 429 for each in arrivals),
            elapsed_s=time.monotonic() - self.began,
        )

    def check(self) -> FleetFigures:
        """Check that nothing is lost and no window was overrun; return the figures."""
        figures = self.figures()
        for account, ids in self.asked.items():
            for job_id in ids:
                body = self.bucket.objects.get(f"{account}/{job_id}.csv")
                assert body is not None, f"{account} {job_id} is not in the bucket"
                found = hashlib.sha256(body).hexdigest()
                assert found == self.service.truth(job_id).file_sha256, f"{account} {job_id}"
        assert figures.done == figures.jobs, figures
        assert figures.worst <= REQUESTS, figures
        assert figures.refused == 0, figures
        return figures

    def close(self) -> None:
        """End all workers and commands."""
        for process in self.hosts.values():
            process.kill()
            process.wait()
        for program in self.begun:
            program.close()


@contextmanager
def fleet_scene(
    folder: Path,
    postgres: PostgresServer,
    database_name: str,
    *,
    accounts: int,
    period_s: float = 3.0,
    latency_s: tuple[float, float] = (0.0, 0.1),
    auth: bool = False,
    exports: str = "",
    org: Mapping[str, Any] = MappingProxyType({}),
    headers_s: float = HEADERS_S,
    **keys: Any,
) -> Iterator[FleetScene]:
    """Give a fleet without workers; `keys` are further ones of [fleet], `org` of the sandbox."""
    names = [f"a{number:03}" for number in range(accounts)]
    options = SandboxOptions(
        **org,
        requests=REQUESTS,
        period_s=period_s,
        lockout_s=period_s,
        records=20,
        columns=3,
        latency_s=latency_s,
        auth=auth,
        accounts={f"the-{name}": AccountSpec(access_tokens=(f"token-{name}",)) for name in names},
    )

    with ExitStack() as stack:
        asyncio.run(make_fleet(postgres.url(database_name)))
        served = stack.enter_context(service(folder, options))
        bucket = stack.enter_context(s3_server())
        scene = FleetScene(
            folder, postgres, database_name, served, bucket, names, period_s, headers_s, keys
        )
        scene.exports = exports
        stack.callback(scene.close)
        yield scene


def ids_of(account: int, count: int, first: int = 0) -> list[str]:
    """Return ids of an account's own."""
    return [f"55402{account:05}{number:09}" for number in range(first, first + count)]
