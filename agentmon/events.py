"""The event types: one frozen envelope around a closed union of payloads.

The field tables of the contract (version 1) are these classes: a field that may be absent from the wire is
named in its class's `optional`; any other field that is unknown is `null`, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from agentmon.frozen import quick

VERSION = 1

Stream = Literal["stdout", "stderr", "merged", "tty"]
Level = Literal["info", "warning", "error"]
Scope = Literal["call", "session"]
Source = Literal["output", "sdk", "otlp", "trace2"]
LogSource = Literal["orchestrator", "git", "llm", "system"]
State = Literal["started", "running", "stopped", "error"]

OPERATIONS = (
    "branch_create", "checkout", "commit", "merge", "branch_delete", "push", "pull", "fetch", "clone",
    "rebase", "cherry_pick", "revert", "reset", "stash", "tag",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The run's beginning and end. `error` is a non-zero exit, a death by signal, or a run that was lost.

    duration_s is seconds on the monotonic clock; cpu_time_s and max_rss_mb are what wait4(2) tells of the
    child and of all its waited-for descendants (MiB; null where the figure would be the wrapper's own).
    `sources` says per source (stdout, stderr, merged, tty, ...) how much was seen and dropped:
    {"bytes": int, "lines": int, "lost_bytes": int}. traceparent and tracestate are the W3C trace context that the run
    found in its environment.
    """

    event: ClassVar = "lifecycle"
    key: ClassVar = "lifecycle"
    optional: ClassVar = frozenset(
        {"argv", "cwd", "pid", "host", "version", "labels", "parent_run_id", "exit_code", "signal",
         "duration_s", "cpu_time_s", "max_rss_mb", "reason", "sources", "traceparent", "tracestate"}
    )  # fmt: skip

    state: State
    argv: tuple[str, ...] | None = None
    cwd: str | None = None
    pid: int | None = None
    host: str | None = None
    version: str | None = None
    labels: Mapping[str, str] | None = None
    parent_run_id: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    duration_s: float | None = None
    cpu_time_s: float | None = None
    max_rss_mb: float | None = None
    reason: str | None = None
    sources: Mapping[str, Mapping[str, int]] | None = None
    traceparent: str | None = None
    tracestate: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """Sums over the child's whole process tree.

    memory_mb is MiB, proportional (PSS) where the kernel tells it; cpu_percent is of one core since the last
    sample; cpu_time_s, read_bytes and write_bytes are totals since the start, of ended processes too.
    """

    optional: ClassVar = frozenset[str]()

    processes: int
    cpu_percent: float | None
    cpu_time_s: float | None
    memory_mb: float | None
    threads: int | None
    read_bytes: int | None
    write_bytes: int | None


@dataclass(frozen=True, slots=True)
class ProcessMetrics:
    """The root process as psutil 7 describes it (cpu_percent of one core, memory_mb = rss in MiB), and its tree.

    In the last sample of a run the process has ended: status is `dead`, memory_mb the peak (wait4(2)'s where that
    knows it, else the highest that was sampled).
    """

    event: ClassVar = "metrics_update"
    key: ClassVar = "process_metrics"
    optional: ClassVar = frozenset[str]()

    pid: int
    cpu_percent: float | None
    memory_mb: float | None
    threads: int | None
    status: str
    tree: Tree

    @property
    def peak_mb(self) -> float | None:
        """How much memory the tree has had at least, by this sample: at the end, as much as one of its processes."""
        return self.memory_mb if self.status == "dead" else self.tree.memory_mb


@quick
@dataclass(frozen=True, slots=True)
class GitActivity:
    """One act that succeeded in a git repository. Names are git's own; sha may be abbreviated."""

    event: ClassVar = "git_activity"
    key: ClassVar = "git_activity"
    optional: ClassVar = frozenset({"message", "files_changed", "insertions", "deletions", "sha", "repo"})

    operation: str
    branch: str | None = None
    message: str | None = None
    files_changed: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    sha: str | None = None
    repo: str | None = None
    source: Source = "output"


@quick
@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call, or of a session so far.

    input_tokens includes cached tokens (read and written), output_tokens includes reasoning tokens;
    total_tokens is their sum. scope `call`: add it. scope `session`: a running or final total of the session
    `session_id` of `tool`, replaced by the next. Repeats of one call_id count once. cost_usd is the tool's own
    figure (cost_source `tool`) or the price list's (`prices`). `models` splits a session's total by model.
    """

    event: ClassVar = "llm_call"
    key: ClassVar = "token_usage"
    optional: ClassVar = frozenset(
        {"call_id", "session_id", "tool", "estimated", "cost_source", "models", "pid", "duration_s",
         "time_to_first_token_s", "status"}
    )  # fmt: skip

    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    scope: Scope = "call"
    source: Source = "output"
    call_id: str | None = None
    session_id: str | None = None
    tool: str | None = None
    estimated: bool | None = None
    cost_source: Literal["tool", "prices"] | None = None
    models: Mapping[str, Mapping[str, Any]] | None = None
    pid: int | None = None
    duration_s: float | None = None
    time_to_first_token_s: float | None = None
    status: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class ActivityLog:
    """One line of the child's output (one traceback is one entry). timestamp is ISO 8601, UTC."""

    event: ClassVar = "log_entry"
    key: ClassVar = "activity_log"
    optional: ClassVar = frozenset({"truncated"})

    timestamp: str
    level: Level
    message: str
    source: LogSource
    stream: Stream
    truncated: bool | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A limit that was reached; `action` is what was done about it."""

    event: ClassVar = "alert"
    key: ClassVar = "alert"
    optional: ClassVar = frozenset[str]()

    rule: str
    severity: Literal["warning", "critical"]
    value: float | None
    limit: float | None
    action: str


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing. A sink's own gap has the first missing `seq` and stands for `lost_events` events."""

    event: ClassVar = "gap"
    key: ClassVar = "gap"
    optional: ClassVar = frozenset({"stream", "sink"})

    lost_bytes: int | None
    lost_events: int | None
    reason: str
    stream: str | None = None
    sink: str | None = None


Payload = Lifecycle | ProcessMetrics | GitActivity | TokenUsage | ActivityLog | Alert | Gap
PAYLOADS: Mapping[str, type[Payload]] = {
    cls.event: cls for cls in (Lifecycle, ProcessMetrics, GitActivity, TokenUsage, ActivityLog, Alert, Gap)
}


@quick
@dataclass(frozen=True, slots=True)
class Event:
    """The envelope. timestamp is Unix seconds (wall clock)."""

    run_id: str
    seq: int
    agent_id: str
    team_id: str
    payload: Payload
    timestamp: float


@quick
@dataclass(frozen=True, slots=True)
class Finding:
    """What a parser or an intake saw, before it has its place in the stream.

    agent: who acted, where that is known. time: when it happened (Unix seconds), if not when it was read.
    """

    payload: Payload
    agent: str | None = field(default=None)
    time: float | None = field(default=None)
