"""The workers of a trial: processes as `bulkfetch fleet work` starts them, and their settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bulkfetch.config.fleet import ExportKey
from bulkfetch.fleet.owner_watch import OwnerWatch
from bulkfetch.fleet.trial_exports import settings_of

REQUESTS = 10
_MARGIN_S = 0.1
# A worker that is silent for so long is thought dead; the time to the head of an answer decides
# when the slots of a dead one are free again. Short, for nothing here is far away.
_HEARTBEAT_S, _CONNECT_S, _HEADERS_S = 3.0, 1.0, 2.0
# More calls than workers are killed: that of a dead one keeps its place for minutes.
_CONCURRENCY = 5
# Short, so that a turn may end well between two kills.
_TURN_S = 7.0
# Of the user's environment: what could lead a worker to another service or database.
_FOREIGN = ("BULKFETCH_", "ZOHO_", "PG")


class TrialWorkers:
    """Workers by their names, each with a staging folder of its own; a context manager.

    `store` is where they publish. When it is left, none is alive; nor is one when this process is
    gone.
    """

    def __init__(self, folder: Path, database_url: str) -> None:
        """Start nothing yet."""
        self.store = folder / "store"
        self.killed = 0
        self._folder = folder
        self._database_url = database_url
        self._alive: dict[str, _Owned] = {}
        self._env: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.store.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._alive.values():
            worker.process.kill()
        for worker in self._alive.values():
            worker.wait()

    @property
    def names(self) -> frozenset[str]:
        """Return who is alive."""
        return frozenset(self._alive)

    @property
    def alive(self) -> int:
        """Return how many are."""
        return len(self._alive)

    def start(
        self,
        service_url: str,
        accounts: Collection[str],
        period_s: float,
        exports: Sequence[ExportKey],
    ) -> None:
        """Start a worker that asks a service for these accounts."""
        text = _settings(self._database_url, self.store, service_url, accounts, period_s)
        (self._folder / "fleet.toml").write_text(text + settings_of(exports))
        self._env = _environment(accounts, self._folder)
        self.start_another()

    def start_another(self) -> str:
        """Start one more of these, with nothing in its staging; return its name."""
        name = f"worker-{len(self._alive) + self.killed + 1}"
        with open(self._log(name), "ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "bulkfetch", "fleet", "work"),
                    *("fleet.toml", "--name", name, "--staging", name),
                ],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for who watches them
            )
        self._alive[name] = _Owned(process, OwnerWatch(process.pid, signal.SIGKILL))
        return name

    def kill(self, name: str) -> None:
        """Kill a worker, which can do nothing about it."""
        worker = self._alive.pop(name)
        worker.process.kill()
        worker.wait()
        self.killed += 1

    def ended(self) -> tuple[str, str] | None:
        """Return a worker that has ended by itself, with its last words; None if there is none."""
        for name, worker in self._alive.items():
            if worker.process.poll() is not None:
                said = self._log(name).read_text(errors="replace").strip().splitlines()
                return name, said[-1] if said else "it says nothing"
        return None

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


class _Owned(NamedTuple):
    """A worker, and who ends it when this process is gone."""

    process: subprocess.Popen[bytes]
    watch: OwnerWatch

    def wait(self) -> None:
        """Wait until it has ended."""
        self.process.wait()
        self.watch.end()


def _settings(
    database_url: str, store: Path, service_url: str, accounts: Collection[str], period_s: float
) -> str:
    """Return FLEET.toml."""
    window = f"{{ requests = {REQUESTS}, period_s = {period_s}, margin_s = {_MARGIN_S} }}"
    tables = "".join(
        f'[accounts.{name}]\napi_domain = "{service_url}"\nenv_prefix = "{name.upper()}_"\n'
        f"window = {window}\ncontrol = {{ concurrency = {_CONCURRENCY} }}\n"
        for name in accounts
    )
    # Each takes half of them at most, so that nobody is without work.
    at_once = max(2, -(-len(accounts) // 2))
    return (
        f'[fleet]\ndatabase = "{database_url}"\nstore = "{store}/{{account}}"\n'
        f"accounts_at_once = {at_once}\nheartbeat_s = {_HEARTBEAT_S}\nturn_s = {_TURN_S}\n"
        f"[limits]\nconnect_s = {_CONNECT_S}\nheaders_s = {_HEADERS_S}\n{tables}"
    )


def _environment(accounts: Collection[str], folder: Path) -> dict[str, str]:
    """Return a worker's environment; the stand-in takes any token for an account of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    tokens = {f"{name.upper()}_ZOHO_ACCESS_TOKEN": f"1000.{name}" for name in accounts}
    return {**kept, **tokens, "BULKFETCH_STATE_DIR": os.fspath(folder / "state")}
