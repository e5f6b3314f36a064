"""Recorder: gives findings their place in the stream, and their bytes."""

from collections.abc import Callable, Iterable, Iterator

from agentmon import ndjson
from agentmon.collect.plain import Plain, iso
from agentmon.events import ActivityLog, Event, Finding, Gap, Payload, TokenUsage
from agentmon.piece import Piece

_AGENTS_KEPT = 64

Price = Callable[[Finding, float], Finding]


class Recorder:
    """The one owner of `seq`. What a parser found without naming an agent belongs to the run's own.

    price: gives a finding its cost, asked of every usage.
    """

    def __init__(self, run_id: str, agent_id: str, team_id: str, price: Price | None = None) -> None:
        self.run_id, self.agent_id, self.team_id = run_id, agent_id, team_id
        self._price = price
        self._next = self._first = 1
        self._held: list[bytes] = []  # log entries from _first on, that are to be one piece
        self._lines_of: dict[str, ndjson.LogLines] = {}

    @property
    def last_seq(self) -> int:
        """The seq of the newest event, 0 before the first."""
        return self._next - 1

    def record(self, items: Iterable[Plain | Finding], time: float) -> Iterator[Piece]:
        """Pieces of what a pipeline gave for bytes read at `time` (Unix seconds). Neighbouring log entries are one."""
        self._first = self._next
        for item in items:
            if isinstance(item, Plain):
                yield from self._plain(item, time)
            else:
                yield from self._found((item,), time)
        yield from self._flush()

    def _plain(self, plain: Plain, time: float) -> Iterator[Piece]:
        lines = self._lines(plain.agent or self.agent_id)
        messages = lines.messages(plain.data)
        at, line = self._next, 0
        numbers: list[int] = []
        for number, level, _, found in plain.changed:  # what stands in the place of a line takes as many as it needs
            numbers += range(at, at + number - line + 1)
            at += number - line + len(found) + (level is not None)
            line = number + 1
        numbers += range(at, at + len(messages) - line)
        at += len(messages) - line
        stamp = iso(plain.time)
        parts = lines.parts(messages, numbers, plain.stream, plain.time, stamp)
        done = 0
        for number, level, source, found in plain.changed:
            begin = ndjson.PARTS * number
            if level is not None:
                if level != "info":
                    parts[begin + ndjson.BEFORE] = lines.before(stamp, level)
                if not found:
                    continue
                parts[begin + ndjson.AFTER] = lines.after(plain.stream, plain.time, source)
            self._held += parts[done : begin if level is None else begin + ndjson.PARTS]
            done = begin + ndjson.PARTS
            self._next = numbers[number] + (level is not None)
            yield from self._found(found, time)
        self._held += parts[done:]
        self._next = at

    def _found(self, found: Iterable[Finding], time: float) -> Iterator[Piece]:
        for item in found:
            at = time if item.time is None else item.time
            if isinstance(item.payload, ActivityLog):
                self._held.append(self._lines(item.agent or self.agent_id).entry(item.payload, self._next, at))
                self._next += 1
                continue
            yield from self._flush()
            if self._price is not None and isinstance(item.payload, TokenUsage):
                item = self._price(item, time)
            yield self.event(item.payload, at, item.agent)
            self._first = self._next

    def _flush(self) -> Iterator[Piece]:
        if self._held:
            data = b"".join(self._held)
            self._held = []
            yield Piece(data, self._first, self._next - self._first, True)

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
