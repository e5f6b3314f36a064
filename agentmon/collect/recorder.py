"""Recorder: gives findings their place in the stream, and their bytes."""

from collections.abc import Iterable, Iterator

from agentmon import ndjson
from agentmon.collect.plain import Plain, iso
from agentmon.events import ActivityLog, Event, Finding, Gap, Payload
from agentmon.piece import Piece

_AGENTS_KEPT = 64


class Recorder:
    """The one owner of `seq`. What a parser found without naming an agent belongs to the run's own."""

    def __init__(self, run_id: str, agent_id: str, team_id: str, first_seq: int = 1) -> None:
        self.run_id, self.agent_id, self.team_id = run_id, agent_id, team_id
        self._next = first_seq
        self._lines_of: dict[str, ndjson.LogLines] = {}

    @property
    def last_seq(self) -> int:
        """The seq of the newest event, 0 before the first."""
        return self._next - 1

    def record(self, items: Iterable[Plain | Finding], time: float) -> Iterator[Piece]:
        """Pieces of what a pipeline gave for bytes read at `time` (Unix seconds). Neighbouring log entries are one."""
        held: list[bytes] = []
        first = self._next
        for item in items:
            if isinstance(item, Plain):
                data, count = self._lines(item.agent or self.agent_id).encode(
                    item.data, self._next, item.stream, item.time, iso(item.time)
                )
                held.append(data)
                self._next += count
                continue
            at = time if item.time is None else item.time
            if isinstance(item.payload, ActivityLog):
                held.append(self._lines(item.agent or self.agent_id).entry(item.payload, self._next, at))
                self._next += 1
                continue
            if held:
                yield Piece(b"".join(held), first, self._next - first, True)
                held = []
            yield self.event(item.payload, at, item.agent)
            first = self._next
        if held:
            yield Piece(b"".join(held), first, self._next - first, True)

    def _lines(self, agent: str) -> ndjson.LogLines:
        lines = self._lines_of.get(agent)
        if lines is None:
            if len(self._lines_of) >= _AGENTS_KEPT:
                self._lines_of.clear()
            lines = self._lines_of[agent] = ndjson.LogLines(self.run_id, agent, self.team_id)
        return lines

    def gap(self, first_seq: int, events: int, size: int, reason: str, sink: str, time: float) -> bytes:
        """A sink's own gap: it stands for the events that this sink did not take, from `first_seq` on."""
        payload = Gap(lost_bytes=size, lost_events=events, reason=reason, sink=sink)
        return ndjson.encode(Event(self.run_id, first_seq, self.agent_id, self.team_id, payload, time))

    def event(self, payload: Payload, time: float, agent: str | None = None) -> Piece:
        """The piece of one event."""
        event = Event(self.run_id, self._next, agent or self.agent_id, self.team_id, payload, time)
        self._next += 1
        logs = isinstance(payload, ActivityLog)
        return Piece(ndjson.encode(event), event.seq, 1, logs, None if logs else event)
