"""Event <-> one line of NDJSON. The only owner of the wire format."""

import math
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
_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (*PAYLOADS.values(), Tree)}
_ESCAPES = [  # the backslash first; the framer leaves no other control characters
    *((char.encode(), orjson.dumps(char)[1:-1]) for char in '\\"\t\r\x1b'), (b"%", b"%%"),
]  # fmt: skip
_REQUIRED = {cls: frozenset(names) - cls.optional for cls, names in _FIELDS.items()}
_VALUES = {cls: attrgetter(*names) for cls, names in _FIELDS.items()}


class NotAnEvent(ValueError):
    """A line that is no event of this contract."""


def payload_dict(payload: Payload | Tree) -> dict[str, Any]:
    """The payload as it goes onto the wire: optional fields that are unknown are left out, others are null."""
    cls = type(payload)
    required, values = _REQUIRED[cls], zip(_FIELDS[cls], _VALUES[cls](payload), strict=True)
    out: dict[str, Any] = {name: value for name, value in values if value is not None or name in required}
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


def dumps(told: Any, option: int | None = None) -> bytes:
    """JSON of sums; slower where one is beyond 64 bits or beyond all numbers, which a damaged log can make it."""
    try:
        return orjson.dumps(told, option=option)
    except orjson.JSONEncodeError:
        import json

        indent = 2 if option is not None and option & orjson.OPT_INDENT_2 else None
        end = "\n" if option is not None and option & orjson.OPT_APPEND_NEWLINE else ""
        return (json.dumps(finite(told), ensure_ascii=False, allow_nan=False, indent=indent) + end).encode()


def finite(told: Any) -> Any:
    """As orjson has it: what is no number of JSON is null."""
    if isinstance(told, dict):
        return {name: finite(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told


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
    """Log entries of one agent, as templates: their bytes, with a `%d` where `seq` goes.

    Building a dict for every line costs forty times as much (measured: 4,000 ns against 90 ns). Everything is bytes:
    as text, one character beyond Latin-1 doubles the size of a whole block.
    """

    def __init__(self, run_id: str, agent_id: str, team_id: str) -> None:
        self._head = _template(
            b'{"v":%d,"type":"%s","run_id":%s,"seq":' % (VERSION, TYPE.encode(), orjson.dumps(run_id)),
            b',"agent_id":%s,"team_id":%s,"event":"%s","data":{"%s":{"timestamp":"' % (
                orjson.dumps(agent_id), orjson.dumps(team_id), ActivityLog.event.encode(), ActivityLog.key.encode(),
            ),
        )  # fmt: skip

    def opening(self, iso: str, level: str) -> bytes:
        """What stands before the message. iso: the entry's own time."""
        return b'%s%s","level":"%s","message":"' % (self._head, iso.encode(), level.encode())

    def entry(self, log: ActivityLog, timestamp: float) -> bytes:
        """One entry, whatever its level: with its seq, the same bytes as `encode` of its event."""
        message = orjson.dumps(log.message)[1:-1].replace(b"%", b"%%")
        closing = _closing(log.stream, timestamp, log.source, log.truncated)
        return self.opening(log.timestamp, log.level) + message + closing


class LogBlock:
    """The lines of one block as templates of entries that say the same but for their message, level and source.

    data: lines of valid UTF-8 as the framer gives them, each with its LF. timestamp: Unix seconds; iso: the same.
    """

    def __init__(self, lines: LogLines, data: bytes, stream: str, timestamp: float, iso: str) -> None:
        self._lines, self._stream, self._timestamp, self._iso = lines, stream, timestamp, iso
        self._data = data
        # by bytes: to encode it as one string of JSON takes twice as long, as that is decoded and encoded again
        self._escapes = [pair for pair in _ESCAPES if pair[0] in data]
        self._openings: dict[str, bytes] = {}
        self._closings: dict[str, bytes] = {}
        self._opening, self._closing = self._around("info", "orchestrator")
        self._between = self._closing + self._opening

    def info(self, begin: int, end: int) -> tuple[int, tuple[bytes, ...]]:
        """The lines from `begin` to `end`, of level info and of the orchestrator's own: how many, and their template
        in parts."""
        text = self._escaped(begin, end)
        entries = text.replace(b"\n", self._between)
        count = 1 + (len(entries) - len(text)) // (len(self._between) - 1)  # to count bytes is slower by far
        return count, (self._opening, entries, self._closing)

    def line(self, begin: int, end: int, level: str, iso: str | None, source: str) -> tuple[bytes, ...]:
        """The one line from `begin` to `end`: its template in parts. iso: its own time, if not the block's."""
        opening, closing = self._around(level, source)
        if iso is not None:
            opening = self._lines.opening(iso, level)
        return opening, self._escaped(begin, end), closing

    def _around(self, level: str, source: str) -> tuple[bytes, bytes]:
        opening, closing = self._openings.get(level), self._closings.get(source)
        if opening is None:
            opening = self._openings[level] = self._lines.opening(self._iso, level)
        if closing is None:
            closing = self._closings[source] = _closing(self._stream, self._timestamp, source)
        return opening, closing

    def _escaped(self, begin: int, end: int) -> bytes:
        text = self._data[begin : end - 1]
        for plain, escaped in self._escapes:
            text = text.replace(plain, escaped)
        return text


def _closing(stream: str, timestamp: float, source: str, truncated: bool | None = None) -> bytes:
    """What stands behind the message of a log entry."""
    cut = b"" if truncated is None else b',"truncated":true' if truncated else b',"truncated":false'
    return b'","source":"%s","stream":"%s"%s}},"timestamp":%s}\n' % (
        source.encode(), stream.encode(), cut, orjson.dumps(timestamp),
    )  # fmt: skip


def _template(*around: bytes) -> bytes:
    """A template of these bytes with a number between them."""
    return b"%d".join(part.replace(b"%", b"%%") for part in around)
