"""Model calls in log events and spans: which of them tell a call, and which of them tell one that was told already."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Generic, TypeVar

import orjson

from agentmon.collect.intake import otlp_names as names
from agentmon.collect.intake.otlp_names import Figures
from agentmon.collect.intake.otlp_records import LogRecord, Scalar, Span

_KEPT = 20_000
_RECENT = 128
_INFERENCE = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion"})
# Agents whose log events tell every call: nothing else of theirs is needed.
OWN_EVENTS = {
    "claude-code": ("api_request", "claude_code.api_request"),
    "gemini-cli": ("gemini_cli.api_response",),
    "qwen-code": ("qwen-code.api_response",),
    "codex": ("codex.sse_event", "codex.websocket_event"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One model call. time: its end, Unix seconds; call_id is made up where the sender has none."""

    figures: Figures
    tool: str | None
    model: str | None
    call_id: str
    session_id: str | None
    time: float | None
    duration_s: float | None = None
    time_to_first_token_s: float | None = None
    status: int | None = None


def of_log(record: LogRecord) -> Call | None:
    """The call that a log event tells."""
    found = record.attributes
    tool = names.tool_of(record.resource.text("service.name"))
    own = tool in OWN_EVENTS
    if own and record.name not in OWN_EVENTS[tool or ""]:
        return None
    if not own and record.name.endswith(".api_response"):  # forks of Gemini CLI keep its events under their own names
        own = "input_token_count" in found
    told = names.figures(found, own=own, excludes_cache=tool == "claude-code")
    if not told.known:
        return None
    told = _unless_nothing(told)
    session = names.session_id(found) or names.session_id(record.resource.attributes)
    call_id = names.call_id(found)
    if call_id is None and record.span_id and not own:
        call_id = f"{record.trace_id}:{record.span_id}"
    if call_id is None:  # an exporter that repeats a batch repeats this too
        call_id = _made_up(record.resource.key, session or "", record.stamp, found)
    duration = names.amount(found, ("duration_ms",)) if own else None
    first = names.amount(found, ("ttft_ms",)) if own else None
    return Call(
        told, tool, names.model(found), call_id, session, record.time, _seconds(duration), _seconds(first) or None,
        names.count(found, ("status_code", "http.status_code")) if own else None,
    )  # fmt: skip


def of_span(span: Span) -> Call | None:
    """The call that a span tells, or the calls below it; whether they were told already is for `Told` to say."""
    found = span.attributes
    tool = names.tool_of(span.resource.text("service.name"))
    own = tool == "claude-code" and span.name == "claude_code.llm_request"
    told = _unless_nothing(names.figures(found, own=own, excludes_cache=own))
    if not told.known and (span.failed or found.get("gen_ai.operation.name") not in _INFERENCE):
        return None
    call_id = names.call_id(found) or _id_in_output(found) or f"{span.trace_id}:{span.span_id}"
    session = names.session_id(found) or names.session_id(span.resource.attributes)
    duration = span.end - span.start if 0 < span.start <= span.end else None
    first = names.amount(found, ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"))
    return Call(told, tool, names.model(found), call_id, session, span.end or None, duration, first)


def _unless_nothing(told: Figures) -> Figures:
    """A call of no tokens at all is one whose usage its sender did not see: Claude Code 1.0.120 tells a reply that was
    not streamed, its second try after an error, as 0 and 0."""
    return Figures() if told.input == 0 and told.output == 0 else told


class Told:
    """What one exporter has told so far, so that the same call counts once."""

    def __init__(self) -> None:
        self._ids: Recent[tuple[Figures, str]] = Recent(_KEPT)
        self._covered: Recent[bool] = Recent(_KEPT)
        self._spans: deque[tuple[Span, Figures]] = deque(maxlen=_RECENT)

    def log(self, record: LogRecord, call: Call, *, own: bool) -> Call | None:
        """The call, if it is news. own: an agent's own event, of which there is one for a call."""
        before = self._ids.get(call.call_id)
        if before is not None and own and before[1] != record.stamp and before[0] != call.figures:
            # a server that gives the same id twice (Ollama draws one of a thousand)
            call = replace(call, call_id=f"{call.call_id}#{record.stamp}")
            before = self._ids.get(call.call_id)
        if before is not None and (before[0].known or not call.figures.known):
            return None
        self._ids.put(call.call_id, (call.figures, record.stamp))
        return call

    def span(self, span: Span, call: Call | None) -> Call | None:
        """The call, if it is news. A span around one that told tokens sums up what was told, or repeats it."""
        covered = self._covered.get(f"{span.trace_id}:{span.span_id}") is not None
        if (covered or (call is not None and call.figures.known)) and span.parent_id:
            self._covered.put(f"{span.trace_id}:{span.parent_id}", True)
        if call is None or covered:
            return None
        before = self._ids.get(call.call_id)
        if before is not None and (before[0].known or not call.figures.known):
            return None
        if call.figures.known:
            if any(_same(span, call.figures, other, told) for other, told in self._spans):
                return None
            self._spans.append((span, call.figures))
        self._ids.put(call.call_id, (call.figures, ""))
        return call


def _same(span: Span, told: Figures, other: Span, before: Figures) -> bool:
    """Whether two instrumentations tell of one call: the same figures, one inside of the other's time."""
    if (told.input, told.output) != (before.input, before.output) or not (told.input and told.output):
        return False
    if span.scope == other.scope:
        return False
    inner, outer = sorted((span, other), key=lambda item: item.end - item.start)
    return outer.start <= inner.start and inner.end <= outer.end


def _id_in_output(found: Mapping[str, Scalar]) -> str | None:
    """OpenInference has the whole reply as JSON, and its id only there."""
    output = found.get("output.value")
    if not isinstance(output, str) or not output.startswith("{"):
        return None
    try:
        value = orjson.loads(output)
    except ValueError:
        return None
    told = value.get("id") if isinstance(value, dict) else None
    return told[:256] if isinstance(told, str) and told else None


def _made_up(*parts: object) -> str:
    return blake2b(repr(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


V = TypeVar("V")


class Recent(Generic[V]):
    """The last `size` keys and what they stand for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        """What the key stands for."""
        return self._kept.get(key)

    def put(self, key: str, value: V) -> None:
        """Keep it; the oldest goes."""
        self._kept[key] = value
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
