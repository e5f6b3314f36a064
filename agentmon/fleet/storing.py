"""Storing: a batch of messages into PostgreSQL, in one transaction, as often as it may come.

What is counted (lines, samples, minutes) is counted of the events that were really inserted, and what is folded is
folded from all events of the run in the database: a batch that comes twice, late, or in pieces through several copies
of us gives the same as the run log.

Locks are taken in one order everywhere (events, agents, runs, minutes; each sorted by its key): copies wait for each
other, never in a circle.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import psycopg

from agentmon.digest import Minute
from agentmon.events import ActivityLog, Event, ProcessMetrics
from agentmon.fleet.arrivals import Arrival, Refused, Taken, look_at
from agentmon.fleet.folding import Due, refold
from agentmon.fleet.postgres import Connection, fault

_BODY_KEPT = 1 << 16
_AT_ONCE = 1_000  # events that are folded with a batch at once (some 30 ms); what is more is folded between batches
_ANOTHER = "another event has this run_id and seq"

_STAGED = """
CREATE TEMP TABLE IF NOT EXISTS agentmon_staged (
    seq bigint, unix_time double precision, run_id text COLLATE "C", team_id text, agent_id text, event text, data jsonb
) ON COMMIT DELETE ROWS
"""
_COPY = "COPY agentmon_staged (run_id, seq, team_id, agent_id, event, unix_time, data) FROM STDIN"
_INSERT = """
INSERT INTO agentmon.events (run_id, seq, team_id, agent_id, event, unix_time, data)
SELECT run_id, seq, team_id, agent_id, event, unix_time, data FROM agentmon_staged ORDER BY run_id, seq
ON CONFLICT (run_id, seq) DO NOTHING RETURNING run_id, seq
"""
_DIFFERENT = """
SELECT run_id, seq FROM agentmon_staged s JOIN agentmon.events e USING (run_id, seq)
WHERE (s.team_id, s.agent_id, s.event, s.unix_time, s.data) <> (e.team_id, e.agent_id, e.event, e.unix_time, e.data)
"""
_REJECT = """
INSERT INTO agentmon.rejects (digest, stream_seq, subject, reason, size, body)
SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::text[], %s::int[], %s::bytea[])
ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""
_AGENTS = """
INSERT INTO agentmon.run_agents
SELECT * FROM unnest(%s::text[], %s::text[]) AS t (run_id, agent_id) ORDER BY run_id COLLATE "C", agent_id COLLATE "C"
ON CONFLICT DO NOTHING RETURNING run_id
"""
_RUNS = """
INSERT INTO agentmon.run_figures AS r (
    run_id, team_id, agent_id, first_seq, heard_seq, heard_unix, last_seq, last_unix, events, folds, infos, warnings,
    errors, cleaned, peak_memory_mb, sample_seq, sample_cpu_s, started_unix)
SELECT *, coalesce(heard_unix, last_unix) FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::float8[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[],
    %s::float8[]) AS t (
    run_id, team_id, agent_id, first_seq, heard_seq, heard_unix, last_seq, last_unix, events, folds, infos, warnings,
    errors, cleaned, peak_memory_mb, sample_seq, sample_cpu_s)
ORDER BY run_id COLLATE "C"
ON CONFLICT (run_id) DO UPDATE SET
    team_id = CASE WHEN excluded.first_seq < r.first_seq THEN excluded.team_id ELSE r.team_id END,
    agent_id = CASE WHEN excluded.first_seq < r.first_seq THEN excluded.agent_id ELSE r.agent_id END,
    first_seq = least(r.first_seq, excluded.first_seq),
    heard_unix = CASE WHEN r.heard_seq < excluded.heard_seq THEN r.heard_unix
                      ELSE coalesce(excluded.heard_unix, r.heard_unix) END,
    heard_seq = least(r.heard_seq, excluded.heard_seq),
    last_unix = CASE WHEN excluded.last_seq > r.last_seq THEN excluded.last_unix ELSE r.last_unix END,
    last_seq = greatest(r.last_seq, excluded.last_seq),
    events = r.events + excluded.events, folds = r.folds + excluded.folds, infos = r.infos + excluded.infos,
    warnings = r.warnings + excluded.warnings, errors = r.errors + excluded.errors,
    cleaned = r.cleaned + excluded.cleaned, peak_memory_mb = greatest(r.peak_memory_mb, excluded.peak_memory_mb),
    sample_cpu_s = CASE WHEN r.sample_seq > excluded.sample_seq OR excluded.sample_seq IS NULL THEN r.sample_cpu_s
                        ELSE excluded.sample_cpu_s END,
    sample_seq = greatest(r.sample_seq, excluded.sample_seq),
    started_unix = coalesce(r.begun_unix, CASE WHEN r.heard_seq < excluded.heard_seq THEN r.heard_unix
                            ELSE coalesce(excluded.heard_unix, r.heard_unix) END,
                            CASE WHEN excluded.last_seq > r.last_seq THEN excluded.last_unix ELSE r.last_unix END),
    version = r.version + CASE WHEN excluded.folds > 0 OR excluded.first_seq < r.first_seq
                                    OR r.run_id = ANY(%s::text[]) THEN 1 ELSE 0 END
RETURNING run_id, version, folded, folds, team_id, agent_id
"""
_RUN_TYPES = "tttiifif" + "iiiiii" + "fif"
_MINUTES = """
INSERT INTO agentmon.minutes AS m
SELECT to_timestamp(minute * 60), samples, cpu_sum, cpu_samples, cpu_max, memory_max, processes_max, threads_max,
    cpu_time_s, read_bytes, write_bytes, run_id
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::float8[], %s::float8[],
    %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::bigint[]) AS t (
    run_id, minute, samples, cpu_sum, cpu_samples, cpu_max, memory_max, processes_max, threads_max, cpu_time_s,
    read_bytes, write_bytes)
ORDER BY run_id COLLATE "C", minute
ON CONFLICT (run_id, minute) DO UPDATE SET
    samples = m.samples + excluded.samples, cpu_samples = m.cpu_samples + excluded.cpu_samples,
    cpu_sum = coalesce(m.cpu_sum + excluded.cpu_sum, m.cpu_sum, excluded.cpu_sum),
    cpu_max = greatest(m.cpu_max, excluded.cpu_max), memory_max = greatest(m.memory_max, excluded.memory_max),
    processes_max = greatest(m.processes_max, excluded.processes_max),
    threads_max = greatest(m.threads_max, excluded.threads_max),
    cpu_time_s = greatest(m.cpu_time_s, excluded.cpu_time_s),
    read_bytes = greatest(m.read_bytes, excluded.read_bytes),
    write_bytes = greatest(m.write_bytes, excluded.write_bytes)
"""
_MINUTE_TYPES = "tiififfiifii"


@dataclass(slots=True)
class Count:
    """What became of messages: new events, events that were known, cleaned ones among the new, rejects."""

    stored: int = 0
    known: int = 0
    cleaned: int = 0
    rejected: int = 0

    def add(self, other: "Count") -> None:
        """Add up."""
        for name in Count.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class _Run:
    """What the new events of one run add to what is counted."""

    first: Event
    last: Event
    heard: Event | None = None
    sample: Event | None = None
    events: int = 0
    folds: int = 0
    infos: int = 0
    warnings: int = 0
    errors: int = 0
    cleaned: int = 0
    peak_memory_mb: float | None = None
    agents: set[str] = field(default_factory=set)
    minutes: dict[int, Minute] = field(default_factory=dict)

    def add(self, taken: Taken) -> None:
        """Count one event; they come in the order of their seq."""
        event = taken.event
        payload = event.payload
        self.last = event
        self.events += 1
        self.cleaned += taken.cleaned
        level = payload.level if isinstance(payload, ActivityLog) else None
        if self.heard is None and level in (None, "error"):
            self.heard = event
        if isinstance(payload, ProcessMetrics):
            self.sample = event
            self.minutes.setdefault(int(event.timestamp // 60), Minute()).add(payload.tree)
            if payload.peak_mb is not None:
                self.peak_memory_mb = max(self.peak_memory_mb or 0.0, payload.peak_mb)
            return
        self.agents.add(event.agent_id)
        if level is None:
            self.folds += 1
        elif level in ("info", "warning", "error"):
            setattr(self, f"{level}s", getattr(self, f"{level}s") + 1)

    def row(self) -> tuple[Any, ...]:
        """In the order of the upsert."""
        heard, sample, first, last = self.heard, self.sample, self.first, self.last
        return (
            first.run_id, first.team_id, first.agent_id, first.seq, heard.seq if heard else None,
            heard.timestamp if heard else None, last.seq, last.timestamp, self.events, self.folds, self.infos,
            self.warnings, self.errors, self.cleaned, self.peak_memory_mb, sample.seq if sample else None,
            sample.payload.tree.cpu_time_s if sample and isinstance(sample.payload, ProcessMetrics) else None,
        )  # fmt: skip


def store(connection: Connection, arrivals: Iterable[Arrival]) -> Count:
    """Store what came; when it returns, it is committed. Raises psycopg.Error for what may go well another time."""
    taken: dict[tuple[str, int], Taken] = {}
    refused: list[Refused] = []
    count = Count()
    for arrival in arrivals:
        seen = look_at(arrival)
        if isinstance(seen, Refused):
            refused.append(seen)
            continue
        first = taken.setdefault((seen.event.run_id, seen.event.seq), seen)
        if first is not seen:
            if (first.event, first.data) == (seen.event, seen.data):
                count.known += 1
            else:
                refused.append(Refused(arrival, _ANOTHER))
    count.add(_store(connection, [*taken.values()], refused))
    return count


def _store(connection: Connection, taken: Sequence[Taken], refused: Sequence[Refused]) -> Count:
    """One transaction; in halves, where PostgreSQL finds something in it that it does not take."""

    try:
        return _transact(connection, taken, refused)
    except psycopg.Error as error:
        if fault(error) != "data" or not (taken or refused):
            raise
        if not taken:
            raise
        if len(taken) == 1:
            why = " ".join(str(error.diag.message_primary or error).split())
            return _transact(connection, [], [*refused, Refused(taken[0].arrival, f"PostgreSQL: {why}")])
    half = len(taken) // 2
    count = _store(connection, taken[:half], refused)
    count.add(_store(connection, taken[half:], []))
    return count


def _transact(connection: Connection, taken: Sequence[Taken], refused: Sequence[Refused]) -> Count:
    count = Count()
    with connection.transaction(), connection.cursor() as cursor:
        refused = list(refused)
        if taken:
            cursor.execute(_STAGED)
            with cursor.copy(_COPY) as copy:
                copy.write(b"".join(map(_line, taken)))
            fresh = set(cursor.execute(_INSERT).fetchall())
            if len(fresh) < len(taken):
                by_key = {(t.event.run_id, t.event.seq): t for t in taken}
                different = [key for key in cursor.execute(_DIFFERENT).fetchall() if key not in fresh]
                refused += [Refused(by_key[key].arrival, _ANOTHER) for key in different]
                count.known = len(taken) - len(fresh) - len(different)
            new = sorted((t for t in taken if (t.event.run_id, t.event.seq) in fresh), key=_key)
            count.stored, count.cleaned = len(new), sum(t.cleaned for t in new)
            _count_new(connection, new)
        if refused:
            rows = [_reject(item) for item in refused]
            cursor.execute(_REJECT, [*map(list, zip(*rows, strict=True))])
            count.rejected = cursor.rowcount
    return count


def _count_new(connection: Connection, new: Sequence[Taken]) -> None:
    """Count the new events, sorted by run and seq, and fold the runs that are cheap to fold."""
    runs: dict[str, _Run] = {}
    for taken in new:
        run = runs.get(taken.event.run_id)
        if run is None:
            run = runs[taken.event.run_id] = _Run(taken.event, taken.event)
        run.add(taken)
    if not runs:
        return
    agents = [(name, agent) for name, run in runs.items() for agent in run.agents]
    joined = connection.execute(_AGENTS, _columns(agents, "tt")).fetchall()
    rows = [run.row() for run in runs.values()]
    found = connection.execute(_RUNS, [*_columns(rows, _RUN_TYPES), [name for (name,) in joined]]).fetchall()
    minutes = [(name, at, *minute.values()) for name, run in runs.items() for at, minute in run.minutes.items()]
    if minutes:
        connection.execute(_MINUTES, _columns(minutes, _MINUTE_TYPES))
    left = _AT_ONCE
    due = []
    for name, version, folded, folds, team, agent in sorted(found, key=lambda row: row[3]):
        if folded < version and folds <= left:
            left -= max(folds, 1)
            due.append(Due(name, version, team, agent, folds))
    refold(connection, due)


def _columns(rows: Sequence[tuple[Any, ...]], types: str) -> list[list[Any]]:
    """Rows as arrays; of the columns of type `f`, all numbers are made floats (an array has one type)."""
    columns = [[row[n] for row in rows] for n in range(len(types))]
    return [
        [None if value is None else float(value) for value in column] if kind == "f" else column
        for column, kind in zip(columns, types, strict=True)
    ]


def _key(taken: Taken) -> tuple[str, int]:
    return taken.event.run_id, taken.event.seq


def _line(taken: Taken) -> bytes:
    """One row in COPY's text format."""
    event = taken.event
    return b"%s\t%d\t%s\t%s\t%s\t%r\t%s\n" % (
        _escaped(event.run_id), event.seq, _escaped(event.team_id), _escaped(event.agent_id),
        event.payload.event.encode(), float(event.timestamp), taken.data.replace(b"\\", b"\\\\"),
    )  # fmt: skip


@lru_cache(4096)
def _escaped(text: str) -> bytes:
    data = text.encode().replace(b"\\", b"\\\\")
    return data.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _reject(item: Refused) -> tuple[Any, ...]:
    arrival = item.arrival
    text = arrival.subject.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    reason = item.reason.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    digest = hashlib.sha256(arrival.body).digest()
    return digest, arrival.number, text, reason[:1000], len(arrival.body), arrival.body[:_BODY_KEPT]
