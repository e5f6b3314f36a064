"""Log records: what was said, and every other event of a run that is no sample, with all of its fields.

`log.record.uid` is the same whenever an event is sent again. Token figures have names of our own here: nobody who sums
up `gen_ai.usage.*` counts them twice.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from agentmon.events import ActivityLog, Alert, Event, Gap, GitActivity, Lifecycle, Payload
from agentmon.fleet.otel_numbers import nanoseconds
from agentmon.fleet.otel_resource import SCOPE
from agentmon.ndjson import payload_dict

_SEVERITY = {"info": SeverityNumber.INFO, "warning": SeverityNumber.WARN, "error": SeverityNumber.ERROR}
_TEXT = {SeverityNumber.INFO: "INFO", SeverityNumber.WARN: "WARN", SeverityNumber.ERROR: "ERROR"}
_FIELDS_OF_ENTRIES = frozenset({"timestamp", "level", "message"})


def log_record(event: Event, resource: Resource, context: Any) -> ReadableLogRecord:
    """The record of one event. context: that of the acting agent's span."""
    payload = event.payload
    severity = _severity(payload)
    attributes: dict[str, Any] = {
        "log.record.uid": f"{event.run_id}-{event.seq}",
        "agentmon.seq": _value(event.seq),
        "gen_ai.agent.name": event.agent_id,
    }
    entry = isinstance(payload, ActivityLog)
    for name, value in payload_dict(payload).items():
        if value is not None and not (entry and name in _FIELDS_OF_ENTRIES):
            attributes[f"agentmon.{payload.key}.{name}"] = _value(value)
    if isinstance(payload, ActivityLog):
        if payload.stream in ("stdout", "stderr"):
            attributes["log.iostream"] = payload.stream
    elif isinstance(payload, GitActivity):
        if payload.branch is not None:
            attributes["vcs.ref.head.name"] = payload.branch
        if payload.sha is not None:
            attributes["vcs.ref.head.revision"] = payload.sha
    at = nanoseconds(event.timestamp)
    record = LogRecord(
        timestamp=at, observed_timestamp=at, context=context, severity_text=_TEXT[severity], severity_number=severity,
        body=_body(payload), attributes=attributes, event_name=None if entry else f"agentmon.{payload.event}",
    )  # fmt: skip
    return ReadableLogRecord(record, resource, SCOPE)


def _severity(payload: Payload) -> SeverityNumber:
    match payload:
        case ActivityLog():
            return _SEVERITY.get(payload.level, SeverityNumber.INFO)
        case Lifecycle(state="error") | Alert(severity="critical"):
            return SeverityNumber.ERROR
        case Alert() | Gap():
            return SeverityNumber.WARN
    return SeverityNumber.INFO


def _body(payload: Payload) -> str:
    """What a person reads."""
    match payload:
        case ActivityLog():
            return payload.message
        case Lifecycle():
            return " ".join(filter(None, (payload.state, payload.signal, payload.reason)))
        case GitActivity():
            return " ".join(filter(None, (payload.operation, payload.branch, payload.message)))
        case Alert():
            return f"{payload.rule}: {payload.action}"
        case Gap():
            return payload.reason
    return " ".join(filter(None, (payload.event, getattr(payload, "model", None))))


def _value(value: Any) -> Any:
    """As OTLP can hold it: integers have 64 bits."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value
