"""Arrivals: messages of a stream, looked at before they go into a database that is strict about what it takes.

What the readers of run logs take as an event is taken; a character that PostgreSQL does not take is replaced. All else
is refused, with a reason.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from agentmon import checked, ndjson
from agentmon.events import VERSION, ActivityLog, Event

_NUL = b"\\u0000"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LARGEST = 1 << 53  # whole numbers beyond it are not the same to all who read JSON
_LONGEST_NAME = 512  # bytes
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came. number: its sequence in the stream."""

    subject: str
    body: bytes
    number: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """An event to be stored. data: its data as JSON; cleaned: characters in it were replaced."""

    arrival: Arrival
    event: Event
    data: bytes
    cleaned: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is no event, or one that cannot be stored."""

    arrival: Arrival
    reason: str


def look_at(arrival: Arrival) -> Taken | Refused:
    """What to do with a message."""
    body = arrival.body
    try:
        raw = orjson.loads(body)
        cleaned = False
        if _NUL in body:
            before, raw = raw, _without_nul(raw)
            cleaned = raw != before
        event = checked.event_of(raw)
        _check_envelope(event)
        if not isinstance(event.payload, ActivityLog):  # it has none
            _check_numbers(raw["data"])
        return Taken(arrival, event, orjson.dumps(raw["data"]), cleaned)
    except orjson.JSONDecodeError as error:
        return Refused(arrival, f"not JSON: {error}")
    except ndjson.NotAnEvent as error:
        return Refused(arrival, _why(raw, error))


def _why(raw: Any, error: ndjson.NotAnEvent) -> str:
    version = raw.get("v") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > VERSION:
        return f"of version {version}, which this agentmon does not know: {error}"
    return f"not an event: {error}"


def _check_envelope(event: Event) -> None:
    for name in ("run_id", "agent_id", "team_id"):
        if len(getattr(event, name).encode()) > _LONGEST_NAME:
            raise ndjson.NotAnEvent(f"{name} is longer than {_LONGEST_NAME} bytes")
    if not 0 <= event.seq <= _LARGEST:
        raise ndjson.NotAnEvent("seq is out of range")
    if not 0 <= event.timestamp < _YEAR_10000:
        raise ndjson.NotAnEvent("timestamp is out of range")


def _check_numbers(value: Any) -> None:
    kind = type(value)
    if kind is dict:
        for item in value.values():
            _check_numbers(item)
    elif kind is list:
        for item in value:
            _check_numbers(item)
    elif (kind is int or kind is float) and not -_LARGEST <= value <= _LARGEST:
        raise ndjson.NotAnEvent("a number is out of range")


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value
