"""Event <-> one line of NDJSON. The only owner of the wire format."""

from dataclasses import fields
from typing import Any

import orjson

from agentmon.events import (
    PAYLOADS,
    VERSION,
    ActivityLog,
    Event,
    Payload,
    ProcessMetrics,
    Tree,
)  # fmt: skip

TYPE = "agent_telemetry"
_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (*PAYLOADS.values(), Tree)}


class NotAnEvent(ValueError):
    """A line that is no event of this contract."""


def payload_dict(payload: Payload | Tree) -> dict[str, Any]:
    """The payload as it goes onto the wire: optional fields that are unknown are left out, others are null."""
    cls = type(payload)
    out = {}
    for name in _FIELDS[cls]:
        value = getattr(payload, name)
        if value is None and name in cls.optional:
            continue
        out[name] = payload_dict(value) if isinstance(value, Tree) else value
    return out


def event_dict(event: Event) -> dict[str, Any]:
    """The whole event as it goes onto the wire."""
    return {
        "v": VERSION, "type": TYPE, "run_id": event.run_id, "seq": event.seq, "agent_id": event.agent_id,
        "team_id": event.team_id, "event": event.payload.event,
        "data": {event.payload.key: payload_dict(event.payload)}, "timestamp": event.timestamp,
    }  # fmt: skip


def encode(event: Event) -> bytes:
    """One line, with its newline."""
    return orjson.dumps(event_dict(event), option=orjson.OPT_APPEND_NEWLINE)


def snapshot(seq: int, run_id: str, agent_id: str, team_id: str, telemetry: dict[str, Any], timestamp: float) -> bytes:
    """The line that a late reader of a socket gets first: all events up to `seq`, folded."""
    return orjson.dumps(
        {"v": VERSION, "type": TYPE, "run_id": run_id, "seq": seq, "agent_id": agent_id, "team_id": team_id,
         "event": "snapshot", "data": {"agent_telemetry": telemetry}, "timestamp": timestamp},
        option=orjson.OPT_APPEND_NEWLINE,
    )  # fmt: skip


def decode(line: bytes | str) -> Event:
    """The event of one line. Unknown fields are passed over. Raises NotAnEvent."""
    try:
        raw = orjson.loads(line)
        cls = PAYLOADS[raw["event"]]
        data = raw["data"][cls.key]
        known = {name: data[name] for name in _FIELDS[cls] if name in data}
        if cls is ProcessMetrics:
            tree: Any = known.get("tree") or {}
            values: list[Any] = [tree.get(name) for name in _FIELDS[Tree]]
            known["tree"] = Tree(*values)
        return Event(
            raw["run_id"], raw["seq"], raw["agent_id"], raw["team_id"], cls(**known), raw["timestamp"]
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise NotAnEvent(str(error)) from None


class LogLines:
    """Log entries of plain lines in bulk: constant text around what changes.

    Building a dict for every line costs ten times as much (measured: 4,000 ns against 340 ns).
    """

    def __init__(self, run_id: str, agent_id: str, team_id: str) -> None:
        self._head = '{"v":%d,"type":"%s","run_id":%s,"seq":' % (VERSION, TYPE, _text(run_id))
        self._who = ',"agent_id":%s,"team_id":%s,"event":"%s","data":{"%s":{"timestamp":"' % (
            _text(agent_id), _text(team_id), ActivityLog.event, ActivityLog.key,
        )  # fmt: skip

    def encode(self, block: bytes, first_seq: int, stream: str, timestamp: float, iso: str) -> tuple[bytes, int]:
        """Entries for the lines of `block` (each ends in LF, none is too long): the bytes, and how many."""
        text = block.decode("utf-8", "replace")
        if "\\" in text:  # an escaped backslash before an n would look like an escaped newline
            messages = [_text(line) for line in text[:-1].split("\n")]
        else:
            messages = orjson.dumps(text)[1:-3].decode().split("\\n")
            messages = [f'"{message}"' for message in messages]
        before = f'{self._who}{iso}","level":"info","message":'
        after = f',"source":"orchestrator","stream":"{stream}"}}}},"timestamp":{orjson.dumps(timestamp).decode()}}}\n'
        count = len(messages)
        parts = [self._head, "", before, "", after] * count
        parts[1::5] = map(str, range(first_seq, first_seq + count))
        parts[3::5] = messages
        return "".join(parts).encode(), count


def _text(value: str) -> str:
    return orjson.dumps(value).decode()
