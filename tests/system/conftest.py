"""What needs a PostgreSQL server: one for all tests, and databases on it."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.postgres_server import Postgres, running

if TYPE_CHECKING:
    from history_database import Database


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
def postgres_server(_postgres_server: Postgres) -> Postgres:
    """A server that runs, whatever the test before did to it."""
    return _postgres_server.start()


@pytest.fixture
def db(postgres_server: Postgres) -> "Iterator[Database]":
    """An empty history."""
    yield from _database(postgres_server)


@pytest.fixture(scope="module")
def shared(_postgres_server: Postgres) -> "Iterator[Database]":
    """A history for many examples, each of which empties it."""
    yield from _database(_postgres_server.start())


def _database(server: Postgres) -> "Iterator[Database]":
    from history_database import Database

    made = Database(server)
    with closing(made.connection):
        yield made
