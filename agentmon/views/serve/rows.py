"""Rows: live runs in the form in which the index has all others, and chosen in the same way."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import inf
from typing import TYPE_CHECKING, Any

from agentmon import index_query
from agentmon.index import USAGE_COLUMNS
from agentmon.index_query import By, Wanted
from agentmon.sessions import COUNTS

if TYPE_CHECKING:
    from agentmon.views.serve.live import LiveRun

Row = dict[str, Any]

_FIGURES = ("calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd")


def row_of(run: "LiveRun", now: float) -> Row:
    """A live run as a row. now: Unix seconds."""
    state, totals = run.state, asdict(run.totals)
    start, end, metrics = state.start, state.end, state.process_metrics
    status = run.status(now)
    times = [
        t for t in (metrics.tree.cpu_time_s if metrics else None, end.cpu_time_s if end else None) if t is not None
    ]
    return {
        "run_id": run.run_id, "state": "running" if status == "stalled" else status,
        "agent_id": state.agent_id, "team_id": state.team_id, "labels": dict(start.labels or {}) if start else None,
        "argv": list(start.argv) if start and start.argv else None, "cwd": start.cwd if start else None,
        "host": start.host if start else None, "parent_run_id": start.parent_run_id if start else None,
        "started": state.started_at if state.started_at is not None else state.last_updated,
        "ended": state.last_updated, "duration_s": run.lasted(now), "exit_code": end.exit_code if end else None,
        "signal": end.signal if end else None, "reason": end.reason if end else None,
        **totals, "calls": run.calls, "calls_unknown": run.calls_unknown,
        "git": dict(state.git_operations), "commits": state.git_operations.get("commit", 0),
        "cpu_time_s": max(times, default=None), "peak_memory_mb": state.peak_memory_mb,
        "warnings": state.log_levels.get("warning", 0), "errors": state.log_levels.get("error", 0),
        "alerts": len(state.alerts), "lost_events": run.lost_events,
        "lost_bytes": sum(gap.lost_bytes or 0 for gap in state.gaps),
    }  # fmt: skip


def is_wanted(row: Row, wanted: Wanted, agents: Iterable[str]) -> bool:
    """The same as the index's condition. agents: those of the run."""
    started = row["started"] or 0.0
    labels = row["labels"] or {}
    return (
        wanted.team in (None, row["team_id"])
        and (wanted.agent is None or wanted.agent == row["agent_id"] or wanted.agent in agents)
        and all(labels.get(key) == value for key, value in wanted.labels)
        and (wanted.since is None or started >= wanted.since)
        and (wanted.until is None or started < wanted.until)
        and wanted.state in (None, row["state"])
        and (wanted.min_cost is None or (row["cost_usd"] is not None and row["cost_usd"] >= wanted.min_cost))
        and (wanted.before is None or (started, row["run_id"]) < wanted.before)
    )


def with_live_teams(teams: Sequence[Row], live: Iterable["LiveRun"], now: float) -> list[Row]:
    """The index's teams, and in them the live runs that it does not know."""
    known = {team["team_id"]: dict(team) for team in teams}
    for run in live:
        row = row_of(run, now)
        team = known.setdefault(
            run.team_id,
            {"team_id": run.team_id, "agents": 0, "runs": 0, "running": 0, **dict.fromkeys(_FIGURES),
             "last_updated": None},
        )  # fmt: skip
        team["agents"] += len(run.agents)
        team["runs"] += 1
        team["running"] += row["state"] == "running"
        for name in _FIGURES:
            if row[name] is not None:
                team[name] = (team[name] or 0) + row[name]
        team["last_updated"] = max(team["last_updated"] or 0.0, row["ended"] or 0.0) or None
    return sorted(known.values(), key=lambda team: (-(team["last_updated"] or 0.0), team["team_id"]))


def with_live_sums(found: Sequence[Row], live: Iterable["LiveRun"], wanted: Wanted, by: By, now: float) -> list[Row]:
    """The index's sums, and in them the live runs that it does not know."""
    known = {row[by]: dict(row) for row in found}
    own = by in ("day", "team")
    for run in live:
        row = row_of(run, now)
        if not is_wanted(row, wanted, [*run.agents]):
            continue
        parts: dict[str | None, list[Row]] = {}
        if own:
            parts[_day(row["started"]) if by == "day" else run.team_id] = [row]
        else:
            for share in shares_of(run):
                if by == "agent" or any(share[name] for name in _FIGURES):
                    parts.setdefault(share[by], []).append(share)
        for name, shares in parts.items():
            blank = dict.fromkeys(index_query.names(by)) | {"runs": 0, "failed": 0, "running": 0, "cost_unknown": 0}
            sums = known.setdefault(name, blank | {by: name})
            sums["runs"] += 1
            sums["failed"] += row["state"] in ("error", "lost")
            sums["running"] += row["state"] == "running"
            sums["cost_unknown"] += any(
                share["cost_usd"] is None and (share["calls"] or share["total_tokens"]) for share in shares
            )
            sums.update(
                {name: _sum([sums, *shares], name) for name in (*USAGE_COLUMNS, *(("duration_s", "commits") * own))}
            )
    if by == "day":
        return sorted(known.values(), key=lambda row: row["day"] or "", reverse=True)
    return sorted(
        known.values(),
        key=lambda row: (*(-inf if row[name] is None else row[name] for name in ("cost_usd", "total_tokens", "runs")),),
        reverse=True,
    )


def _day(started: float | None) -> str | None:
    """In the server's time zone."""
    try:
        return None if started is None else time.strftime("%Y-%m-%d", time.localtime(started))
    except (ValueError, OverflowError, OSError):  # of a damaged log
        return None


def telemetry(row: Row, agent_id: str, shares: Sequence[Row]) -> dict[str, Any]:
    """What the index knows of one agent of a run whose log is gone. shares: of the run, by agent and model."""
    main = agent_id == row["agent_id"]
    own = [share for share in shares if main or share["agent"] == agent_id]
    sums = {name: row[name] if main else _sum(own, name) for name in USAGE_COLUMNS}
    models: dict[str, Row] = {}
    for share in own:
        if share["model"]:
            model = models.setdefault(share["model"], dict.fromkeys(COUNTS))
            model.update({name: _sum([model, share], name) for name in COUNTS})
    usage = {
        **sums, "estimated": row["estimated"] if main else None,
        "calls_unknown": row["calls_unknown"] if main else None, "cost_per_hour": None, "model": None,
        "models": models,
    }  # fmt: skip
    return {
        "run_id": row["run_id"], "agent_id": agent_id, "team_id": row["team_id"] or "", "status": row["state"],
        "started_at": row["started"], "ended_at": row["ended"], "duration_s": row["duration_s"],
        "exit_code": row["exit_code"], "signal": row["signal"], "is_main": main, "argv": row["argv"],
        "cwd": row["cwd"], "host": row["host"], "labels": row["labels"] or {}, "parent_run_id": row["parent_run_id"],
        "process_metrics": None, "git_activities": [], "git_operations": (row["git"] or {}) if main else {},
        "token_usage": usage, "activity_logs": [], "alerts": [], "lost_events": row["lost_events"] if main else None,
        "samples": {"cpu_percent": [], "memory_mb": [], "interval_s": None}, "last_updated": row["ended"],
    }  # fmt: skip


def models_of(shares: Sequence[Row]) -> list[Row]:
    """What a run used of each model, the dearest first."""
    found: dict[str, Row] = {}
    for share in shares:
        if any(share[name] for name in USAGE_COLUMNS):
            model = found.setdefault(share["model"], {"model": share["model"] or None, **dict.fromkeys(USAGE_COLUMNS)})
            model.update({name: _sum([model, share], name) for name in USAGE_COLUMNS})
    return sorted(found.values(), key=lambda m: (-(m["cost_usd"] or 0.0), -(m["total_tokens"] or 0), m["model"] or ""))


def agents_of(shares: Sequence[Row], main: str | None) -> list[Row]:
    """What each agent of a run used, the run's own first."""
    found: dict[str, list[Row]] = {}
    for share in shares:
        found.setdefault(share["agent"], []).append(share)
    return [
        {"agent_id": agent, "is_main": agent == main, **{name: _sum(own, name) for name in _FIGURES},
         "models": [share["model"] for share in own if share["model"]]}
        for agent, own in sorted(found.items(), key=lambda item: (item[0] != main, item[0]))
    ]  # fmt: skip


def shares_of(run: "LiveRun") -> list[Row]:
    """The same as the index's shares, of a live run."""
    calls, sums = run.calls_by_share, run.shares
    keys = {*calls, *sums, *((agent, None) for agent in [*run.agents])}
    return [
        {"agent": agent, "model": model or "", "calls": calls.get((agent, model), 0),
         **{name: getattr(sums.get((agent, model)), name, None) for name in COUNTS}}
        for agent, model in sorted(keys, key=lambda key: (key[0], key[1] or ""))
    ]  # fmt: skip


def _sum(rows: Iterable[Row], name: str) -> Any:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None
