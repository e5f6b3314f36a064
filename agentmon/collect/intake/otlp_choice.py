"""Choice: one signal per exporter, the most exact that it sends: log events, else spans, else metrics.

An agent tells the same tokens by all three, and in any order. So an agent's spans, and everybody's metrics, are held
until it is clear that nothing better comes; what was chosen once stays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentmon.collect.intake.otlp_calls import OWN_EVENTS, Call, Told, of_log, of_span
from agentmon.collect.intake.otlp_metrics import Meters, Total
from agentmon.collect.intake.otlp_names import Figures, tool_of
from agentmon.collect.intake.otlp_records import LogRecord, Point, Record, Resource, Span
from agentmon.events import Finding, TokenUsage

GRACE_S = 15.0  # log events come at least every 5 s
_MAX_HELD = 10_000
_MAX_EXPORTERS = 1_000


class Choice:
    """All exporters of a run. What comes in are records, what goes out is one finding for each call or total."""

    def __init__(self) -> None:
        self._exporters: dict[str, _Exporter] = {}

    def take(self, found: Iterable[Record], pid: int | None, now: float) -> Iterator[Finding]:
        """Records of one body. pid: who sent it; now: seconds on the monotonic clock."""
        for record in found:
            key = f"{pid or ''}\n{record.resource.key}"
            exporter = self._exporters.get(key)
            if exporter is None:
                if len(self._exporters) >= _MAX_EXPORTERS:
                    continue
                exporter = self._exporters[key] = _Exporter(record.resource, _pid(record.resource) or pid)
            yield from exporter.take(record, now)

    def tick(self, now: float) -> Iterator[Finding]:
        """What has been held for long enough."""
        for exporter in self._exporters.values():
            yield from exporter.tick(now)

    def close(self) -> Iterator[Finding]:
        """The end: what was held."""
        for exporter in self._exporters.values():
            yield from exporter.tick(float("inf"))


@dataclass(slots=True)
class _Exporter:
    """One resource in one process. level: what was chosen, if anything was."""

    resource: Resource
    pid: int | None
    level: str | None = None
    told: Told = field(default_factory=Told)
    told_by_spans: Told = field(init=False)  # apart where spans are held: they must not hide the events they wait for
    meters: Meters = field(init=False)
    held: list[Call] = field(default_factory=list)
    held_since: float | None = None
    metrics_since: float | None = None
    sent: dict[str | None, Total] = field(default_factory=dict)
    owns_events: bool = field(init=False)

    def __post_init__(self) -> None:
        self.meters = Meters(self.resource)
        self.owns_events = tool_of(self.resource.text("service.name")) in OWN_EVENTS
        self.told_by_spans = Told() if self.owns_events else self.told

    def take(self, record: Record, now: float) -> Iterator[Finding]:
        match record:
            case LogRecord():
                yield from self._log(record)
            case Span():
                yield from self._span(record, now)
            case Point():
                if self.meters.add(record):
                    self.metrics_since = now if self.metrics_since is None else self.metrics_since

    def _log(self, record: LogRecord) -> Iterator[Finding]:
        call = of_log(record)
        if call is None or self.level == "metrics" or (self.level == "spans" and self.owns_events):
            return
        call = self.told.log(record, call, own=self.owns_events)
        if call is not None:
            self.level = "logs" if self.owns_events else "calls"
            self.held.clear()
            yield self._call(call)

    def _span(self, span: Span, now: float) -> Iterator[Finding]:
        if self.level in ("metrics", "logs"):
            return
        call = self.told_by_spans.span(span, of_span(span))
        if call is None:
            return
        if self.owns_events and self.level is None:
            self.held_since = now if self.held_since is None else self.held_since
            if len(self.held) < _MAX_HELD:
                self.held.append(call)
            return
        if call.figures.known and self.level is None:
            self.level = "calls"
        yield self._call(call)

    def tick(self, now: float) -> Iterator[Finding]:
        if self.level is None and self.held_since is not None and now - self.held_since > GRACE_S:
            self.level = "spans"
            for call in self.held:
                yield self._call(call)
            self.held.clear()
        if self.level is None and self.metrics_since is not None and now - self.metrics_since > GRACE_S:
            self.level = "metrics"
        if self.level == "metrics":
            for total in self.meters.totals():
                before = self.sent.get(total.session_id)
                if before is None or before.models != total.models:
                    self.sent[total.session_id] = total
                    yield self._total(total)

    def _call(self, call: Call) -> Finding:
        told = call.figures
        usage = TokenUsage(
            call.model, told.input, told.output, _sum(told), told.cost, told.cache_read, told.cache_write,
            told.reasoning, "call", "otlp", call.call_id, call.session_id, call.tool,
            cost_source="tool" if told.cost is not None else None, pid=self.pid, duration_s=call.duration_s,
            time_to_first_token_s=call.time_to_first_token_s, status=call.status,
        )  # fmt: skip
        return Finding(usage, time=call.time)

    def _total(self, total: Total) -> Finding:
        told = _added(total.models.values())
        models = {name: _fields(of) for name, of in total.models.items() if name}
        usage = TokenUsage(
            next(iter(models)) if len(total.models) == len(models) == 1 else None, told.input, told.output, _sum(told),
            told.cost, told.cache_read, told.cache_write, told.reasoning, "session", "otlp", None,
            total.session_id or self._name(), total.tool, cost_source="tool" if told.cost is not None else None,
            models=models or None, pid=self.pid,
        )  # fmt: skip
        return Finding(usage, time=total.time)

    def _name(self) -> str:
        """A session of its own for an exporter that names none."""
        instance = self.resource.text("service.instance.id")
        return instance or f"otlp-{self.pid or self.resource.text('service.name') or ''}"


def _pid(resource: Resource) -> int | None:
    value = resource.attributes.get("process.pid")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else None


def _sum(told: Figures) -> int | None:
    return None if told.input is None or told.output is None else told.input + told.output


def _added(parts: Iterable[Figures]) -> Figures:
    sums: dict[str, float] = {}
    for part in parts:
        for name in ("input", "output", "cache_read", "cache_write", "reasoning", "cost"):
            value = getattr(part, name)
            if value is not None:
                sums[name] = sums.get(name, 0) + value
    return Figures(**sums)  # type: ignore[arg-type]


def _fields(told: Figures) -> dict[str, float | None]:
    return {
        "input_tokens": told.input, "output_tokens": told.output, "total_tokens": _sum(told),
        "cache_read_tokens": told.cache_read, "cache_write_tokens": told.cache_write,
        "reasoning_tokens": told.reasoning, "cost_usd": told.cost,
    }  # fmt: skip
