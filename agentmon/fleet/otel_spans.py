"""Spans: one `invoke_agent` for each agent of a run, one `chat` for each model call below it.

Over all spans of a run, `gen_ai.usage.*` sums up to what counts: what no single call tells (a tool that told only a
total) is on its agent's span. A call that another source told better has no span.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, Status, StatusCode

from agentmon.events import Lifecycle, TokenUsage
from agentmon.fleet.otel_names import Names, operation_of
from agentmon.fleet.otel_numbers import nanoseconds, real, whole
from agentmon.fleet.otel_resource import SCOPE, Trace
from agentmon.sessions import Seen, Sums


@dataclass(slots=True)
class Agent:
    """An agent as its events show it. first, last: Unix seconds."""

    agent_id: str
    first: float
    last: float

    def seen(self, first: float, last: float) -> None:
        """It acted in this time."""
        self.first, self.last = min(self.first, first), max(self.last, last)


def begin(seen: Seen) -> float:
    """When a call began, Unix seconds: an event's time is the end of its call. Where nobody told how long it took, that
    is all there is."""
    return max(0.0, (seen.at or 0.0) - (real(seen.usage.duration_s) or 0.0))


def chat(seen: Seen, trace: Trace, own: str, resource: Resource, names: Names) -> ReadableSpan:
    """The span of one model call. own: the run's own agent."""
    usage = seen.usage
    operation = operation_of(usage.model)
    failed = usage.status is not None and usage.status >= 400
    attributes = {
        "gen_ai.operation.name": operation,
        names.provider: names.provider_of(usage.model, usage.tool),
        # The model that answered where that was told, else the one that was asked; readers look for one or the other.
        "gen_ai.request.model": usage.model,
        "gen_ai.response.model": usage.model,
        "gen_ai.response.id": usage.call_id,
        "gen_ai.conversation.id": usage.session_id,
        "gen_ai.agent.id": seen.agent,
        "gen_ai.agent.name": seen.agent,
        **tokens(usage, names),
        names.first_chunk: real(usage.time_to_first_token_s),
        "http.response.status_code": whole(usage.status),
        "error.type": str(usage.status) if failed else None,
        "agentmon.source": usage.source,
        "agentmon.tool": usage.tool,
        "agentmon.cost_source": usage.cost_source,
        "agentmon.estimated": usage.estimated or None,
        "agentmon.duration_unknown": True if usage.duration_s is None else None,
        "agentmon.seq": whole(seen.seq),
    }
    return ReadableSpan(
        name=f"{operation} {usage.model}" if usage.model else operation,
        context=trace.call(seen.seq), parent=trace.root() if seen.agent == own else trace.agent(seen.agent),
        resource=resource, attributes=known(attributes), kind=SpanKind.CLIENT, instrumentation_scope=SCOPE,
        status=Status(StatusCode.ERROR, f"HTTP status {usage.status}") if failed else Status(),
        start_time=nanoseconds(begin(seen)), end_time=nanoseconds(seen.at or 0.0),
    )  # fmt: skip


def invoke_agent(
    agent: Agent, trace: Trace, own: str, resource: Resource, names: Names, *,
    end: Lifecycle | None, sums: Sums, rest: Sums, models: frozenset[str], extra: Mapping[str, Any],
) -> ReadableSpan:  # fmt: skip
    """The span of one agent. end: how the run ended, None where it was lost; sums: what the agent used; rest: what of
    that no span of a call has; models: those it called."""
    is_own = agent.agent_id == own
    providers = {names.provider_of(model, None) for model in models}
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": agent.agent_id,
        "gen_ai.agent.name": agent.agent_id,
        names.provider: next(iter(providers)) if len(providers) == 1 else None,
        "gen_ai.request.model": next(iter(models)) if len(models) == 1 else None,
        **tokens(rest, names),
        **{f"agentmon.usage.{name}": value for name, value in figures(sums).items()},
        "agentmon.usage.estimated": sums.estimated or None,
        **extra,
    }
    status, error = Status(), None
    if is_own and (end is None or end.state == "error"):
        error = "lost" if end is None else end.signal or str(end.exit_code)
        status = Status(StatusCode.ERROR, "the run was lost" if end is None else end.reason or f"exit status {error}")
    if is_own:
        attributes["error.type"] = error
        attributes["process.exit.code"] = None if end is None else whole(end.exit_code)
    return ReadableSpan(
        name=f"invoke_agent {agent.agent_id}" if agent.agent_id else "invoke_agent",
        context=trace.root() if is_own else trace.agent(agent.agent_id),
        parent=trace.parent if is_own else trace.root(), links=trace.links if is_own else (),
        resource=resource, attributes=known(attributes), kind=SpanKind.INTERNAL, instrumentation_scope=SCOPE,
        status=status, start_time=nanoseconds(agent.first), end_time=nanoseconds(agent.last),
    )  # fmt: skip


def tokens(usage: TokenUsage | Sums, names: Names) -> dict[str, Any]:
    """Token figures and cost by the conventions' names. Cost has none; `gen_ai.usage.cost` is what readers know."""
    return {
        names.input_tokens: whole(usage.input_tokens),
        names.output_tokens: whole(usage.output_tokens),
        names.cache_read: whole(usage.cache_read_tokens),
        names.cache_write: whole(usage.cache_write_tokens),
        names.reasoning: whole(usage.reasoning_tokens),
        "gen_ai.usage.cost": real(usage.cost_usd),
    }


def figures(sums: Sums) -> dict[str, Any]:
    """The same by our own names."""
    return {
        "input_tokens": whole(sums.input_tokens), "output_tokens": whole(sums.output_tokens),
        "total_tokens": whole(sums.total_tokens), "cost_usd": real(sums.cost_usd),
    }  # fmt: skip


def known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in attributes.items() if value is not None}
