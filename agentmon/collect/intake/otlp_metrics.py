"""Token counts in metrics: sums and histograms, delta and cumulative, added up per session and model."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentmon.collect.intake import otlp_names as names
from agentmon.collect.intake.otlp_names import Figures, settled
from agentmon.collect.intake.otlp_records import Point, Resource

_MAX_SERIES = 10_000
_DELTAS_KEPT = 32
_KINDS = {
    "input": "input", "prompt": "input", "output": "output", "completion": "output",
    "cacheread": "cache_read", "cache_read": "cache_read", "cached_input": "cache_read", "cache": "cache_read",
    "cached": "cache_read", "cachecreation": "cache_write", "cache_creation": "cache_write",
    "cache_write": "cache_write", "cache_write_input": "cache_write", "thought": "reasoning", "reasoning": "reasoning",
    "reasoning_output": "reasoning", "tool": "tool",
}  # fmt: skip
_KIND_ATTRIBUTES = ("gen_ai.token.type", "token_type", "type", "llm.usage.token_type")
_MODEL_ATTRIBUTES = ("gen_ai.response.model", "model", "gen_ai.request.model")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of tokens. Where a sender has several, the first in the table counts: they tell the same thing.

    excludes_cache: input without cached tokens; thoughts_apart: output without reasoning; dollars: its cost metric.
    """

    excludes_cache: bool = False
    thoughts_apart: bool = False
    dollars: str = ""


METRICS = {
    "claude_code.token.usage": Metric(excludes_cache=True, dollars="claude_code.cost.usage"),
    "gemini_cli.token.usage": Metric(thoughts_apart=True),
    "qwen-code.token.usage": Metric(),
    "codex.turn.token_usage": Metric(),
    "gen_ai.client.token.usage": Metric(),
    "llm.usage.tokens": Metric(),
}
_COSTS = {metric.dollars: name for name, metric in METRICS.items() if metric.dollars}


@dataclass(slots=True)
class _Series:
    """One line of points. before: what it had come to when it last began anew; at: the newest point's time; deltas: the
    times of the last points that were added."""

    total: float = 0.0
    before: float = 0.0
    at: int = 0
    deltas: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_DELTAS_KEPT))

    def add(self, point: Point) -> bool:
        """Take a point; False for one that was sent again, or is older than what is known."""
        if point.delta:  # each is apart, whatever the order in which they come
            span = (point.start, point.at)
            if point.at and (span in self.deltas or (len(self.deltas) == _DELTAS_KEPT and span < self.deltas[0])):
                return False
            self.deltas.append(span)
            self.total += point.value
        else:
            if point.at and point.at <= self.at:
                return False
            if self.before + point.value < self.total and not point.start:  # only its fall tells that it began anew
                self.before = self.total
            self.total = self.before + point.value
        self.at = max(self.at, point.at)
        return True


@dataclass(frozen=True, slots=True)
class Total:
    """What a session has used so far, of its first metric that tells. time: Unix seconds of the newest point."""

    session_id: str | None
    tool: str | None
    models: Mapping[str, Figures]
    time: float | None


_Key = tuple[str, str | None, str, str, int, tuple[tuple[str, object], ...]]


@dataclass(slots=True)
class Meters:
    """The metrics of one exporter."""

    resource: Resource
    _series: dict[_Key, _Series] = field(default_factory=dict)

    def add(self, point: Point) -> bool:
        """Take a point; whether it tells of tokens or their cost."""
        metric = _COSTS.get(point.name, point.name)
        if metric not in METRICS or point.value < 0:
            return False
        told = names.text(point.attributes, _KIND_ATTRIBUTES) or ""
        kind = "cost" if point.name in _COSTS else _KINDS.get(told.lower())
        if kind is None:
            return False
        session = names.session_id(point.attributes) or names.session_id(self.resource.attributes)
        model = names.text(point.attributes, _MODEL_ATTRIBUTES) or ""
        rest = tuple(sorted((k, v) for k, v in point.attributes.items()))
        # A cumulative series that starts anew is another one. Deltas follow each other: the start moves on.
        key: _Key = (metric, session, model, kind, 0 if point.delta else point.start, rest)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= _MAX_SERIES:
                return False
            series = self._series[key] = _Series()
        return series.add(point)

    def totals(self) -> list[Total]:
        """One for each session."""
        sessions: dict[str | None, dict[str, dict[str, dict[str, float]]]] = {}
        newest: dict[str | None, int] = {}
        for (metric, session, model, kind, _, _), series in self._series.items():
            kinds = sessions.setdefault(session, {}).setdefault(metric, {}).setdefault(model, {})
            kinds[kind] = kinds.get(kind, 0.0) + series.total
            newest[session] = max(newest.get(session, 0), series.at)
        tool = names.tool_of(self.resource.text("service.name"))
        made = []
        for session, metrics in sessions.items():
            metric = next(name for name in METRICS if name in metrics)
            models = {model: _figures(METRICS[metric], kinds) for model, kinds in metrics[metric].items()}
            made.append(Total(session, tool, models, newest[session] / 1e9 if newest[session] else None))
        return made


def _figures(metric: Metric, kinds: Mapping[str, float]) -> Figures:
    def of(kind: str) -> int | None:
        return round(kinds[kind]) if kind in kinds else None

    told = Figures(of("input"), of("output"), of("cache_read"), of("cache_write"), of("reasoning"), kinds.get("cost"))
    told = settled(told, None, None, excludes_cache=metric.excludes_cache)
    if not metric.thoughts_apart:
        return told
    return Figures(
        None if told.input is None else told.input + (of("tool") or 0),
        None if told.output is None else told.output + (told.reasoning or 0),
        told.cache_read, told.cache_write, told.reasoning, told.cost,
    )  # fmt: skip
