"""What every stream must be: whole lines of valid JSON, `seq` without holes except where a gap says how many."""

import json
from typing import Any

from agentmon import ndjson
from agentmon.events import Gap

Record = dict[str, Any]


def check_stream(data: bytes, *, whole: bool = True) -> list[Record]:
    """The events of one run's stream; fails where it breaks the contract.

    whole: it begins with `started` and ends with `stopped` or `error` (a client may join and leave at any time).
    A sink's gap with lost_events = n stands for seq to seq+n-1; every other event for its own seq.
    """
    assert data.endswith(b"\n") or (not data and not whole), f"the last line is cut: {data[-200:]!r}"
    events: list[Record] = []
    expected = 1 if whole else None
    for line in data.split(b"\n")[:-1]:
        event = json.loads(line, parse_constant=_refuse)
        decoded = ndjson.decode(line)
        assert (event["v"], event["type"], list(event["data"])) == (1, "agent_telemetry", [decoded.payload.key]), line
        assert expected in (None, event["seq"]), f"seq {event['seq']} where {expected} was due: {line[:300]!r}"
        lost = decoded.payload.lost_events if isinstance(decoded.payload, Gap) and decoded.payload.sink else None
        assert lost is None or lost > 0, line
        expected = event["seq"] + (lost or 1)
        events.append(event)
    assert len({(e["run_id"], e["team_id"]) for e in events}) <= 1
    if whole:
        states = [state_of(e) for e in events if e["event"] == "lifecycle"]
        assert state_of(events[0]) == "started" or events[0]["event"] == "gap", events[0]
        assert state_of(events[-1]) in ("stopped", "error"), events[-1]
        assert states.count("started") <= 1
        assert sum(state in ("stopped", "error") for state in states) == 1
    return events


def check_file_of_many(data: bytes, *, whole: bool = True) -> dict[str, list[Record]]:
    """A file that several runs wrote: each run's own lines make a stream."""
    runs: dict[str, list[bytes]] = {}
    for line in data.split(b"\n")[:-1]:
        runs.setdefault(json.loads(line)["run_id"], []).append(line)
    assert data.endswith(b"\n")
    return {run: check_stream(b"\n".join(lines) + b"\n", whole=whole) for run, lines in runs.items()}


def state_of(event: Record) -> str | None:
    """The state of a lifecycle event."""
    return event["data"]["lifecycle"]["state"] if event["event"] == "lifecycle" else None


def only(events: list[Record], kind: str) -> list[Record]:
    """The payloads of one kind of event."""
    return [payload for event in events if event["event"] == kind for payload in event["data"].values()]


def messages(events: list[Record]) -> list[str]:
    """What the log entries say."""
    return [entry["message"] for entry in only(events, "log_entry")]


def lost_events(events: list[Record]) -> int:
    """How many events a sink's gaps stand for."""
    return sum(gap["lost_events"] for gap in only(events, "gap") if gap.get("sink"))


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
