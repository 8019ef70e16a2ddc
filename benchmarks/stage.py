"""What a scenario finds ready: data, a server, the project's own drivers, the peers."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import build, corpus, nginx, tables
from benchmarks.corpus import Corpus
from benchmarks.model import Case
from benchmarks.servers import Servers

HERE = Path(__file__).resolve().parent
DATA = HERE / ".data"

# How to get what a peer needs.
PROGRAMS = {
    "curl": "apt install curl",
    "aria2c": "apt install aria2",
    "wget2": "apt install wget2",
    "unzip": "apt install unzip",
    "bsdtar": "apt install libarchive-tools",
    "igzip": "apt install isal",
    "xargs": "apt install findutils",
    "dd": "apt install coreutils",
}
MODULES = {"zohocrmsdk": "zohocrmsdk8_0"}


@dataclass(frozen=True, slots=True)
class Options:
    """How a run was asked for. `peers_python` runs the peers that are Python programs."""

    peers: bool = False
    quick: bool = False
    full: bool = False
    peers_python: str = sys.executable


class Stage:
    """Gives cases their commands. The servers and the data come into being when first asked for."""

    def __init__(
        self,
        options: Options,
        server: Callable[[Corpus], nginx.Nginx],
        servers: Callable[[Mapping[str, Path]], Servers],
    ) -> None:
        self.options = options
        self._start = server
        self._start_bucket = servers

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The bodies of this size of run."""
        return corpus.prepare(DATA, quick=self.options.quick, tell=print)

    def load_corpus(self) -> None:
        """Have the bodies in the page cache; does nothing where no contest has any."""
        if "corpus" in vars(self):
            self.corpus.load()

    @functools.cached_property
    def server(self) -> nginx.Nginx:
        """nginx, running. To be asked for only where `server_missing` is None."""
        return self._start(self.corpus)

    @functools.cached_property
    def tables(self) -> Mapping[str, tables.Table]:
        """The tables of this size of run, by the ids of the jobs whose results they are."""
        made = tables.prepare(DATA, quick=self.options.quick, tell=print)
        return {f"5540230000005680{number:02}": table for number, table in enumerate(made, 1)}

    @functools.cached_property
    def servers(self) -> Servers:
        """What serves the tables, and a bucket; running."""
        return self._start_bucket({job_id: table.zip for job_id, table in self.tables.items()})

    @property
    def server_missing(self) -> str | None:
        """What is lacking to serve."""
        return nginx.missing()

    def scaled(self, full: int, quick: int) -> int:
        """Give the amount for this size of run."""
        return quick if self.options.quick else full

    # --- this project ----------------------------------------------------------------------------

    def ours(
        self,
        name: str,
        driver: str,
        *arguments: str,
        out: bool = True,
        series: str | None = None,
        x: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Case:
        """Make the case of a driver of this project; `out` puts the output folder first."""
        program = os.fspath(HERE / "ours" / f"{driver}.py")

        def argv(folder: Path) -> Sequence[str]:
            return [sys.executable, program, *([os.fspath(folder)] if out else []), *arguments]

        # The shared window of the machine is not to be touched.
        state = {"BULKFETCH_STATE_DIR": os.fspath(DATA / "state"), "ZOHO_ACCESS_TOKEN": "benchmark"}
        return Case(name, argv, env=state | dict(env or {}), ours=True, series=series, x=x)

    def online(
        self,
        name: str,
        driver: str,
        *arguments: str,
        tls: bool = True,
        series: str | None = None,
        x: float | None = None,
    ) -> Case:
        """Make the case of a driver that asks the server: OUT BASE CA_FILE and the arguments."""
        if self.server_missing is not None:
            return Case(name, lambda _: [], missing=self.server_missing, ours=True)
        base, ca_file = self.server.base(tls=tls), os.fspath(self.server.ca_file)
        return self.ours(
            name, driver, base, ca_file, *arguments, series=series, x=x, env=self._trust()
        )

    def to_bucket(self, name: str, form: str, job_id: str) -> Case:
        """Make the case of a run that publishes a table in a bucket, in a format."""
        if not _has(sys.executable, "obstore"):
            return Case(name, lambda _: [], missing="pip install obstore", ours=True)
        return self.ours(name, "bucket", self.servers.base, self.servers.bucket, form, job_id)

    # --- peers -----------------------------------------------------------------------------------

    def shell(self, name: str, script: str, *arguments: str, needs: Sequence[str]) -> Case:
        """Make the case of a line of shell; $1 is the output folder, then the arguments."""
        lacking = [PROGRAMS.get(program, program) for program in needs if not shutil.which(program)]

        def argv(folder: Path) -> Sequence[str]:
            return ["sh", "-ec", script, "sh", os.fspath(folder), *arguments]

        return Case(name, argv, env=self._trust(), missing="; ".join(lacking) or None)

    def peer(self, name: str, program: str, *arguments: str, needs: Sequence[str]) -> Case:
        """Make the case of a Python program of peers/, which gets the output folder first."""
        path = os.fspath(HERE / "peers" / f"{program}.py")
        python = self.options.peers_python
        lacking = [
            f"pip install {MODULES.get(module, module)}"
            for module in needs
            if not _has(python, module)
        ]

        def argv(folder: Path) -> Sequence[str]:
            return [python, path, os.fspath(folder), *arguments]

        return Case(name, argv, env=self._trust(), missing="; ".join(lacking) or None)

    def c(self, name: str, program: str, libraries: Sequence[str], *words: str) -> Case:
        """Make the case of a C program; the word "OUT" becomes the output folder."""
        built = build.program(program, libraries, DATA / "bin")

        def argv(folder: Path) -> Sequence[str]:
            put = (os.fspath(folder) if word == "OUT" else word for word in words)
            return [os.fspath(built.path), *put]

        return Case(name, argv, missing=built.missing)

    def disk(self, megabytes: int) -> Case:
        """Make the case of this machine's disk by itself: so much is written to it and synced."""
        write = f"dd if=/dev/zero of=$2/zeros bs=1M count={megabytes} conv=fsync status=none"
        script = f"{write}; rm $2/zeros"
        name = f"dd to the disk, {megabytes:,} MiB of zeros, synced"
        return replace(self.shell(name, script, os.fspath(DATA), needs=["dd"]), leaves=None)

    def behind(self, case: Case, statement: str) -> Case:
        """Make the case of a line of Python, and of another case's command when that has ended."""

        def argv(folder: Path) -> Sequence[str]:
            script = '"$0" -c "$1"; shift; exec "$@"'
            return ["sh", "-ec", script, sys.executable, statement, *case.argv(folder)]

        return replace(case, argv=argv)

    def _trust(self) -> dict[str, str]:
        """Have the server's certificate alone trusted, as `curl --cacert` does it."""
        if self.server_missing is not None:
            return {}
        ca_file = os.fspath(self.server.ca_file)
        return {"SSL_CERT_FILE": ca_file, "REQUESTS_CA_BUNDLE": ca_file}


@functools.cache
def _has(python: str, module: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    check = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
