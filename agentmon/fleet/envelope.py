"""Envelope: whose event a line is. What is no event is told apart here; what a later version made is passed on."""

from types import NoneType
from typing import NamedTuple

import orjson

from agentmon import checked, ndjson
from agentmon.events import VERSION

_ENTRY = b'"event":"log_entry"'


class Address(NamedTuple):
    """What an envelope tells. newer: of a version that we do not know."""

    run_id: str
    seq: int
    team_id: str
    agent_id: str
    event: str
    newer: bool = False


def address(line: bytes) -> Address:
    """Whose event this is. Raises NotAnEvent."""
    found = _of_entry(line)
    if found is None:
        try:
            event = checked.decode(line)
            found = Address(event.run_id, event.seq, event.team_id, event.agent_id, event.payload.event)
        except ndjson.NotAnEvent:
            found = _of_newer(line)
    if found.seq < 0:
        raise ndjson.NotAnEvent("seq is negative")
    return found


def _of_entry(line: bytes) -> Address | None:
    """What the envelope of a log entry tells, which most events are; held against the types as `checked` does, in a
    third of the time. None for anything else."""
    if _ENTRY not in line:
        return None
    try:
        raw = orjson.loads(line)
        told = raw["data"]["activity_log"]
        texts = (
            raw["run_id"], raw["team_id"], raw["agent_id"], raw["event"],
            told["timestamp"], told["level"], told["message"], told["source"], told["stream"],
        )  # fmt: skip
        if {*map(type, texts)} != {str} or type(raw["seq"]) is not int or type(raw["timestamp"]) not in (int, float):
            return None
        if type(told.get("truncated")) not in (bool, NoneType):
            return None
        return Address(texts[0], raw["seq"], texts[1], texts[2], texts[3])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _of_newer(line: bytes) -> Address:
    """What the envelope tells of an event of a version to come. Raises NotAnEvent."""
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ndjson.NotAnEvent(str(error)) from None
    if not isinstance(raw, dict) or type(raw.get("v")) is not int or raw["v"] <= VERSION:
        checked.decode(line)  # says what is wrong with it
        raise ndjson.NotAnEvent("not a JSON object")
    run_id, seq, team, agent, kind = (raw.get(key) for key in ("run_id", "seq", "team_id", "agent_id", "event"))
    if not (type(run_id) is type(team) is type(agent) is type(kind) is str and type(seq) is int):
        raise ndjson.NotAnEvent("run_id, seq, team_id, agent_id or event is not what it should be")
    return Address(run_id, seq, team, agent, kind, newer=True)
