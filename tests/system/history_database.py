"""A history in PostgreSQL and the same runs as files, for tests that hold one against the other."""

import os
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from agentmon import index, index_query, indexing, ndjson, replay
from agentmon.events import (
    ActivityLog,
    Event,
    Lifecycle,
    Payload,
    TokenUsage,
)
from agentmon.fleet import postgres, storing
from agentmon.fleet.arrivals import Arrival
from agentmon.fleet.history import Fleet
from agentmon.index_query import Wanted
from tests.postgres_server import Postgres

_MINUTES = """
SELECT extract(epoch FROM minute)::bigint, samples, cpu_percent, cpu_max, memory_mb_max, processes_max, threads_max,
    cpu_time_s, read_bytes, write_bytes FROM agentmon.metrics_by_minute WHERE run_id = %s ORDER BY minute
"""
LONG_AGO = 1_700_000_000.0  # a run of then that has not ended is lost, here as there


class Database:
    """An empty database with our schema, and a connection to it."""

    def __init__(self, server: Postgres) -> None:
        self.name = server.database()
        self.url = server.url(self.name)
        self.where = postgres.address(self.url, "--to")
        self.connection = postgres.connect(self.where)
        postgres.prepare(self.connection, self.where)
        self.fleet = Fleet(self.connection)

    def store(self, lines: list[bytes]) -> storing.Count:
        return storing.store(self.connection, [Arrival("s", line, n) for n, line in enumerate(lines)])

    def ask(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()

    def empty(self) -> None:
        tables = "events, rejects, run_figures, run_agents, usage, minutes"
        self.connection.execute("TRUNCATE " + ", ".join(f"agentmon.{name}" for name in tables.split(", ")))


class Local:
    """The same runs as files, and the index over them."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "agentmon" / "runs"
        self.runs.mkdir(parents=True)

    def write(self, lines: list[bytes]) -> None:
        for line in lines:
            name = orjson.loads(line)["run_id"]
            with (self.runs / f"{name}.ndjson").open("ab") as log:
                log.write(line + b"\n")

    def opened(self) -> index.Index:
        os.environ["XDG_STATE_HOME"] = str(self.runs.parent.parent)
        made = index.open_index(lambda _: None)
        indexing.bring_up_to_date(made, lambda text: pytest.fail(text))
        return made


def agree(db: Database, local: Local) -> None:
    """All that `agentmon history` shows, by run and in sums."""
    with closing(local.opened()) as opened:
        assert index_query.runs(db.fleet, Wanted()) == index_query.runs(opened, Wanted())
        for by in ("day", "team", "model", "agent"):
            ours, theirs = index_query.sums(db.fleet, Wanted(), by), index_query.sums(opened, Wanted(), by)
            assert [*ours] == [*theirs], by
        for name in [row["run_id"] for row in index_query.runs(opened, Wanted())]:
            minutes = [
                (row["timestamp"], row["samples"], row["cpu_percent"], row["cpu_max"], row["memory_max"],
                 row["processes_max"], row["threads_max"], row["cpu_time_s"], row["read_bytes"], row["write_bytes"])
                for row in index_query.minutes(opened, name)
            ]  # fmt: skip
            found = db.connection.execute(_MINUTES, (name,)).fetchall()
            assert [tuple(pytest.approx(v) for v in row) for row in minutes] == found
            acts = {}
            for operation, number in db.connection.execute(
                "SELECT operation, count(*) FROM agentmon.git_activity WHERE run_id = %s GROUP BY 1", (name,)
            ):
                acts[operation] = number
            state = replay.fold_file(str(local.runs / f"{name}.ndjson"), lambda _: None)
            assert acts == state.git_operations


def event(seq: int = 1, run: str = "r", payload: Payload | None = None, agent: str = "crew", at: float = LONG_AGO):
    told = payload or TokenUsage("m", 10, 5, 15, 0.5, call_id=str(seq), source="sdk")
    return ndjson.encode(Event(run, seq, agent, "blue", told, at + seq)).rstrip()


def said(text: str) -> ActivityLog:
    return ActivityLog("2027-01-15T08:00:00.000000Z", "info", text, "orchestrator", "stdout")


def some_runs() -> list[bytes]:
    lines = []
    for number, (name, team, code) in enumerate((("a", "blue", 0), ("b", "red", 3), ("c", "Blue", None), ("d", "", 0))):
        payloads: list[tuple[str, Payload]] = [
            ("crew", Lifecycle("started", argv=("x",), labels={"k": "v", "k2": "ü"} if number % 2 else None)),
            ("coder", TokenUsage("m", 10, 5, 15, 0.1 * number if number else None, source="sdk", call_id="1")),
            ("crew", TokenUsage("n", 7, 1, 8, 0.2, source="sdk", call_id="2")),
        ]
        if code is not None:
            state = "error" if code else "stopped"
            payloads.append(("crew", Lifecycle(state, exit_code=code, duration_s=1.1)))
        for seq, (agent, payload) in enumerate(payloads, 1):
            at = LONG_AGO + number * 43_000 + seq
            lines.append(ndjson.encode(Event(name, seq, agent, team, payload, at)).rstrip())
    return lines
