"""Folding: what the runs in a database add up to, by the fold that reads run logs, over the events that are there.

SQL cannot say it: which of two sources is believed, which print repeats which call, is decided by looking back over a
run's calls in their order (agentmon.usage). So the one fold says it here too, and its figures are stored.

A run's `version` counts the transactions that brought something for the fold, and commits with that. `folded` is the
version that its figures are made of, or an older one than they are: what is stored never goes back, and what is missing
is known to be missing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from agentmon import checked, ndjson
from agentmon.digest import figures, usage_rows
from agentmon.events import GitActivity
from agentmon.fleet.postgres import Connection
from agentmon.telemetry import AgentTelemetry, RunTelemetry, apply

Shares = list[tuple[Any, ...]]

_LOCK = 0x61676D66  # of the copy that folds what was left
_PART = 20_000  # events that are folded before it is committed
_LARGEST = (1 << 63) - 1

_LEFT = """
SELECT run_id, version, team_id, agent_id, folds FROM agentmon.run_figures WHERE folded < version
ORDER BY folded_at NULLS FIRST LIMIT 500
"""
_EVENTS = """
SELECT w.run_id, e.seq, e.team_id, e.agent_id, e.event, e.unix_time, e.data
FROM unnest(%s::text[]) WITH ORDINALITY AS w (run_id, n) CROSS JOIN LATERAL (
    SELECT * FROM agentmon.events e
    WHERE e.run_id = w.run_id AND e.event NOT IN ('log_entry', 'metrics_update') ORDER BY e.seq) AS e
ORDER BY w.n, e.seq
"""
_AGENTS = "SELECT run_id, agent_id FROM agentmon.run_agents WHERE run_id = ANY(%s)"
_FIGURES = (
    "state", "host", "cwd", "parent_run_id", "exit_code", "signal", "reason", "input_tokens", "output_tokens",
    "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd", "estimated", "calls",
    "calls_unknown", "commits", "alerts", "lost_events", "lost_bytes", "duration_s", "end_cpu_s", "git_exact_seq",
    "begun_unix",
)  # fmt: skip
_UPDATE = (
    "UPDATE agentmon.run_figures SET folded = %(version)s, folded_at = now(), argv = %(argv)s::json, "
    "labels = %(labels)s::json, git = %(git)s::json, "
    + ", ".join(f"{name} = %({name})s" for name in _FIGURES)
    + ", started_unix = coalesce(%(begun_unix)s, heard_unix, last_unix) "
    "WHERE run_id = %(run_id)s AND folded < %(version)s"
)
_PASS_OVER = "UPDATE agentmon.run_figures SET folded = %s, folded_at = now() WHERE run_id = %s AND folded < %s"
_USAGE = """
COPY agentmon.usage (run_id, agent_id, model, calls, input_tokens, output_tokens, total_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, cost_usd) FROM STDIN
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to be folded. team_id, agent_id: of its first event. folds: how many events its figures are made
    of, at least."""

    run_id: str
    version: int
    team_id: str
    agent_id: str
    folds: int


def refold(connection: Connection, due: list[Due]) -> None:
    """Fold these runs from their events, inside of a transaction that was begun."""
    if not due:
        return
    by_name = {run.run_id: run for run in due}
    names = [*by_name]
    agents: dict[str, list[str]] = {name: [] for name in names}
    for name, agent in connection.execute(_AGENTS, (names,)):
        agents[name].append(agent)
    folded: dict[str, tuple[dict[str, Any], Shares]] = {}
    missing: list[Due] = []

    def take(name: str, events: Iterable[tuple[Any, ...]]) -> None:
        run = by_name.pop(name)
        if (figured := _fold(run, agents[name], events)) is not None:
            folded[name] = figured
        else:
            missing.append(run)

    with connection.cursor(name="agentmon_fold") as rows:
        rows.itersize = 2_000
        rows.execute(_EVENTS, (names,))
        for name, events in groupby(rows, key=lambda row: row[0]):
            take(name, events)
    for name in tuple(by_name):  # nothing but log entries and metrics so far
        take(name, ())
    _enter(connection, folded)
    with connection.cursor() as cursor:
        cursor.executemany(_PASS_OVER, [(run.version, run.run_id, run.version) for run in missing])


def _enter(connection: Connection, folded: Mapping[str, tuple[dict[str, Any], Shares]]) -> None:
    entered = []
    with connection.cursor() as cursor:
        for name in sorted(folded):
            cursor.execute(_UPDATE, folded[name][0])
            if cursor.rowcount:
                entered.append(name)
        cursor.execute("DELETE FROM agentmon.usage WHERE run_id = ANY(%s)", (entered,))
        with cursor.copy(_USAGE) as copy:
            for name in entered:
                for share in folded[name][1]:
                    copy.write_row((name, *map(_fit, share)))


def _fold(
    run: Due, agents: Iterable[str], events: Iterable[tuple[Any, ...]]
) -> tuple[dict[str, Any], Shares] | None:  # fmt: skip
    """The row of one run, and its usage. None where events are missing that once were there: somebody cleared up, and
    the figures of then stay."""
    state = RunTelemetry(run.run_id, run.agent_id, run.team_id)
    exact_seq = None
    seen = 0
    for _, seq, team, agent, kind, at, data in events:
        seen += 1
        raw = {"run_id": run.run_id, "seq": seq, "team_id": team, "agent_id": agent, "event": kind, "timestamp": at}
        try:
            event = checked.event_of(raw | {"data": data})
        except ndjson.NotAnEvent:  # stored by an agentmon that knows more events than this one
            continue
        if exact_seq is None and isinstance(event.payload, GitActivity) and event.payload.source == "trace2":
            exact_seq = seq
        apply(state, event)
    if seen < run.folds:
        return None
    for agent in agents:
        if agent not in state.agents:
            state.agents[agent] = AgentTelemetry(agent, run.team_id)
    try:
        told, usage = figures(state), usage_rows(state)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # one run is not to stop all
        told, usage = figures(RunTelemetry()) | {"reason": f"its events cannot be folded: {error!r}"}, []
    end = state.end
    row = told | {
        "run_id": run.run_id, "version": run.version, "git_exact_seq": exact_seq, "begun_unix": state.started_at,
        "duration_s": end.duration_s if end else None, "end_cpu_s": end.cpu_time_s if end else None,
    }  # fmt: skip
    return {name: _fit(value) for name, value in row.items()}, usage


def _fit(value: Any) -> Any:
    """A sum that is more than the column holds is the most that it holds."""
    return min(value, _LARGEST) if type(value) is int else value


def fold_left(connection: Connection, busy: Callable[[], bool] = lambda: False) -> bool:
    """Fold the runs that no batch had the time for, until `busy`; whether nothing is left. One copy does it at a
    time."""
    while True:
        with connection.transaction():
            (got,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone() or (False,)
            found = connection.execute(_LEFT).fetchall()
            if not found:
                return True
            if not got:
                return False
            due: list[Due] = []
            left = _PART
            for name, version, team, agent, folds in found:
                if due and folds > left:
                    break
                left -= max(folds, 1)
                due.append(Due(name, version, team, agent, folds))
            refold(connection, due)
        if busy():
            return False
