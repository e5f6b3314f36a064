"""Latest: what an agent said and did last, from the end of a log that was not read whole."""

import os
from typing import Any

from agentmon.events import Event, GitActivity
from agentmon.ndjson import decode, payload_dict
from agentmon.telemetry import GIT_KEPT, LOGS_SHOWN
from agentmon.views.serve.events_page import Pager
from agentmon.views.serve.wanted import Wanted

_BUDGET_S = 0.2  # for each


def latest(path: str, agent_id: str) -> dict[str, Any]:
    """The part of an agent's telemetry that is found within a moment. Raises OSError."""
    own = frozenset({agent_id})
    git = _last(path, Wanted(events=frozenset({"git_activity"}), agents=own), GIT_KEPT)
    if any(_is_exact(event) for event in git):  # as in the fold: then prints do not count
        git = [event for event in git if _is_exact(event)]
    logs = _last(path, Wanted(events=frozenset({"log_entry"}), agents=own), LOGS_SHOWN)
    metrics = _last(path, Wanted(events=frozenset({"metrics_update"})), 1)
    return {
        "git_activities": [{**payload_dict(event.payload), "timestamp": event.timestamp} for event in git],
        "activity_logs": [payload_dict(event.payload) for event in logs],
        "process_metrics": payload_dict(metrics[0].payload) if metrics else None,
    }


def _is_exact(event: Event) -> bool:
    return isinstance(event.payload, GitActivity) and event.payload.source == "trace2"


def _last(path: str, wanted: Wanted, count: int) -> list[Event]:
    """The last events of a kind, oldest first."""
    pager = Pager(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), wanted)
    try:
        return [decode(line) for line in pager.backwards(None, None, count, _BUDGET_S).lines]
    finally:
        pager.close()
