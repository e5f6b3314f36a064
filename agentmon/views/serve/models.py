"""Models: what REST answers, for its OpenAPI description. Times are Unix seconds; what is not known is null."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["running", "stopped", "error", "stalled", "lost"]
State = Literal["running", "stopped", "error", "lost"]

_RUN = "20261122T100000000Z-0123abcd"
_SUMS = {
    "calls": 12, "input_tokens": 48_120, "output_tokens": 3_960, "total_tokens": 52_080, "cache_read_tokens": 31_000,
    "cache_write_tokens": None, "reasoning_tokens": None, "cost_usd": 0.2038,
}  # fmt: skip
_GIT = {"timestamp": 1795341612.4, "operation": "commit", "branch": "main", "sha": "4b825dc", "message": "Add it"}
_ALERT = {
    "timestamp": 1795341700.0, "rule": "cost", "severity": "warning", "value": 5.1, "limit": 5.0, "action": "told",
}  # fmt: skip


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Sums(BaseModel):
    """Tokens and US dollars. input_tokens includes cached tokens, output_tokens reasoning tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


class TokenUsage(Sums):
    """What an agent used. estimated: some figure is not exact; calls_unknown: calls whose usage nobody told."""

    estimated: bool | None = None
    calls: int | None = None
    calls_unknown: int | None = None
    cost_per_hour: float | None = None
    model: str | None = None
    models: dict[str, Sums] = {}


class Tree(BaseModel):
    """Sums over the process tree: percent of one core, MiB, bytes since the start."""

    processes: int | None = None
    cpu_percent: float | None = None
    cpu_time_s: float | None = None
    memory_mb: float | None = None
    threads: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


class ProcessMetrics(BaseModel):
    """The run's root process, and the tree below it."""

    pid: int
    cpu_percent: float | None
    memory_mb: float | None
    threads: int | None
    status: str
    tree: Tree


class GitActivity(BaseModel):
    """One act in a git repository."""

    model_config = _example(**_GIT)

    timestamp: float | None = None
    operation: str
    branch: str | None = None
    message: str | None = None
    sha: str | None = None
    files_changed: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    repo: str | None = None


class ActivityLog(BaseModel):
    """One line of output. timestamp: ISO 8601, UTC."""

    timestamp: str
    level: Literal["info", "warning", "error"]
    message: str
    source: str
    stream: str


class Alert(BaseModel):
    """A limit that was reached; action: what was done about it."""

    model_config = _example(**_ALERT)

    timestamp: float | None = None
    rule: str
    severity: str
    value: float | None
    limit: float | None
    action: str


class AgentSummary(BaseModel):
    """One agent of one run."""

    run_id: str
    agent_id: str
    team_id: str
    status: Status
    started_at: float | None = None
    ended_at: float | None = None
    duration_s: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    is_main: bool
    argv: list[str] | None = None
    cwd: str | None = None
    host: str | None = None
    labels: dict[str, str] = {}
    parent_run_id: str | None = None
    process_metrics: ProcessMetrics | None = None
    git_activities: list[GitActivity] = Field(description="The last 10, oldest first.")
    git_operations: dict[str, int] = {}
    token_usage: TokenUsage
    alerts: list[Alert] = []
    lost_events: int | None = None
    last_updated: float | None = None


class Samples(BaseModel):
    """The last 240 samples, newest last."""

    cpu_percent: list[float | None]
    memory_mb: list[float | None]
    interval_s: float | None


_AGENT = {
    "run_id": _RUN, "agent_id": "crew.py", "team_id": "web", "status": "running", "started_at": 1795341600.0,
    "ended_at": None, "duration_s": 12.3, "exit_code": None, "signal": None, "is_main": True,
    "argv": ["python", "crew.py"], "cwd": "/home/ada/crew", "host": "laptop", "labels": {}, "parent_run_id": None,
    "process_metrics": {
        "pid": 4711, "cpu_percent": 12.0, "memory_mb": 182.5, "threads": 9, "status": "running",
        "tree": {"processes": 3, "cpu_percent": 34.0, "cpu_time_s": 4.1, "memory_mb": 312.0, "threads": 14,
                 "read_bytes": 120_000, "write_bytes": 4_096},
    },
    "git_activities": [_GIT], "git_operations": {"commit": 1},
    "token_usage": {**_SUMS, "estimated": False, "calls_unknown": 0, "cost_per_hour": None,
                    "model": "claude-sonnet-4-5", "models": {}},
    "alerts": [], "lost_events": 0, "last_updated": 1795341612.4,
}  # fmt: skip


class AgentTelemetry(AgentSummary):
    """One agent of one run, with its last log entries (at most 50, oldest first)."""

    model_config = _example(
        **_AGENT,
        activity_logs=[
            {"timestamp": "2026-11-22T10:00:12.400000Z", "level": "info", "message": "Planning…",
             "source": "orchestrator", "stream": "stdout"}
        ],
        samples={"cpu_percent": [30.0, 34.0], "memory_mb": [310.0, 312.0], "interval_s": 2.0},
    )  # fmt: skip

    activity_logs: list[ActivityLog]
    samples: Samples | None = None


class Agents(BaseModel):
    """Agents of runs that go on, or ended lately."""

    model_config = _example(agents=[_AGENT])

    agents: list[AgentSummary]


class Team(BaseModel):
    """One team, over all its runs. running: how many of them go on."""

    team_id: str
    agents: int
    runs: int
    running: int
    calls: int | None
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None
    last_updated: float | None


class Indexing(BaseModel):
    """Run logs are still being read: what is not in the answer yet. done of total logs are."""

    done: int
    total: int


class Answer(BaseModel):
    """What is known so far."""

    indexing: Indexing | None = None


class Teams(Answer):
    """All teams, those heard of last first."""

    model_config = _example(
        teams=[
            {"team_id": "web", "agents": 3, "runs": 17, "running": 1, "calls": 12, "input_tokens": 48_120,
             "output_tokens": 3_960, "total_tokens": 52_080, "cost_usd": 0.2038, "last_updated": 1795341612.4}
        ],
        indexing=None,
    )  # fmt: skip

    teams: list[Team]


class RunFigures(Sums):
    """What a run added up to. git: acts by operation."""

    run_id: str
    state: State
    agent_id: str | None
    team_id: str | None
    labels: dict[str, str] | None = None
    argv: list[str] | None = None
    cwd: str | None = None
    host: str | None = None
    parent_run_id: str | None = None
    started: float | None
    ended: float | None
    duration_s: float | None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    calls: int | None = None
    calls_unknown: int | None = None
    estimated: bool | None = None
    git: dict[str, int] | None = None
    commits: int | None = None
    cpu_time_s: float | None = None
    peak_memory_mb: float | None = None
    warnings: int | None = None
    errors: int | None = None
    lost_events: int | None = None
    lost_bytes: int | None = None


class RunSummary(RunFigures):
    """One run. alerts: how many."""

    alerts: int | None = None


_SUMMARY = {
    "run_id": _RUN, "state": "stopped", "agent_id": "crew.py", "team_id": "web", "labels": {"ticket": "42"},
    "argv": ["python", "crew.py"], "cwd": "/home/ada/crew", "host": "laptop", "parent_run_id": None,
    "started": 1795341600.0, "ended": 1795341700.0, "duration_s": 100.0, "exit_code": 0, "signal": None,
    "reason": None, **_SUMS, "calls_unknown": 0, "estimated": None, "git": {"commit": 1}, "commits": 1,
    "cpu_time_s": 31.0, "peak_memory_mb": 412.0, "warnings": 2, "errors": 0, "alerts": 1, "lost_events": 0,
    "lost_bytes": 0,
}  # fmt: skip


class Runs(Answer):
    """Runs, newest first. next: the cursor of the next page, null on the last one."""

    model_config = _example(runs=[_SUMMARY], next=None, indexing=None)

    runs: list[RunSummary]
    next: str | None


class AgentUsage(BaseModel):
    """What one agent of a run used."""

    agent_id: str
    is_main: bool
    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    models: list[str] = []


class ModelUsage(Sums):
    """What a run used of one model; null for usage of no known model."""

    model: str | None
    calls: int | None = None


class RunAlert(Alert):
    """An alert with its agent."""

    model_config = _example(**_ALERT, agent_id="crew.py")

    agent_id: str


class Gap(BaseModel):
    """What is missing of a run's events."""

    timestamp: float | None = None
    lost_bytes: int | None
    lost_events: int | None
    reason: str
    stream: str | None = None
    sink: str | None = None


class Run(RunFigures):
    """One run in full. log: whether its log is here; without, alerts and gaps are not known one by one."""

    model_config = _example(
        **_SUMMARY | {"alerts": [{**_ALERT, "agent_id": "crew.py"}]},
        log=True,
        models=[{"model": "claude-sonnet-4-5", **_SUMS}],
        agents=[
            {"agent_id": "crew.py", "is_main": True, "calls": 12, "input_tokens": 48_120, "output_tokens": 3_960,
             "total_tokens": 52_080, "cost_usd": 0.2038, "models": ["claude-sonnet-4-5"]}
        ],
        gaps=[],
    )  # fmt: skip

    log: bool
    models: list[ModelUsage]
    agents: list[AgentUsage]
    alerts: list[RunAlert] | None
    gaps: list[Gap] | None


class Event(BaseModel):
    """An event as it was recorded. data: by the name of its kind."""

    run_id: str
    seq: int
    agent_id: str
    team_id: str
    event: str
    data: dict[str, Any]
    timestamp: float


class Scanned(BaseModel):
    """Which bytes of the log were looked at for a page, of how many."""

    since: int
    until: int
    size: int


class Events(BaseModel):
    """A page of events. next, previous: cursors of the pages after and before this one in the order asked for, null
    where there is nothing; in ascending order `next` is for `after`, in descending order for `before`, and `previous`
    for the other. resume: where to ask `after` later for what came since. complete: false where the search took too
    long for one page; `next` goes on from where it came to."""

    model_config = _example(
        events=[
            {"v": 1, "type": "agent_telemetry", "run_id": _RUN, "seq": 3, "agent_id": "crew.py", "team_id": "web",
             "event": "log_entry",
             "data": {"activity_log": {"timestamp": "2026-11-22T10:00:12.400000Z", "level": "info",
                                       "message": "Planning…", "source": "orchestrator", "stream": "stdout"}},
             "timestamp": 1795341612.4}
        ],
        next="812", previous=None, resume="812", complete=True, scanned={"since": 0, "until": 812, "size": 52_000},
    )  # fmt: skip

    events: list[Event]
    next: str | None
    previous: str | None
    resume: str
    complete: bool
    scanned: Scanned


class Mark(BaseModel):
    """A git act on the axis of time."""

    timestamp: float
    agent_id: str
    operation: str
    branch: str | None
    sha: str | None
    message: str | None


class Series(BaseModel):
    """Figures over time, a list each, of equal length. cpu: percent of one core; memory: MiB; *_percent and *_mb are
    means between *_min and *_max; tokens and cost are sums since the start of the run. source: `log`, or `index` (a
    point a minute, of a run whose log is gone, or is being read: `reading` of it from 0 to 1), or `live` (the last
    samples of a run that has no log here)."""

    model_config = _example(
        timestamp=[1795341602.0, 1795341604.0], cpu_percent=[30.0, 34.0], cpu_min=[30.0, 34.0], cpu_max=[30.0, 34.0],
        memory_mb=[310.0, 312.0], memory_min=[310.0, 312.0], memory_max=[310.0, 312.0], processes=[3, 3],
        threads=[14, 14], input_tokens=[None, 48_120], output_tokens=[None, 3_960], cost_usd=[None, 0.2038],
        git=[{**_GIT, "agent_id": "crew.py"}], since=1795341600.0, until=1795341700.0, source="log", reading=None,
    )  # fmt: skip

    timestamp: list[float]
    cpu_percent: list[float | None]
    cpu_min: list[float | None]
    cpu_max: list[float | None]
    memory_mb: list[float | None]
    memory_min: list[float | None]
    memory_max: list[float | None]
    processes: list[int | None]
    threads: list[int | None]
    input_tokens: list[int | None]
    output_tokens: list[int | None]
    cost_usd: list[float | None]
    git: list[Mark]
    since: float | None
    until: float | None
    source: Literal["log", "index", "live"]
    reading: float | None = None


class HistoryRow(Sums):
    """Sums over runs. cost_unknown: in how many of them tokens were used whose cost nobody knows."""

    day: str | None = None
    team: str | None = None
    model: str | None = None
    agent: str | None = None
    runs: int
    failed: int
    running: int
    calls: int | None
    duration_s: float | None = None
    commits: int | None = None
    cost_unknown: int


class History(Answer):
    """Sums: days newest first, all else by cost and tokens."""

    model_config = _example(
        by="day",
        rows=[
            {"day": "2026-11-22", "runs": 17, "failed": 1, "running": 1, "duration_s": 1800.0, "commits": 9, **_SUMS,
             "cost_unknown": 0}
        ],
        indexing=None,
    )  # fmt: skip

    by: Literal["day", "team", "model", "agent"]
    rows: list[HistoryRow]


class TeamAlert(RunAlert):
    """An alert with its run."""

    model_config = _example(**_ALERT, agent_id="crew.py", run_id=_RUN, team_id="web")

    run_id: str
    team_id: str | None


class Alerts(Answer):
    """Alerts, newest first. complete: false where the logs were too many to look through at once."""

    model_config = _example(
        alerts=[{**_ALERT, "run_id": _RUN, "agent_id": "crew.py", "team_id": "web"}], complete=True, indexing=None
    )

    alerts: list[TeamAlert]
    complete: bool


class Health(BaseModel):
    """The server is there."""

    model_config = _example(status="ok", version="0.1.0", runs_live=1)

    status: Literal["ok"]
    version: str
    runs_live: int


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = _example(
        type="about:blank", title="Not Found", status=404, detail="there is no run 'x'", instance="/api/v1/runs/x"
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, Any]] | None = Field(None, description="Of a 422: which parameters, and what is wrong.")
