"""Tables: run logs as rows with stable columns, for spreadsheets and databases."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from agentmon.events import ActivityLog, Event, GitActivity, Payload, ProcessMetrics, TokenUsage
from agentmon.sessions import COUNTS
from agentmon.telemetry import RunTelemetry

_WHO = ("run_id", "team_id", "agent_id", "seq", "timestamp")
_ROOT = ("pid", "status", "cpu_percent", "memory_mb", "threads")
_TREE = ("processes", "cpu_percent", "cpu_time_s", "memory_mb", "threads", "read_bytes", "write_bytes")
_GIT = ("operation", "branch", "message", "files_changed", "insertions", "deletions", "sha", "repo", "source")
_LLM = (
    "model", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "scope", "source", "call_id", "session_id", "tool", "estimated", "cost_source", "pid",
    "duration_s", "time_to_first_token_s", "status",
)  # fmt: skip
_LOG = ("level", "source", "stream", "message", "truncated")
_END = ("exit_code", "signal", "reason", "duration_s", "cpu_time_s", "max_rss_mb")
_START = ("argv", "cwd", "host", "version", "labels", "parent_run_id")
_SUMS = (*COUNTS, "estimated")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class EventTable:
    """One row for each event of one kind."""

    columns: tuple[str, ...]
    payload: type[Payload]
    fields: Callable[[Any], Row]

    def row(self, event: Event) -> Row:
        """The row of an event of this table's kind."""
        return (event.run_id, event.team_id, event.agent_id, event.seq, event.timestamp, *self.fields(event.payload))


_root_fields = attrgetter(*_ROOT)
_tree_fields = attrgetter(*_TREE)


def _metrics(payload: ProcessMetrics) -> Row:
    return (*_root_fields(payload), *_tree_fields(payload.tree))


EVENT_TABLES: Mapping[str, EventTable] = {
    "metrics": EventTable((*_WHO, *_ROOT, *(f"tree_{name}" for name in _TREE)), ProcessMetrics, _metrics),
    "git": EventTable((*_WHO, *_GIT), GitActivity, attrgetter(*_GIT)),
    "llm": EventTable((*_WHO, *_LLM), TokenUsage, attrgetter(*_LLM)),
    "logs": EventTable((*_WHO, *_LOG), ActivityLog, attrgetter(*_LOG)),
}
RUNS = (
    "run_id", "team_id", "agent_id", "started_at", "last_updated", "state", *_END, *_START, "peak_memory_mb", *_SUMS,
    "calls", "calls_unknown", "commits", "errors", "warnings", "lost_bytes", "lost_events",
)  # fmt: skip
COLUMNS: Mapping[str, tuple[str, ...]] = {**{name: table.columns for name, table in EVENT_TABLES.items()}, "runs": RUNS}


def run_row(state: RunTelemetry, alive: bool) -> Row | None:
    """The row of a run, None where it has no event. alive: somebody still writes its log."""
    if state.run_id is None:
        return None
    sums = state.usage.totals()
    ended = state.fate or ("running" if alive else "lost")
    return (
        state.run_id, state.team_id, state.agent_id, state.started_at, state.last_updated, ended,
        *(getattr(state.end, name, None) for name in _END), *(getattr(state.start, name, None) for name in _START),
        state.peak_memory_mb, *(getattr(sums, name) for name in _SUMS), state.usage.calls(),
        state.usage.calls_unknown(), state.git_operations.get("commit", 0), state.log_levels.get("error", 0),
        state.log_levels.get("warning", 0), sum(gap.lost_bytes or 0 for gap in state.gaps),
        sum(gap.lost_events or 0 for gap in state.gaps),
    )  # fmt: skip
