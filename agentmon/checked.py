"""Checked events: what a file says is held against the field types, so that no reader has to expect other ones."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agentmon import ndjson
from agentmon.events import PAYLOADS, Event, Lifecycle, Payload, ProcessMetrics, TokenUsage, Tree


def decode(line: bytes) -> Event:
    """The event of one line, all of its fields of their types. Raises ndjson.NotAnEvent."""
    return _checked(ndjson.decode(line))


def event_of(raw: Any) -> Event:
    """The same for a line that was read as JSON."""
    return _checked(ndjson.event_of(raw))


def _checked(event: Event) -> Event:
    names = (event.run_id, event.agent_id, event.team_id)
    if not all(type(name) is str for name in names):
        raise ndjson.NotAnEvent("run_id, agent_id or team_id is not a text")
    if type(event.seq) is not int or type(event.timestamp) not in (int, float):
        raise ndjson.NotAnEvent("seq or timestamp is not a number")
    _check(event.payload)
    if isinstance(event.payload, ProcessMetrics):
        _check(event.payload.tree)
    elif isinstance(event.payload, TokenUsage) and event.payload.models:
        _check_models(event.payload.models)
    elif isinstance(event.payload, Lifecycle):
        _check_parts(event.payload)
    return event


def _check_parts(payload: Lifecycle) -> None:
    """What the texts, labels and figures by source are made of."""
    texts = [*(payload.argv or ()), *(payload.labels or {}).values()]
    sources = (payload.sources or {}).values()
    if any(type(text) is not str for text in texts):
        raise ndjson.NotAnEvent("argv or labels is not what it should be")
    if any(type(seen) is not dict or any(type(n) is not int for n in seen.values()) for seen in sources):
        raise ndjson.NotAnEvent("sources is not what it should be")


def _check_models(models: Mapping[str, Any]) -> None:
    for figures in models.values():
        if type(figures) is not dict or any(
            type(value) not in (int, float, NoneType)
            for name, value in figures.items()
            if name.endswith("_tokens") or name == "cost_usd"
        ):
            raise ndjson.NotAnEvent("models is not what it should be")


def _check(payload: Payload | Tree) -> None:
    for name, types in _TYPES[type(payload)]:
        if type(getattr(payload, name)) not in types:
            raise ndjson.NotAnEvent(f"{name} is not what it should be")


def _of(hint: Any) -> set[type]:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return set().union(*(_of(part) for part in get_args(hint)))
    if origin is Literal:
        return {str}
    if hint is float:
        return {int, float}
    if hint is NoneType or isinstance(hint, type):
        return {hint}
    return {list} if origin is tuple else {dict}


def _types(cls: type[Any]) -> tuple[tuple[str, frozenset[type]], ...]:
    """The types that each field may have once it comes from JSON."""
    hints = get_type_hints(cls)
    return tuple((name, frozenset(_of(hints[name]))) for name in cls.__slots__)


_TYPES = {cls: _types(cls) for cls in (*PAYLOADS.values(), Tree)}
