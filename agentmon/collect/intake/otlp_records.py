"""OTLP bodies to flat records: log records, spans and data points, each with its resource. Nothing here knows tokens.

JSON as the protocol has it (64-bit integers as strings, or as numbers where a sender does not care); protobuf through
the package opentelemetry-proto. What is malformed is left out; hostile bodies never raise more than ValueError.
"""

import importlib
import importlib.util
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Scalar = str | int | float | bool
MAX_INFLATED = 32 << 20  # bytes
_MAX_ITEMS = 2_000_000  # braces and brackets: 32 MiB of `{}` would become a gigabyte of objects
# What is the same in all signals of one exporter; Codex 0.169 has other attributes on its metrics than on its logs.
_IDENTITY = ("service.name", "service.namespace", "service.instance.id", "process.pid")


@dataclass(frozen=True, slots=True)
class Resource:
    """Who sent it. key: the same for all that one exporter sends, another for another one."""

    attributes: Mapping[str, Scalar]
    key: str

    def text(self, name: str) -> str | None:
        """An attribute that is a string."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log event. time: Unix seconds; span_id may be empty."""

    resource: Resource
    scope: str
    name: str
    attributes: Mapping[str, Scalar]
    time: float | None
    stamp: str
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """One span. start, end: Unix seconds; failed: its status is ERROR."""

    resource: Resource
    scope: str
    name: str
    attributes: Mapping[str, Scalar]
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One data point of a sum or a histogram (then value is the sum of what was observed). start, at: as sent, ns."""

    resource: Resource
    scope: str
    name: str
    attributes: Mapping[str, Scalar]
    value: float
    start: int
    at: int
    delta: bool


Record = LogRecord | Span | Point


def protobuf_here() -> bool:
    """Whether protobuf bodies can be read."""
    try:
        wanted = ("google.protobuf.json_format", "opentelemetry.proto.collector.logs.v1.logs_service_pb2")
        return all(importlib.util.find_spec(name) is not None for name in wanted)
    except ImportError:  # a package above it is not there
        return False


def inflate(body: bytes) -> bytes:
    """A gzip body as it was. Raises ValueError for anything else, and past the limit."""
    machine = zlib.decompressobj(wbits=31)
    try:
        data = machine.decompress(body, MAX_INFLATED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError("cut short, or larger than the limit")
    return data


def parse_json(body: bytes) -> Any:
    """A JSON body. Raises ValueError."""
    if len(body) > _MAX_ITEMS and body.count(b"{") + body.count(b"[") > _MAX_ITEMS:
        raise ValueError("too many items")
    return orjson.loads(body)


def parse_protobuf(signal: str, body: bytes) -> Any:
    """A protobuf body in the shape of JSON (ids in base64). Raises ValueError."""
    format_ = importlib.import_module("google.protobuf.json_format")
    errors = importlib.import_module("google.protobuf.message")
    module, name = {
        "logs": ("logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
        "metrics": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
        "traces": ("trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    }[signal]
    kind = getattr(importlib.import_module(f"opentelemetry.proto.collector.{module}"), name)
    try:
        return format_.MessageToDict(kind.FromString(body), use_integers_for_enums=True)
    except (errors.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def records(document: Any) -> Iterator[Record]:
    """All records of a body, spans in the order in which they ended."""
    yield from _logs(document)
    yield from sorted(_spans(document), key=lambda span: span.end)
    yield from _points(document)


# ---------------------------------------------------------------------- walking


def _logs(document: Any) -> Iterator[LogRecord]:
    for resource, scope, record in _items(document, "resourceLogs", "scopeLogs", "logRecords"):
        found = attributes(record.get("attributes"))
        body = _any(record.get("body"))
        name = found.get("event.name") or record.get("eventName") or (body if isinstance(body, str) else "")
        stamp = _int(record.get("timeUnixNano")) or _int(record.get("observedTimeUnixNano"))
        yield LogRecord(
            resource, scope, name if isinstance(name, str) else "", found, stamp / 1e9 if stamp else None,
            str(found.get("event.timestamp", "")) + str(stamp or ""),
            _text(record.get("traceId")), _text(record.get("spanId")),
        )  # fmt: skip


def _spans(document: Any) -> Iterator[Span]:
    for resource, scope, span in _items(document, "resourceSpans", "scopeSpans", "spans"):
        code = _dict(span.get("status")).get("code")
        yield Span(
            resource, scope, _text(span.get("name")), attributes(span.get("attributes")), _text(span.get("traceId")),
            _text(span.get("spanId")), _text(span.get("parentSpanId")), _int(span.get("startTimeUnixNano")) / 1e9,
            _int(span.get("endTimeUnixNano")) / 1e9, code in (2, "STATUS_CODE_ERROR"),
        )  # fmt: skip


def _points(document: Any) -> Iterator[Point]:
    for resource, scope, metric in _items(document, "resourceMetrics", "scopeMetrics", "metrics"):
        name = _text(metric.get("name"))
        for kind in ("sum", "histogram", "exponentialHistogram"):
            told = _dict(metric.get(kind))
            delta = told.get("aggregationTemporality") in (1, "AGGREGATION_TEMPORALITY_DELTA")
            for point in _list(told.get("dataPoints")):
                value = _number(point, ("asInt", "asDouble") if kind == "sum" else ("sum",))
                if value is not None:
                    yield Point(
                        resource, scope, name, attributes(point.get("attributes")), value,
                        _int(point.get("startTimeUnixNano")), _int(point.get("timeUnixNano")), delta,
                    )  # fmt: skip


def _items(document: Any, outer: str, inner: str, item: str) -> Iterator[tuple[Resource, str, dict[str, Any]]]:
    for part in _list(_dict(document).get(outer)):
        found = attributes(_dict(part.get("resource")).get("attributes"))
        resource = Resource(found, "\n".join(str(found.get(name, "")) for name in _IDENTITY))
        for group in _list(part.get(inner)):
            scope = _text(_dict(group.get("scope")).get("name"))
            for record in _list(group.get(item)):
                yield resource, scope, record


def attributes(found: Any) -> dict[str, Scalar]:
    """The attributes that are plain values, by name."""
    flat: dict[str, Scalar] = {}
    for pair in _list(found):
        name, value = pair.get("key"), _any(pair.get("value"))
        if isinstance(name, str) and value is not None:
            flat[name] = value
    return flat


def _any(value: Any) -> Scalar | None:
    value = _dict(value)
    if "stringValue" in value:
        return value["stringValue"] if isinstance(value["stringValue"], str) else None
    if "intValue" in value:
        try:
            return int(value["intValue"])
        except (TypeError, ValueError, OverflowError):
            return None
    if "doubleValue" in value:
        try:
            return float(value["doubleValue"])
        except (TypeError, ValueError):
            return None
    return value["boolValue"] if isinstance(value.get("boolValue"), bool) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _int(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 <= number < 1 << 64 else 0


def _number(point: dict[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        if name in point:
            try:
                value = float(point[name])
            except (TypeError, ValueError, OverflowError):
                return None
            return value if abs(value) < 1e18 else None  # also not NaN
    return None
