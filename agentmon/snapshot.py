"""Snapshot: what a late reader of a socket gets first, taken up again as the state of a run."""

from collections.abc import Iterator
from typing import Any

import orjson

from agentmon import checked, ndjson
from agentmon.events import PAYLOADS, Event
from agentmon.sessions import COUNTS
from agentmon.telemetry import AgentTelemetry, RunTelemetry, apply
from agentmon.usage import Before, Ledger, Sums

_LISTS = (("git_activities", "git_activity"), ("activity_logs", "log_entry"), ("alerts", "alert"), ("gaps", "gap"))


def is_snapshot(line: bytes) -> bool:
    """Whether a line of the stream is one, as we write it."""
    return line.find(b'"event":"snapshot","data":{"agent_telemetry":', 0, 2048) > 0


def restore(state: RunTelemetry, line: bytes) -> None:
    """Make `state` what the snapshot tells. Its log entries and git acts are the run's own agent's: more it does not
    tell. Raises NotAnEvent, and then nothing is changed."""
    try:
        raw = orjson.loads(line)
        told = raw["data"]["agent_telemetry"]
        names = [raw["agent_id"], *(name for name in told.get("agents", ()) if isinstance(name, str))]
        fresh = RunTelemetry(raw["run_id"], raw["agent_id"], raw["team_id"])
        fresh.agents = {name: AgentTelemetry(name, raw["team_id"]) for name in names}
        for event in _events(raw, told):
            apply(fresh, event)
        fresh.usage = Ledger(before=_usage(told))
        fresh.git_operations = _counts(told.get("git_operations"))
        fresh.started_at = _number(told.get("started_at"))
        fresh.last_updated = _number(told.get("last_updated")) or raw["timestamp"]
        fresh.last_seq, fresh.stream, fresh.streams = raw["seq"], 0, 0
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ndjson.NotAnEvent(f"no snapshot: {error}") from None
    for name in RunTelemetry.__slots__:
        setattr(state, name, getattr(fresh, name))


def _events(raw: dict[str, Any], told: dict[str, Any]) -> Iterator[Event]:
    kinds = [("lifecycle", told.get("lifecycle")), ("metrics_update", told.get("process_metrics"))]
    kinds += [(kind, item) for name, kind in _LISTS for item in told.get(name) or ()]
    envelope = {name: raw[name] for name in ("run_id", "seq", "agent_id", "team_id", "timestamp")}
    for kind, data in kinds:
        if data is not None:
            yield checked.decode(orjson.dumps(envelope | {"event": kind, "data": {PAYLOADS[kind].key: data}}))


def _usage(told: dict[str, Any]) -> Before:
    usage = told["token_usage"]
    return Before(
        _sums(usage),
        {name: _sums(sums) for name, sums in (told.get("usage_by_agent") or {}).items()},
        {name: _sums(sums) for name, sums in (usage.get("models") or {}).items()},
        int(usage.get("calls") or 0),
        int(usage.get("calls_unknown") or 0),
    )


def _sums(told: dict[str, Any]) -> Sums:
    values = {name: _number(told.get(name)) for name in COUNTS}
    return Sums(**values, estimated=True if told.get("estimated") else None)


def _number(value: Any) -> Any:
    if value is None or type(value) in (int, float):
        return value
    raise TypeError("not a number")


def _counts(told: Any) -> dict[str, int]:
    return {name: count for name, count in (told or {}).items() if type(name) is str and type(count) is int}
