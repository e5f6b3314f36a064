"""Recorder: gives findings their place in the stream, and their bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentmon import ndjson
from agentmon.collect.pipeline import Plain, iso
from agentmon.events import ActivityLog, Event, Finding, Payload

_AGENTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive events as they go to every sink: `count` lines, the first has `first_seq`.

    logs: all of them are log entries, the first to go where room is short. event: the event itself, if it is one
    and no log entry.
    """

    data: bytes
    first_seq: int
    count: int
    logs: bool
    event: Event | None = None


class Recorder:
    """The one owner of `seq`. What a parser found without naming an agent belongs to the run's own."""

    def __init__(self, run_id: str, agent_id: str, team_id: str, first_seq: int = 1) -> None:
        self.run_id, self.agent_id, self.team_id = run_id, agent_id, team_id
        self._next = first_seq
        self._lines: dict[str, ndjson.LogLines] = {}

    def record(self, items: Iterable[Plain | Finding], time: float) -> Iterator[Piece]:
        """Pieces of what a pipeline gave for bytes read at `time` (Unix seconds)."""
        for item in items:
            if isinstance(item, Plain):
                data, count = self._log_lines(item.agent or self.agent_id).encode(
                    item.data, self._next, item.stream, item.time, iso(item.time)
                )
                piece = Piece(data, self._next, count, True)
                self._next += count
                yield piece
            else:
                yield self.event(item.payload, time, item.agent)

    def _log_lines(self, agent: str) -> ndjson.LogLines:
        lines = self._lines.get(agent)
        if lines is None:
            if len(self._lines) >= _AGENTS_KEPT:
                self._lines.clear()
            lines = self._lines[agent] = ndjson.LogLines(self.run_id, agent, self.team_id)
        return lines

    def event(self, payload: Payload, time: float, agent: str | None = None) -> Piece:
        """The piece of one event."""
        event = Event(self.run_id, self._next, agent or self.agent_id, self.team_id, payload, time)
        self._next += 1
        logs = isinstance(payload, ActivityLog)
        return Piece(ndjson.encode(event), event.seq, 1, logs, None if logs else event)
