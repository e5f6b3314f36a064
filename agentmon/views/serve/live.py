"""Live: a run as the dashboard shows it: each of its agents as one AgentTelemetry, and what changed in it lately."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from agentmon.events import ActivityLog, Alert, Event, Gap, GitActivity, Lifecycle, ProcessMetrics
from agentmon.feeds.feed import Feed
from agentmon.ndjson import NotAnEvent, encode, payload_dict
from agentmon.snapshot import is_snapshot, restore
from agentmon.telemetry import GIT_KEPT, LOGS_SHOWN
from agentmon.usage import Ledger, Sums
from agentmon.views.board import SAMPLES_KEPT, RunWatch
from agentmon.views.serve.changes import Changes

Key = tuple[str, str, str]  # run_id, team_id, agent_id

_ALERTS_KEPT = 50
_LONG_S = 0.02
_SHARING_METRICS = 32  # agents of a run that are told its process metrics; they are many where this matters


class AgentState:
    """One agent of a run."""

    def __init__(self, run: "LiveRun", agent_id: str) -> None:
        self.run, self.agent_id = run, agent_id
        self.changes = Changes()
        self.seq = 0  # of the last frame about it; 0 before the first
        self.due_at = 0.0  # when the next frame may go out, on the hub's clock
        self.git: deque[tuple[float | None, GitActivity]] = deque(maxlen=GIT_KEPT)
        self.git_operations: Counter[str] = Counter()
        self.alerts: deque[tuple[float, Alert]] = deque(maxlen=_ALERTS_KEPT)
        self.lost_events = 0

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.run.run_id, self.run.team_id, self.agent_id

    @property
    def team_id(self) -> str:
        """The team of its run."""
        return self.run.team_id

    @property
    def is_main(self) -> bool:
        """Whether the run bears its name."""
        return self.run.is_main(self.agent_id)

    @property
    def is_whole(self) -> bool:
        """Whether its figures are those of the whole run: it bears the run's name, or is alone."""
        return self.run.is_whole(self.agent_id)

    def token_usage(self, now: float) -> dict[str, Any]:
        """Its own sums; those of the whole run where it stands for that. now: Unix seconds."""
        run = self.run
        sums = run.totals if self.is_whole else run.sums.get(self.agent_id, Sums())
        usage = asdict(sums)
        usage["estimated"] = bool(sums.estimated)
        usage["calls"] = run.calls if self.is_whole else run.calls_by_agent.get(self.agent_id, 0)
        usage["calls_unknown"] = run.calls_unknown if self.is_whole else 0
        usage["cost_per_hour"] = run.cost_per_hour(now) if self.is_whole else None
        usage["model"] = run.models.get(self.agent_id)
        models = run.by_model if self.is_whole else run.models_by_agent.get(self.agent_id, {})
        usage["models"] = {name: asdict(model) for name, model in models.items()}
        return usage

    def telemetry(self, now: float) -> dict[str, Any]:
        """The AgentTelemetry, null where something is unknown. now: Unix seconds."""
        run, state = self.run, self.run.state
        start, end = state.start, state.end
        agent = state.agents.get(self.agent_id)
        metrics = state.process_metrics
        alerts = run.alerts if self.is_whole else self.alerts
        return {
            "run_id": run.run_id,
            "agent_id": self.agent_id,
            "team_id": run.team_id,
            "status": run.status(now),
            "started_at": state.started_at,
            "ended_at": run.ended_at,
            "duration_s": run.lasted(now),
            "exit_code": end.exit_code if end else None,
            "signal": end.signal if end else None,
            "is_main": self.is_main,
            "argv": start.argv if start else None,
            "cwd": start.cwd if start else None,
            "host": start.host if start else None,
            "labels": (start.labels or {}) if start else {},
            "parent_run_id": start.parent_run_id if start else None,
            "process_metrics": payload_dict(metrics) if metrics else None,
            "git_activities": [{**payload_dict(act), "timestamp": at} for at, act in self.git],
            "git_operations": state.git_operations if self.is_whole else self.git_operations,
            "token_usage": self.token_usage(now),
            "activity_logs": [payload_dict(log) for log in [*agent.activity_logs][-LOGS_SHOWN:]] if agent else [],
            "alerts": [{**payload_dict(alert), "timestamp": at} for at, alert in alerts],
            "lost_events": run.lost_events if self.is_whole else self.lost_events,
            "samples": {
                "cpu_percent": [*run.samples.cpu],
                "memory_mb": [*run.samples.memory],
                "interval_s": run.interval_s,
            },
            "last_updated": state.last_updated if self.is_main else agent.last_updated if agent else None,
            "last_seq": state.last_seq,
        }


class LiveRun(RunWatch):
    """One run of one team, with what its agents' cards show beyond the fold."""

    def __init__(self, feed: Feed, say: Callable[[str], None], found_at: float = 0.0) -> None:
        super().__init__(feed, say, self._entry)
        self.found_at = found_at
        self._say = say
        self.agents: dict[str, AgentState] = {}
        self.alerts: deque[tuple[float, Alert]] = deque(maxlen=_ALERTS_KEPT)
        self.lost_events = 0
        self.ended_at: float | None = None  # Unix seconds
        self.calls = 0
        self.calls_by_agent: Counter[str] = Counter()
        self.models_by_agent: dict[str, dict[str, Sums]] = {}
        self.shares: dict[tuple[str, str | None], Sums] = {}  # by agent and model
        self.calls_by_share: dict[tuple[str, str | None], int] = {}
        self.is_live = False  # what was there at first is read: changes are told from now on
        self.told = ""  # the status that clients know
        self.version_told = -1
        self.status_at = 0.0  # when it is looked at again, on the hub's clock
        self.aside: Callable[[Callable[[], None]], object] | None = None  # lets a thread do what takes long
        self.is_summing = False  # there; nothing may be folded meanwhile
        self.sampled_at: deque[float] = deque(maxlen=SAMPLES_KEPT)
        self._git_exact = False

    @property
    def run_id(self) -> str:
        return self._folded.run_id or ""

    @property
    def team_id(self) -> str:
        return self._folded.team_id or ""

    @property
    def interval_s(self) -> float | None:
        """Seconds between two samples, as far as they tell."""
        times = self.sampled_at
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None

    def touch(self) -> None:
        """Let every agent have a frame, whether there are events or not."""
        for agent in self.agents.values():
            agent.changes.touched = True

    def _take(self, lines: list[bytes]) -> None:
        """Fold lines; one that is a snapshot takes the place of all before it."""
        start = 0
        for place, line in enumerate(lines):
            if is_snapshot(line):
                super()._take(lines[start:place])
                self._restore(line)
                start = place + 1
        super()._take(lines[start:])

    def _restore(self, line: bytes) -> None:
        state = self.state
        try:
            restore(state, line)
        except NotAnEvent as error:
            self._say(f"{self.name}: {error}")
            return
        self._sums_due = True
        self._git_exact = state.git_exact
        self.ended_at = state.last_updated if state.end is not None else None
        self.alerts = deque(((state.last_updated or 0.0, alert) for alert in state.alerts), maxlen=_ALERTS_KEPT)
        self.lost_events = sum(gap.lost_events or 0 for gap in state.gaps)
        for agent_id, told in state.agents.items():
            agent = self._agent(agent_id)
            agent.git = deque(((None, act) for act in told.git_activities), maxlen=GIT_KEPT)
            agent.changes.whole = True

    def _see(self, event: Event) -> None:
        super()._see(event)
        if event.team_id != self.team_id or event.run_id != self.run_id:
            return  # a line that tells two: nothing of one team may go to another
        payload, at = event.payload, event.timestamp
        if isinstance(payload, ActivityLog):
            return  # comes as a line
        if isinstance(payload, ProcessMetrics):
            self.sampled_at.append(at)
            if self.is_live:
                line = encode(event).rstrip()
                for agent in [*self.agents.values()][:_SHARING_METRICS]:
                    agent.changes.sample(line)
            return
        agent = self._agent(event.agent_id)
        match payload:
            case GitActivity(source="output") if self._folded.git_exact:
                return
            case GitActivity():
                if payload.source == "trace2" and not self._git_exact:
                    self._trust_git()
                agent.git.append((at, payload))
                agent.git_operations[payload.operation] += 1
            case Alert():
                agent.alerts.append((at, payload))
                self.alerts.append((at, payload))
            case Gap():
                agent.lost_events += payload.lost_events or 0
                self.lost_events += payload.lost_events or 0
            case Lifecycle(state="stopped" | "error"):
                self.ended_at = at
        if self.is_live:
            agent.changes.keep(encode(event).rstrip())

    def _trust_git(self) -> None:
        """git itself speaks now: what was only printed counts no more, and whoever was told of it is told anew."""
        self._git_exact = True
        for agent in self.agents.values():
            if agent.git:
                agent.git.clear()
                agent.git_operations.clear()
                agent.changes.whole = True

    def _entry(self, agent_id: str, line: bytes) -> None:
        agent = self._agent(agent_id)
        if self.is_live:
            agent.changes.say(line)

    def _agent(self, agent_id: str) -> AgentState:
        agent = self.agents.get(agent_id)
        if agent is None:
            agent = self.agents[agent_id] = AgentState(self, agent_id)
        return agent

    def _sum_up(self) -> None:
        if self.aside is None or self._sums_cost < _LONG_S:
            super()._sum_up()
        elif self._sums_due and time.monotonic() >= self._sums_after:
            self.is_summing = True
            self.aside(self._sum_aside)

    def _sum_aside(self) -> None:
        try:
            super()._sum_up()
        finally:
            self.is_summing = False

    def _take_sums(self, usage: Ledger) -> None:
        before, whole_before = self.sums, self.totals
        super()._take_sums(usage)
        self.calls = usage.calls()
        self.shares, self.calls_by_share = usage.by_agent_and_model(), usage.calls_by_agent_and_model()
        if len(self.agents) > 1:
            self.calls_by_agent = Counter()
            for (agent, _), calls in self.calls_by_share.items():
                self.calls_by_agent[agent] += calls
            self.models_by_agent = {}
            for (agent, model), sums in self.shares.items():
                if model:
                    self.models_by_agent.setdefault(agent, {})[model] = sums
        for name, state in self.agents.items():
            if self.sums.get(name) != before.get(name) or (state.is_whole and self.totals != whole_before):
                state.changes.touched = True
