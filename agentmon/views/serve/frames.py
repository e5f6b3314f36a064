"""Frames: the messages of the WebSocket as bytes, each encoded once for all clients."""

from typing import Any

import orjson

from agentmon import ndjson
from agentmon.events import VERSION, ActivityLog
from agentmon.ndjson import TYPE
from agentmon.views.serve.changes import Taken

_LONGEST_ENTRY = 32 << 10  # bytes of a line; ours are below 28 KiB
_MESSAGE_KEPT = 4096

Who = tuple[str, str, str]  # run_id, team_id, agent_id


def sound(line: bytes, who: Who) -> bytes | None:
    """The line of a log entry, fit to stand in a message: JSON, of this run and team, of a bounded length."""
    try:
        raw = orjson.loads(line)
        if (raw["run_id"], raw["team_id"]) != who[:2]:
            return None
        if len(line) <= _LONGEST_ENTRY:
            return line
        event = ndjson.decode(line)
        if not isinstance(event.payload, ActivityLog):
            return None
        raw["data"] = {"activity_log": ndjson.payload_dict(event.payload)}
        raw["data"]["activity_log"] |= {"message": event.payload.message[:_MESSAGE_KEPT], "truncated": True}
        return orjson.dumps(raw)
    except (ValueError, KeyError, TypeError):
        return None


def changed(
    taken: Taken, who: Who, status: str, usage: bytes, seq: int, stream: str, now: float, beside: bool
) -> bytes:
    """One frame of changes. usage: the sums so far as JSON. beside: something changed that its events do not tell.

    now: Unix seconds.
    """
    logs = {number: sound(line, who) for number, line in taken.logs}
    lines = [
        line for number, given in sorted([*taken.lines, *taken.logs])
        if (line := logs.get(number, given)) is not None
    ]  # fmt: skip
    if len(lines) == 1 and not beside and not taken.omitted:
        raw = orjson.loads(lines[0])
        if raw["agent_id"] == who[2]:
            return orjson.dumps(raw | {"seq": seq, "stream": stream})
    run_id, team_id, agent_id = (orjson.dumps(name) for name in who)
    return (
        b'{"v":%d,"type":"%s","run_id":%s,"agent_id":%s,"team_id":%s,"event":"batch","data":{"events":['
        % (VERSION, TYPE.encode(), run_id, agent_id, team_id)
        + b",".join(lines)
        + b'],"omitted_logs":%d,"status":"%s","token_usage":%s},"timestamp":%s,"seq":%d,"stream":"%s"}'
        % (taken.omitted, status.encode(), usage, orjson.dumps(now), seq, stream.encode())
    )


def snapshot(telemetry: dict[str, Any], seq: int, stream: str, now: float) -> bytes:
    """All that is known of an agent."""
    return ndjson.dumps({
        "v": VERSION, "type": TYPE, "run_id": telemetry["run_id"], "agent_id": telemetry["agent_id"],
        "team_id": telemetry["team_id"], "event": "snapshot", "data": {"agent_telemetry": telemetry},
        "timestamp": now, "seq": seq, "stream": stream,
    })  # fmt: skip


def removed(who: Who, seq: int, stream: str) -> bytes:
    """An agent has left the live board."""
    run_id, team_id, agent_id = who
    return orjson.dumps({
        "type": "removed", "run_id": run_id, "agent_id": agent_id, "team_id": team_id, "seq": seq, "stream": stream,
    })  # fmt: skip


def head(length: int) -> bytes:
    """The header of a WebSocket text message of one frame, unmasked as a server's are (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
