"""AgentTelemetry and the one fold: every view is `apply` over events, and then a rendering."""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from agentmon.events import ActivityLog, Alert, Event, Gap, GitActivity, Lifecycle, ProcessMetrics, TokenUsage
from agentmon.ndjson import payload_dict
from agentmon.usage import Ledger

GIT_KEPT = 10
LOGS_KEPT = 100
LOGS_SHOWN = 50


@dataclass(slots=True)
class AgentTelemetry:
    """What is known of one agent: the aggregate of the contract."""

    agent_id: str
    team_id: str
    git_activities: deque[GitActivity] = field(default_factory=lambda: deque(maxlen=GIT_KEPT))
    activity_logs: deque[ActivityLog] = field(default_factory=lambda: deque(maxlen=LOGS_KEPT))
    last_updated: float | None = None


@dataclass(slots=True)
class RunTelemetry:
    """All that the events of one run add up to.

    A stream of events is told from others by its seq, which only grows: last_seq is that of the stream that is read
    now, with the number `stream`; streams: how many have begun after the first. others: the same two figures of runs
    that stand in the same file, by run_id; all that they tell is added to this one.
    """

    run_id: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    start: Lifecycle | None = None
    started_at: float | None = None
    end: Lifecycle | None = None
    process_metrics: ProcessMetrics | None = None
    agents: dict[str, AgentTelemetry] = field(default_factory=dict)
    usage: Ledger = field(default_factory=Ledger)
    git_operations: dict[str, int] = field(default_factory=dict)
    git_exact: bool = False
    alerts: list[Alert] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    log_levels: dict[str, int] = field(default_factory=dict)
    last_updated: float | None = None
    peak_memory_mb: float | None = None
    last_seq: int = 0
    stream: int = 0
    streams: int = 0
    others: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def fate(self) -> str | None:
        """stopped, error, or lost: without a status its collector saw the wrapper die, and wrote that. None where
        nobody told of an end."""
        end = self.end
        if end is None:
            return None
        return end.state if end.exit_code is not None or end.signal is not None else "lost"


def several(state: RunTelemetry) -> str | None:
    """What is to be said where other runs stand in the same file."""
    if not state.others:
        return None
    return (
        f"holds {len(state.others) + 1:,} runs: figures, git and log are of all together, the beginning is the first "
        "one's, the end the last one's (`agentmon export --table runs` tells them apart)"
    )


def apply(state: RunTelemetry, event: Event) -> None:
    """Fold one event of a run into its state."""
    if state.run_id is None:
        state.run_id, state.agent_id, state.team_id = event.run_id, event.agent_id, event.team_id
    state.last_updated = event.timestamp
    stream = _count(state, event.run_id, event.seq)
    payload = event.payload
    if isinstance(payload, ProcessMetrics):
        state.process_metrics = payload
        if payload.peak_mb is not None:
            state.peak_memory_mb = max(state.peak_memory_mb or 0.0, payload.peak_mb)
        return
    agent = _agent(state, event.agent_id, event.team_id)
    agent.last_updated = event.timestamp
    match payload:
        case ActivityLog():
            agent.activity_logs.append(payload)
            state.log_levels[payload.level] = state.log_levels.get(payload.level, 0) + 1
        case GitActivity(source="output") if state.git_exact:
            pass
        case GitActivity():
            if payload.source == "trace2" and not state.git_exact:
                _trust_git(state)
            agent.git_activities.append(payload)
            state.git_operations[payload.operation] = state.git_operations.get(payload.operation, 0) + 1
        case TokenUsage():
            state.usage.add(event.agent_id, payload, stream, event.seq, event.timestamp)
        case Lifecycle(state="started"):
            state.start, state.started_at = payload, event.timestamp
        case Lifecycle(state="stopped" | "error"):
            state.end = payload
        case Alert():
            state.alerts.append(payload)
        case Gap():
            state.gaps.append(payload)


def _trust_git(state: RunTelemetry) -> None:
    """git itself speaks in this run (its first act from trace2 is seen): what was only printed counts no more, neither
    what came before this nor what comes after."""
    state.git_exact = True
    state.git_operations.clear()
    for agent in state.agents.values():
        agent.git_activities.clear()


def count_entry(state: RunTelemetry, run_id: str, agent_id: str, team_id: str, seq: int, level: str) -> None:
    """Fold one log entry without its text: for readers that keep the texts as bytes and decode the last of them."""
    _count(state, run_id, seq)
    _agent(state, agent_id, team_id)
    state.log_levels[level] = state.log_levels.get(level, 0) + 1


def _count(state: RunTelemetry, run_id: str, seq: int) -> int:
    """The number of the stream that an event belongs to."""
    if run_id != state.run_id:
        last, number = state.others.get(run_id, (seq, 0))
        if seq <= last:
            state.streams += 1
            number = state.streams
        state.others[run_id] = seq, number
        return number
    if seq <= state.last_seq:  # the events of another process were appended
        state.streams += 1
        state.stream = state.streams
    state.last_seq = seq
    return state.stream


def _agent(state: RunTelemetry, agent_id: str, team_id: str) -> AgentTelemetry:
    agent = state.agents.get(agent_id)
    if agent is None:
        agent = state.agents[agent_id] = AgentTelemetry(agent_id, team_id)
    return agent


def fold(events: Iterable[Event]) -> RunTelemetry:
    """The state after all of `events`."""
    state = RunTelemetry()
    for event in events:
        apply(state, event)
    return state


def telemetry_dict(state: RunTelemetry) -> dict[str, Any]:
    """One AgentTelemetry object for the whole run, with its agents by name."""
    usage = asdict(state.usage.totals())
    usage["models"] = {name: asdict(sums) for name, sums in state.usage.by_model().items()}
    usage["calls"] = state.usage.calls()
    usage["calls_unknown"] = state.usage.calls_unknown()
    per_agent = state.usage.by_agent()
    own = list(state.agents.values())
    return {
        "run_id": state.run_id,
        "agent_id": state.agent_id,
        "team_id": state.team_id,
        "process_metrics": payload_dict(state.process_metrics) if state.process_metrics else None,
        "git_activities": [payload_dict(g) for a in own for g in a.git_activities][-GIT_KEPT:],
        "git_operations": state.git_operations,
        "token_usage": usage,
        "activity_logs": [payload_dict(entry) for a in own for entry in a.activity_logs][-LOGS_SHOWN:],
        "agents": [a.agent_id for a in own],
        "usage_by_agent": {name: asdict(sums) for name, sums in per_agent.items()},
        "started_at": state.started_at,
        "lifecycle": payload_dict(state.end) if state.end else payload_dict(state.start) if state.start else None,
        "alerts": [payload_dict(a) for a in state.alerts],
        "gaps": [payload_dict(g) for g in state.gaps],
        "last_updated": state.last_updated,
    }


def figure(value: float) -> str:
    """A figure of an alert, as a person writes it: 1,500,020 tokens, 0.00065 dollars, 165.366 MiB."""
    if abs(value) >= 1000:
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:.{6 if abs(value) >= 0.001 else 9}f}".rstrip("0").rstrip(".")


def ended_by(end: Lifecycle) -> str | None:
    """Its signal or exit status; both where the status is no signal's (124 after --timeout, 123 of a budget)."""
    if end.exit_code is None or end.exit_code > 128:
        return end.signal or (None if end.exit_code is None else f"exit {end.exit_code}")
    return f"{end.signal}, exit {end.exit_code}" if end.signal else f"exit {end.exit_code}"


def one_line(state: RunTelemetry) -> str:
    """A run in one line: time, exit, tokens, cost, commits, peak memory, run id. What is not known is left out."""
    end, totals = state.end, state.usage.totals()
    parts = []
    if end is not None and end.duration_s is not None:
        parts.append(f"{end.duration_s:.1f} s")
    if end is not None and end.exit_code is not None:
        parts.append(ended_by(end) or "")
    if totals.input_tokens is not None or totals.output_tokens is not None:
        about = "~" if totals.estimated else ""
        parts.append(f"{about}{totals.input_tokens or 0:,} in / {totals.output_tokens or 0:,} out")
    if totals.cost_usd is not None:
        parts.append(f"${totals.cost_usd:.4f}")
    if commits := state.git_operations.get("commit"):
        parts.append(f"{commits} commit{'s' if commits > 1 else ''}")
    if state.peak_memory_mb:
        parts.append(f"{state.peak_memory_mb:.0f} MiB")
    return " · ".join([*parts, f"run {state.run_id}"])
