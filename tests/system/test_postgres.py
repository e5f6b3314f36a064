"""The schema in PostgreSQL: made and brought forward by many at once, read by others; and addresses of databases."""

import threading
import time
from contextlib import closing

import pytest
from history_database import Database, event, said, some_runs

from agentmon import index_query
from agentmon.errors import AgentmonError
from agentmon.fleet import folding, postgres
from agentmon.fleet.history import Fleet
from agentmon.index_query import Wanted


def test_copies_make_the_schema_together(postgres_server):
    name = postgres_server.database()
    where = postgres.address(postgres_server.url(name), "--to")
    assert together(where, 8) == []
    assert postgres_server.ask("SELECT version FROM agentmon.meta", name) == [(postgres.SCHEMA,)]


def test_an_older_schema_is_brought_forward(postgres_server, monkeypatch):
    """By several copies at once, each step once, and what is stored stays."""
    made = Database(postgres_server)
    made.store([event(1)])
    sql = postgres._sql
    step = b"CREATE TABLE agentmon.new (x int); INSERT INTO agentmon.new VALUES (1)"
    monkeypatch.setattr(postgres, "SCHEMA", 2)
    monkeypatch.setattr(postgres, "_sql", lambda name: step if name == "schema_2.sql" else sql(name))
    assert together(made.where, 6) == []
    assert made.ask("SELECT version FROM agentmon.meta") == [(2,)]
    assert made.ask("SELECT * FROM agentmon.new") == [(1,)]
    assert made.ask("SELECT calls FROM agentmon.runs") == [(1,)]
    made.connection.close()


def together(where: postgres.Address, copies: int) -> list[Exception]:
    """Copies that start at once; what went wrong."""
    faults: list[Exception] = []
    ids = set()

    def start() -> None:
        try:
            with closing(postgres.connect(where)) as connection:
                ids.add(postgres.prepare(connection, where))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults or len(ids) == 1
    return faults


def test_schemas_of_other_versions(db):
    db.connection.execute("UPDATE agentmon.meta SET version = version + 1")
    for act in (postgres.prepare, postgres.check):
        with pytest.raises(AgentmonError, match="newer agentmon"):
            act(db.connection, db.where)
    db.connection.execute("UPDATE agentmon.meta SET version = 0")
    with pytest.raises(AgentmonError, match="brings it forward"):
        postgres.check(db.connection, db.where)


def test_databases_that_will_not_do(postgres_server):
    postgres_server.ask("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    where = postgres.address(postgres_server.url("latin"), "--to")
    with closing(postgres.connect(where)) as connection:
        with pytest.raises(AgentmonError, match="not a UTF-8 database"):
            postgres.prepare(connection, where)
        with pytest.raises(AgentmonError, match="no history in this database"):
            postgres.check(connection, where)


def test_what_a_reader_needs_to_be_granted(postgres_server, db):
    """A role for BI tools: reading, and nothing else."""
    db.store(some_runs())
    db.connection.execute("CREATE ROLE viewer LOGIN")
    db.connection.execute("GRANT USAGE ON SCHEMA agentmon TO viewer")
    db.connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA agentmon TO viewer")
    where = postgres.address(db.url.replace("boss@", "viewer@"), "--db")
    with closing(postgres.connect(where)) as connection:
        postgres.check(connection, where)
        fleet = Fleet(connection)
        assert len(index_query.runs(fleet, Wanted())) == 4
        (day,) = connection.execute("SELECT sum(total_tokens), sum(cost_usd) FROM agentmon.usage_by_day").fetchall()
        told = index_query.runs(fleet, Wanted())
        assert day[0] == sum(row["total_tokens"] for row in told)
        assert day[1] == pytest.approx(sum(row["cost_usd"] for row in told))


def test_a_run_that_is_silent_for_long_is_lost(db):
    now = time.time()
    db.store([event(1, "old", at=now - 3600), event(1, "young", at=now - 60)])
    assert dict(db.ask("SELECT run_id, state FROM agentmon.runs")) == {"old": "lost", "young": "running"}


def test_figures_outlive_the_events_they_are_made_of(db):
    db.store([event(n) for n in (1, 2, 3)])
    db.connection.execute("DELETE FROM agentmon.events WHERE seq < 3")
    db.store([event(4, payload=said("late")), event(5)])
    assert folding.fold_left(db.connection)
    assert db.ask("SELECT calls, total_tokens, infos, events FROM agentmon.runs") == [(3, 45, 1, 5)]


@pytest.mark.parametrize("url", [
    "postgresql://ada:s3cret@db.example:5433/x?sslmode=require", "postgres://ada:s3cret@db.example:5433/x",
    "postgresql:///x?service=fleet&user=ada&host=db.example&port=5433&password=s3cret",
])  # fmt: skip
def test_passwords_are_not_shown(url):
    where = postgres.address(url, "--to")
    assert "s3cret@" not in where.shown
    assert where.shown.startswith("postgresql://ada@db.example:5433/x")
    assert "s3cret" in where.conninfo
    assert "s3cret" not in repr(where)
    assert postgres.words(ValueError("wrong: s3cret"), where) == "wrong: ***"


@pytest.mark.parametrize("url", ["postgresql://ada:s3cret@db:notaport:1/x?what=7", "postgresql://ada:s3cret%zz@db/x",
                                 "mysql://ada:s3cret@db/x", "", "s3cret"])  # fmt: skip
def test_urls_that_are_none(url):
    with pytest.raises(AgentmonError, match="--to: ") as caught:
        postgres.address(url, "--to")
    assert "s3cret" not in str(caught.value)
