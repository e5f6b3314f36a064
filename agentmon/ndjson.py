"""Event <-> one line of NDJSON. The only owner of the wire format."""

from dataclasses import fields
from operator import attrgetter
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
PARTS, SEQ, BEFORE, MESSAGE, AFTER = 5, 1, 2, 3, 4  # of a log entry, behind its constant head
_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (*PAYLOADS.values(), Tree)}
_ESCAPES = [  # the backslash first; the framer leaves no other control characters
    (char.encode(), orjson.dumps(char)[1:-1]) for char in '\\"\t\r\x1b'
]
_VALUES = {cls: attrgetter(*names) for cls, names in _FIELDS.items()}


class NotAnEvent(ValueError):
    """A line that is no event of this contract."""


def payload_dict(payload: Payload | Tree) -> dict[str, Any]:
    """The payload as it goes onto the wire: optional fields that are unknown are left out, others are null."""
    cls = type(payload)
    optional = cls.optional
    values = zip(_FIELDS[cls], _VALUES[cls](payload), strict=True)
    out: dict[str, Any] = {name: value for name, value in values if value is not None or name not in optional}
    if isinstance(payload, ProcessMetrics):
        out["tree"] = payload_dict(payload.tree)
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
        return event_of(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise NotAnEvent(str(error)) from None


def event_of(raw: Any) -> Event:
    """The event of one line that was read as JSON. Raises NotAnEvent."""
    try:
        cls = PAYLOADS[raw["event"]]
        data = raw["data"][cls.key]
        known = {name: data[name] for name in _FIELDS[cls] if name in data}
        if cls is ProcessMetrics:
            tree: Any = known.get("tree") or {}
            values: list[Any] = [tree.get(name) for name in _FIELDS[Tree]]
            known["tree"] = Tree(*values)
        return Event(raw["run_id"], raw["seq"], raw["agent_id"], raw["team_id"], cls(**known), raw["timestamp"])
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAnEvent(str(error)) from None


class LogLines:
    """Log entries of one agent: constant bytes around what changes.

    Building a dict for every line costs seventeen times as much (measured: 4,000 ns against 230 ns). Everything is
    bytes: as text, one character beyond Latin-1 doubles the size of a whole block (then 690 ns).
    """

    def __init__(self, run_id: str, agent_id: str, team_id: str) -> None:
        self._head = b'{"v":%d,"type":"%s","run_id":%s,"seq":' % (VERSION, TYPE.encode(), orjson.dumps(run_id))
        self._who = b',"agent_id":%s,"team_id":%s,"event":"%s","data":{"%s":{"timestamp":"' % (
            orjson.dumps(agent_id), orjson.dumps(team_id), ActivityLog.event.encode(), ActivityLog.key.encode(),
        )  # fmt: skip

    def messages(self, block: bytes) -> list[bytes]:
        """The lines of `block`, as the framer gives them, as they stand in JSON. Each ends in LF, none is too long."""
        if not block.isascii():
            try:
                block.decode()
            except UnicodeDecodeError:
                block = block.decode("utf-8", "replace").encode()
        # by bytes: to encode it as one string of JSON takes twice as long, as that is decoded and encoded again
        for plain, escaped in _ESCAPES:
            if plain in block:
                block = block.replace(plain, escaped)
        lines = block.split(b"\n")
        lines.pop()
        return lines

    def parts(
        self, messages: list[bytes], numbers: list[int], stream: str, timestamp: float, iso: str
    ) -> list[bytes]:  # fmt: skip
        """Entries of these messages and seqs, PARTS pieces of bytes each."""
        parts = [self._head, b"", self.before(iso), b"", self.after(stream, timestamp)] * len(messages)
        parts[SEQ::PARTS] = orjson.dumps(numbers)[1:-1].split(b",")
        parts[MESSAGE::PARTS] = messages
        return parts

    def before(self, iso: str, level: str = "info") -> bytes:
        """What stands before the message."""
        return b'%s%s","level":"%s","message":"' % (self._who, iso.encode(), level.encode())

    def after(
        self, stream: str, timestamp: float, source: str = "orchestrator", truncated: bool | None = None
    ) -> bytes:  # fmt: skip
        """What stands behind the message."""
        cut = b"" if truncated is None else b',"truncated":true' if truncated else b',"truncated":false'
        return b'","source":"%s","stream":"%s"%s}},"timestamp":%s}\n' % (
            source.encode(), stream.encode(), cut, orjson.dumps(timestamp),
        )  # fmt: skip

    def entry(self, log: ActivityLog, seq: int, timestamp: float) -> bytes:
        """One entry, whatever its level: the same bytes as `encode` of its event."""
        return b"%s%d%s%s%s" % (
            self._head, seq, self.before(log.timestamp, log.level), orjson.dumps(log.message)[1:-1],
            self.after(log.stream, timestamp, log.source, log.truncated),
        )  # fmt: skip
