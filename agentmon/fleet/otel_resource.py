"""Resource: what a run is to OpenTelemetry, the instance of a service. And the ids of its trace."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from agentmon import __version__, tracecontext
from agentmon.events import Event, Lifecycle

SCOPE = InstrumentationScope("agentmon", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class RunResource(Resource):
    """Hashed by its run: the encoders hash it for every record, and the SDK's own way is to write it out as JSON."""

    def __init__(self, attributes: Mapping[str, Any], run_id: str) -> None:
        super().__init__(dict(attributes))
        self._run_id = run_id

    def __hash__(self) -> int:
        return hash(self._run_id)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Resource) and super().__eq__(other))


def resource_of(first: Event) -> Resource:
    """The resource of a run, by its first event. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are heeded as in every
    SDK: what they add is added, and a service name that a person set goes before ours."""
    started = first.payload if isinstance(first.payload, Lifecycle) else Lifecycle("started")
    argv = [str(word) for word in started.argv or ()]
    found: dict[str, Any] = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or first.agent_id or "unknown_service:agentmon",
        "service.namespace": first.team_id,
        "service.instance.id": first.run_id,
        "host.name": started.host,
        "process.pid": started.pid,
        "process.executable.name": os.path.basename(argv[0]) if argv else None,
        "process.command_args": argv or None,
        "process.working_directory": started.cwd,
        "agentmon.run_id": first.run_id,
        "agentmon.parent_run_id": started.parent_run_id,
        "agentmon.team": first.team_id,
        "agentmon.agent": first.agent_id,
        "gen_ai.agent.name": first.agent_id,  # of what has no agent of its own: the process metrics
        **{f"agentmon.label.{key}": str(text) for key, text in (started.labels or {}).items()},
    }
    known = {key: value for key, value in found.items() if value is not None and value != ""}
    general = Resource.create().attributes  # with the SDK's own name, and what the environment says
    return RunResource({**general, **known}, first.run_id)


@dataclass(frozen=True, slots=True)
class Trace:
    """A run's trace: its own, or the one that was going on where it was started. All ids follow from the run's id and
    from `seq`, so that what is sent again after a crash is the same."""

    run_id: str
    trace_id: int
    parent: SpanContext | None
    links: tuple[Link, ...]

    def root(self) -> SpanContext:
        """The span of the run's own agent."""
        return self._context(span_id(self.run_id))

    def agent(self, agent_id: str) -> SpanContext:
        """The span of another agent of the run."""
        return self._context(span_id(self.run_id, "agent", agent_id))

    def call(self, seq: int) -> SpanContext:
        """The span of the model call that was first told by event `seq`."""
        return self._context(span_id(self.run_id, "call", str(seq)))

    def _context(self, number: int) -> SpanContext:
        flags = self.parent.trace_flags if self.parent is not None else _SAMPLED
        state = self.parent.trace_state if self.parent is not None else None
        return SpanContext(self.trace_id, number, False, flags, state)


def trace_of(first: Event) -> Trace:
    """The trace of a run, by its first event. A run inside a run is linked to that one."""
    started = first.payload if isinstance(first.payload, Lifecycle) else Lifecycle("started")
    links: tuple[Link, ...] = ()
    if started.parent_run_id is not None:
        outer = SpanContext(trace_id(started.parent_run_id), span_id(started.parent_run_id), True, _SAMPLED)
        links = (Link(outer, {"agentmon.run_id": started.parent_run_id}),)
    found = tracecontext.parse(started.traceparent)
    if found is None:
        return Trace(first.run_id, trace_id(first.run_id), None, links)
    state = TraceState.from_header([started.tracestate]) if started.tracestate else None
    parent = SpanContext(found.trace_id, found.span_id, True, TraceFlags(found.flags), state)
    return Trace(first.run_id, found.trace_id, parent, links)


def trace_id(run_id: str) -> int:
    """16 bytes, of a run that no trace was going on around."""
    return int.from_bytes(_digest(16, "trace", run_id)) or 1


def span_id(*words: str) -> int:
    """8 bytes."""
    return int.from_bytes(_digest(8, "span", *words)) or 1


def _digest(size: int, *words: str) -> bytes:
    return blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=size, person=b"agentmon").digest()


def log_context(span: SpanContext) -> Any:
    """The context that a log record of this span is made in."""
    return set_span_in_context(NonRecordingSpan(span))
