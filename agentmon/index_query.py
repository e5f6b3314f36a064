"""Questions to the history: runs and sums of runs, chosen by a person's words.

It is SQL that SQLite and PostgreSQL understand alike: the index of this machine is asked in the same words as the
database of a fleet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agentmon.errors import AgentmonError
from agentmon.index import USAGE_COLUMNS, Index

By = Literal["day", "team", "model", "agent"]

_GROUPS = {"team": "coalesce(r.team_id, '')", "model": "u.model", "agent": "u.agent"}
_FRACTIONS = ("cost_usd", "duration_s")
_ALL = (1 << 63) - 1
_SHOWN = (
    "name", "state", "agent_id", "team_id", "labels", "argv", "cwd", "host", "parent_run_id", "started", "ended",
    "duration_s", "exit_code", "signal", "reason", *USAGE_COLUMNS, "calls_unknown", "estimated", "git", "commits",
    "cpu_time_s", "peak_memory_mb", "warnings", "errors", "alerts", "lost_events", "lost_bytes",
)  # fmt: skip


class Store(Protocol):
    """Where runs and their usage are: tables (or the like) `runs` and `usage` with the names of the index's.

    has_label: a condition on the run `r`, with two places for a key and its value.
    """

    has_label: str

    def ask(self, query: str, values: Sequence[Any]) -> Iterable[Mapping[str, Any]]:
        """The rows of an answer; `?` stands for a value."""

    def day(self) -> str:
        """SQL: the local day, as YYYY-MM-DD, on which the run `r` began."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs. agent: runs in which it took part. since, until: when they began (Unix seconds). exit: a status,
    `ok` or `failed`. min_cost: US dollars. before: those that come after it in the order of `runs` (when a run began,
    and its name)."""

    team: str | None = None
    agent: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    since: float | None = None
    until: float | None = None
    exit: str | None = None
    min_cost: float | None = None
    name: str | None = None
    state: str | None = None
    before: tuple[float, str] | None = None

    def condition(self, store: Store) -> tuple[str, list[Any]]:
        """The same in SQL."""
        terms, values = ["1 = 1"], list[Any]()
        for term, value in (
            ("r.team_id = ?", self.team), ("r.started >= ?", self.since), ("r.started < ?", self.until),
            ("r.cost_usd >= ?", self.min_cost), ("r.name = ?", self.name), ("r.state = ?", self.state),
        ):  # fmt: skip
            if value is not None:
                terms.append(term)
                values.append(value)
        if self.agent is not None:
            terms.append("(r.agent_id = ? OR EXISTS (SELECT 1 FROM usage WHERE run = r.id AND agent = ?))")
            values += [self.agent, self.agent]
        for key, value in self.labels:
            terms.append(store.has_label)
            values += [key, value]
        if self.before is not None:
            terms.append("(r.started, r.name) < (?, ?)")
            values += self.before
        if self.exit == "ok":
            terms.append("r.state = 'stopped'")
        elif self.exit == "failed":
            terms.append("r.state IN ('error', 'lost')")
        elif self.exit is not None:
            terms.append("r.exit_code = ?")
            values.append(int(self.exit))
        return " AND ".join(terms), values


def runs(store: Store, wanted: Wanted, limit: int | None = None) -> list[dict[str, Any]]:
    """Runs, newest first."""
    condition, values = wanted.condition(store)
    found = store.ask(
        f"SELECT {', '.join(_SHOWN)} FROM runs r WHERE {condition} ORDER BY started DESC, name DESC LIMIT ?",
        [*values, _ALL if limit is None else limit],
    )
    return [_run(dict(row)) for row in found]


def count(store: Store, wanted: Wanted) -> int:
    """How many runs there are."""
    condition, values = wanted.condition(store)
    (row,) = store.ask(f"SELECT count(*) AS runs FROM runs r WHERE {condition}", values)
    return int(row["runs"])


def sums(store: Store, wanted: Wanted, by: By, limit: int | None = None) -> list[dict[str, Any]]:
    """Sums over runs: days newest first, all else by cost and tokens. What nobody told is None; cost_unknown is how
    many of the runs used tokens whose cost nobody knows."""
    condition, values = wanted.condition(store)
    own = by in ("day", "team")  # else a run may be in a group more than once: with several agents, or models
    part = "r" if own else "u"

    def runs_where(condition: str) -> str:
        how = "sum(CASE WHEN {} THEN 1 ELSE 0 END)" if own else "count(DISTINCT CASE WHEN {} THEN r.id END)"
        return how.format(condition)

    failed, running = runs_where("r.state IN ('error', 'lost')"), runs_where("r.state = 'running'")
    counts = f"{runs_where('1 = 1')} AS runs, {failed} AS failed, {running} AS running, "
    figures = ", ".join(f"{_sum(f'{part}.{n}')} AS {n}" for n in USAGE_COLUMNS)
    extra = f"{_sum('r.duration_s')} AS duration_s, sum(r.commits) AS commits, " if own else ""
    unknown = runs_where(f"{part}.cost_usd IS NULL AND ({part}.calls <> 0 OR {part}.total_tokens <> 0)")
    source = "runs r" if own else "runs r JOIN usage u ON u.run = r.id"
    if by == "model":
        terms = (f"u.{n} <> 0" for n in ("calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd"))
        condition += f" AND ({' OR '.join(terms)})"
    group = store.day() if by == "day" else _GROUPS[by]
    order = "1 DESC" if by == "day" else "cost_usd DESC NULLS LAST, total_tokens DESC NULLS LAST, runs DESC, 1"
    found = store.ask(
        f"SELECT {group} AS {by}, {counts} {extra} {figures}, {unknown} AS cost_unknown FROM {source} "
        f"WHERE {condition} GROUP BY 1 ORDER BY {order} LIMIT ?",
        [*values, _ALL if limit is None else limit],
    )
    return [_summed(dict(row)) for row in found]


def _sum(name: str) -> str:
    """SQL. Without the noise of adding binary fractions, which depends on the order: whoever adds gets the same."""
    return f"round(CAST(sum({name}) AS NUMERIC), 9)" if name.endswith(_FRACTIONS) else f"sum({name})"


def names(by: By | None) -> list[str]:
    """The fields of what `sums`, or else `runs`, gives."""
    if by is None:
        return ["run_id", *_SHOWN[1:]]
    own = ["duration_s", "commits"] if by in ("day", "team") else []
    return [by, "runs", "failed", "running", *own, *USAGE_COLUMNS, "cost_unknown"]


def minutes(index: Index, name: str) -> list[dict[str, Any]]:
    """The curves of a run: a row a minute, also when its log is gone. cpu_percent is the mean of the samples."""
    found = index.db.execute(
        "SELECT minute * 60 AS timestamp, samples, cpu_sum / nullif(cpu_samples, 0) AS cpu_percent, cpu_max, "
        "memory_max, processes_max, threads_max, m.cpu_time_s, read_bytes, write_bytes "
        "FROM minutes m JOIN runs r ON r.id = m.run WHERE r.name = ? ORDER BY minute",
        (name,),
    )
    return [dict(row) for row in found]


def known(index: Index, names: Iterable[str]) -> set[str]:
    """Those of the names that are runs."""
    from json import dumps

    found = index.db.execute("SELECT name FROM runs WHERE name IN (SELECT value FROM json_each(?))", (dumps([*names]),))
    return {row[0] for row in found}


def shares(index: Index, name: str) -> list[dict[str, Any]]:
    """What each agent of a run used of each model; a model nobody told is ''. An agent that used nothing is there."""
    found = index.db.execute(
        f"SELECT agent, model, {', '.join('u.' + n for n in USAGE_COLUMNS)} FROM usage u JOIN runs r ON r.id = u.run "
        "WHERE r.name = ? ORDER BY agent, model",
        (name,),
    )
    return [dict(row) for row in found]


def usage(index: Index) -> list[dict[str, Any]]:
    """What was used so far, by team, agent and model."""
    figures = ", ".join(f"sum(u.{n}) AS {n}" for n in USAGE_COLUMNS)
    found = index.db.execute(
        f"SELECT coalesce(r.team_id, '') AS team, agent, model, {figures} "
        "FROM usage u JOIN runs r ON r.id = u.run GROUP BY 1, 2, 3 ORDER BY min(r.started), 1, 2, 3"
    )
    return [dict(row) for row in found]


def ended(index: Index) -> list[dict[str, Any]]:
    """How many runs of which team and agent ended, and how."""
    found = index.db.execute(
        "SELECT coalesce(team_id, '') AS team, coalesce(agent_id, '') AS agent, state, count(*) AS runs FROM runs "
        "WHERE state != 'running' GROUP BY 1, 2, 3 ORDER BY min(started), 1, 2, 3"
    )
    return [dict(row) for row in found]


def teams(index: Index) -> list[dict[str, Any]]:
    """Sums over the runs of each team, with how many agents it has, the one heard of last first."""
    figures = ", ".join(f"sum({n}) AS {n}" for n in ("calls", "input_tokens", "output_tokens", "total_tokens"))
    found = index.db.execute(
        "SELECT coalesce(team_id, '') AS team_id, coalesce(agents, 0) AS agents, count(*) AS runs, "
        f"sum(state = 'running') AS running, {figures}, sum(cost_usd) AS cost_usd, max(ended) AS last_updated "
        "FROM runs r LEFT JOIN (SELECT coalesce(team_id, '') AS team, count(DISTINCT agent) AS agents "
        "FROM usage u JOIN runs t ON t.id = u.run GROUP BY 1) ON team = coalesce(r.team_id, '') "
        "GROUP BY 1 ORDER BY last_updated DESC, 1"
    )
    return [dict(row) for row in found]


def alerted(index: Index, team: str | None, since: float | None) -> list[dict[str, Any]]:
    """The runs that had alerts, the one that ended last first. since: those that were heard of then."""
    found = index.db.execute(
        "SELECT name AS run_id, team_id, ended FROM runs WHERE alerts > 0 AND (?1 IS NULL OR team_id = ?1) "
        "AND (?2 IS NULL OR ended >= ?2) ORDER BY ended DESC",
        (team, since),
    )
    return [dict(row) for row in found]


def recalled(index: Index, name: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """A run and its usage by agent and model: the one of this name, the only one whose name begins so, or without a
    name the newest. None where there is none; raises AgentmonError where there are several."""
    if not name:
        term, values = "1", list[Any]()
    else:
        term, values = "substr(name, 1, ?) = ?", [len(name), name]
    found = index.db.execute(
        f"SELECT id, {', '.join(_SHOWN)}, infos FROM runs WHERE {term} ORDER BY name = ? DESC, started DESC, name DESC "
        "LIMIT 2", [*values, name],
    ).fetchall()  # fmt: skip
    if not found:
        return None
    if name and len(found) > 1 and found[0]["name"] != name:
        raise AgentmonError(f"{name}: several runs of the history begin so; give more of it")
    row = dict(found[0])
    shares = index.db.execute("SELECT * FROM usage WHERE run = ?", (row.pop("id"),))
    return _run(row), [dict(share) for share in shares]


def shortest(store: Store, name: str) -> str:
    """The shortest beginning of a run's name that no other run has."""
    (row,) = store.ask(
        "SELECT (SELECT max(name) FROM runs WHERE name < ?) AS before, "
        "(SELECT min(name) FROM runs WHERE name > ?) AS after",
        (name, name),
    )
    others = (row["before"], row["after"])
    needed = max((_shared(name, other) for other in others if other is not None), default=0) + 1
    return name[:needed]


def _shared(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _summed(row: dict[str, Any]) -> dict[str, Any]:
    for name in _FRACTIONS:
        if row.get(name) is not None:
            row[name] = float(row[name])
    return row


def _run(row: dict[str, Any]) -> dict[str, Any]:
    from json import loads

    row = {"run_id": row.pop("name"), **row}
    for name in ("labels", "argv", "git"):
        row[name] = loads(row[name]) if row[name] else None
    row["estimated"] = None if row["estimated"] is None else bool(row["estimated"])
    return row
