"""One run as OpenTelemetry sees it: its events in order, and what follows from them to send.

A model call's span, and its part in the token metrics, go out as soon as an exact source told it. What was only
printed, and running totals, wait for the end of the run: an exact source may yet tell them better, and a figure that
was sent cannot be called back. At the end the Ledger decides, and the last point of each series is what it counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from agentmon.events import Event, Lifecycle, ProcessMetrics, TokenUsage
from agentmon.fleet import otel_metrics as metrics
from agentmon.fleet import otel_spans as spans
from agentmon.fleet.otel_logs import log_record
from agentmon.fleet.otel_names import Names, operation_of
from agentmon.fleet.otel_numbers import nanoseconds, real, whole
from agentmon.fleet.otel_resource import log_context, resource_of, trace_of
from agentmon.sessions import Seen, Sums
from agentmon.telemetry import RunTelemetry, apply

_EXACT = ("sdk", "otlp")
_DUST = 1e-9  # dollars that only rounding left


@dataclass(slots=True)
class Cut:
    """What is to be sent of a run."""

    spans: list[ReadableSpan]
    logs: list[ReadableLogRecord]
    points: list[tuple[metrics.Instrument, Any]]


@dataclass(frozen=True, slots=True)
class _Series:
    """Whose tokens: each is a series of its own."""

    source: str
    agent: str
    model: str | None
    estimated: bool


class RunSignals:
    """The signals of one run. first: its first event; names: the conventions to use."""

    def __init__(self, first: Event, names: Names) -> None:
        self.over = False
        self._finished = False  # whether what follows from its end was sent
        self._names = names
        self._state = RunTelemetry()
        self.resource = resource_of(first)
        self._trace = trace_of(first)
        self._own = first.agent_id
        started = first.payload if isinstance(first.payload, Lifecycle) else None
        self._cpus = metrics.cpus_of(started.host if started is not None else None)
        self._points = metrics.Points(nanoseconds(first.timestamp))
        self._agents = {self._own: spans.Agent(self._own, first.timestamp, first.timestamp)}
        self._contexts: dict[str, Any] = {}
        self._logs: list[ReadableLogRecord] = []
        self._told: dict[int, Seen] = {}  # calls that have their span, by seq
        self._told_usage: dict[str, Sums] = {}  # what these spans said, by agent
        self._usage_at = 0
        self._told_series: set[_Series] = set()
        self._used = False  # whether there is news for the token metrics
        self._at = first.timestamp

    def take(self, event: Event) -> None:
        """The next event of the run."""
        self.fold(event)
        if isinstance(event.payload, ProcessMetrics):
            self._points.sample(event.payload, event.timestamp, self._cpus)
        else:
            self._logs.append(log_record(event, self.resource, self._context(event.agent_id)))

    def fold(self, event: Event) -> None:
        """An event that was sent before: only what follows from it for later ones."""
        apply(self._state, event)
        payload, at = event.payload, real(event.timestamp) or 0.0
        self._at = max(self._at, at)
        began = at
        if isinstance(payload, TokenUsage):
            self._used = True
            began -= real(payload.duration_s) or 0.0
        if isinstance(payload, ProcessMetrics):
            return
        agent = self._agents.get(event.agent_id)
        if agent is None:
            self._agents[event.agent_id] = spans.Agent(event.agent_id, began, at)
        else:
            agent.seen(began, at)
        if isinstance(payload, Lifecycle) and payload.state in ("stopped", "error"):
            self.over = True

    def lost(self) -> None:
        """There is no closing event, and nobody writes the log any more."""
        self.over = True

    def skip(self) -> None:
        """What follows from the events so far was sent before."""
        self.cut()

    def cut(self) -> Cut:
        """What there is to send, and what follows from the end, once, when it has come."""
        found: list[ReadableSpan] = []
        if (self._used or self.over) and not self._finished:
            found += [spans.chat(seen, self._trace, self._own, self.resource, self._names) for seen in self._calls()]
            self._usage_points()
            self._used = False
            if self.over:
                found += self._agent_spans()
                self._finished = True
        logs, self._logs = self._logs, []
        return Cut(found, logs, self._points.take())

    # ------------------------------------------------------------------ spans

    def _calls(self) -> list[Seen]:
        """The calls that get their span now."""
        new = [
            seen for seen, _ in self._state.usage.model_calls()
            if seen.seq not in self._told and (self.over or _settled(seen.usage))
        ]  # fmt: skip
        for seen in new:
            self._told[seen.seq] = seen
            self._told_usage.setdefault(seen.agent, Sums()).add(seen.usage)
        return new

    def _agent_spans(self) -> Iterator[ReadableSpan]:
        usage = self._state.usage
        sums = usage.by_agent()
        models: dict[str, set[str]] = {}
        for agent_id, model in usage.by_agent_and_model():
            models.setdefault(agent_id, set()).update((model,) if model else ())
        for agent in sorted(self._agents.values(), key=lambda agent: agent.agent_id != self._own):
            own = agent.agent_id == self._own
            if own:
                agent.last = max(agent.last, self._at)
            counted = sums.get(agent.agent_id, Sums())
            extra = {"agentmon.calls": usage.calls(), "agentmon.calls_unknown": usage.calls_unknown()} if own else {}
            yield spans.invoke_agent(
                agent, self._trace, self._own, self.resource, self._names, end=self._state.end, sums=counted,
                rest=_rest(counted, self._told_usage.get(agent.agent_id, Sums())),
                models=frozenset(models.get(agent.agent_id, ())), extra=extra,
            )  # fmt: skip

    def _context(self, agent_id: str) -> Any:
        context = self._contexts.get(agent_id)
        if context is None:
            span = self._trace.root() if agent_id == self._own else self._trace.agent(agent_id)
            context = self._contexts[agent_id] = log_context(span)
        return context

    # ------------------------------------------------------------------ metrics

    def _usage_points(self) -> None:
        at = self._usage_at = max(nanoseconds(self._at), self._usage_at + 1000)  # no two of one time
        calls: dict[_Series, list[Seen]] = {}
        durations: dict[tuple[str, str | None, str | None, str | None], list[float]] = {}
        for seen, summed in self._state.usage.model_calls():
            if seen.seq not in self._told:
                continue
            usage = seen.usage
            took = real(usage.duration_s)
            if took is not None:
                failed = str(usage.status) if usage.status is not None and usage.status >= 400 else None
                durations.setdefault((seen.agent, usage.model, usage.tool, failed), []).append(took)
            if self.over or not summed:
                series = _Series(usage.source, seen.agent, usage.model, bool(usage.estimated))
                calls.setdefault(series, []).append(seen)
        if self.over:  # what counts; and what counts no more, because another source told it better
            sums = {series: Sums() for series in self._told_series} | self._counted()
        else:
            sums = {series: _added(found) for series, found in calls.items()}
            self._told_series |= sums.keys()
        for series, total in sums.items():
            self._tokens(series, total, calls.get(series, []), at)
        for (agent, model, tool, failed), found in durations.items():
            attributes = self._attributes(agent, model, tool) | {"error.type": failed}
            self._points.distribution(
                metrics.DURATION, at, found, metrics.SECOND_BOUNDS, metrics.attributes_of(attributes)
            )

    def _counted(self) -> dict[_Series, Sums]:
        """What the Ledger counts."""
        counted: dict[_Series, Sums] = {}
        for origin in self._state.usage.origins():
            share = origin.share
            series = _Series(origin.source, share.agent, share.model, bool(share.sums.estimated))
            counted.setdefault(series, Sums()).add(share.sums)
        return counted

    def _tokens(self, series: _Series, total: Sums, calls: list[Seen], at: int) -> None:
        attributes = self._attributes(series.agent, series.model, None) | {
            "agentmon.source": series.source, "agentmon.estimated": series.estimated or None,
        }  # fmt: skip
        for kind, name in (("input", "input_tokens"), ("output", "output_tokens")):
            told = [value for seen in calls if (value := whole(getattr(seen.usage, name))) is not None]
            left = (whole(getattr(total, name)) or 0) - sum(told)
            values = told if left == 0 else [*told, left] if left > 0 else [left + sum(told)]
            self._points.distribution(
                metrics.TOKENS, at, values, metrics.TOKEN_BOUNDS,
                metrics.attributes_of(attributes | {"gen_ai.token.type": kind}),
            )  # fmt: skip
        self._points.total(metrics.COST, at, real(total.cost_usd), metrics.attributes_of(attributes))

    def _attributes(self, agent: str, model: str | None, tool: str | None) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": operation_of(model), self._names.provider: self._names.provider_of(model, tool),
            "gen_ai.request.model": model, "gen_ai.response.model": model, "gen_ai.agent.name": agent,
        }  # fmt: skip


def _settled(usage: TokenUsage) -> bool:
    """Whether nothing that comes later changes what is known of a call."""
    known = usage.input_tokens is not None or usage.output_tokens is not None
    return usage.source in _EXACT and (known or (usage.status is not None and usage.status >= 400))


def _rest(counted: Sums, told: Sums) -> Sums:
    """What counts and no call's span has."""
    rest = counted.less(told)
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
        if not getattr(rest, name):
            setattr(rest, name, None)
    if rest.cost_usd is not None and rest.cost_usd < _DUST:
        rest.cost_usd = None
    return rest


def _added(calls: list[Seen]) -> Sums:
    sums = Sums()
    for seen in calls:
        sums.add(seen.usage)
    return sums
