"""Recorder: gives findings their place in the stream, and their bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from agentmon import ndjson
from agentmon.collect.plain import Plain, iso
from agentmon.events import ActivityLog, Event, Finding, Gap, Payload, TokenUsage
from agentmon.piece import Piece

_AGENTS_KEPT = 64
_CUT = 8 << 10  # bytes of lines that become entries at once
_ENOUGH = 2048  # entries of a piece

Price = Callable[[Finding, float], Finding]


class Recorder:
    """The one owner of `seq`. What a parser found without naming an agent belongs to the run's own.

    price: gives a finding its cost, asked of every usage.
    """

    def __init__(self, run_id: str, agent_id: str, team_id: str, price: Price | None = None) -> None:
        self.run_id, self.agent_id, self.team_id = run_id, agent_id, team_id
        self._price = price
        self._next = self._first = 1
        self._held: list[bytes] = []  # parts of one template: log entries from _first on, that are to be one piece
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
        data = plain.data
        block = ndjson.LogBlock(
            self._lines(plain.agent or self.agent_id), data, plain.stream, plain.time, iso(plain.time)
        )
        done = 0
        for begin, end, level, own, source, found in plain.changed:
            yield from self._info(block, data, done, begin)
            if level is not None:
                self._hold(1, block.line(begin, end, level, None if own is None else iso(own), source))
            if found:
                yield from self._found(found, time)
            done = end
        yield from self._info(block, data, done, len(data))

    def _info(self, block: ndjson.LogBlock, data: bytes, begin: int, end: int) -> Iterable[Piece]:
        """Entries of level info, and pieces where they are enough: an empty line becomes 300 bytes."""
        if end - begin > _CUT or self._next - self._first >= _ENOUGH:
            return self._cut(block, data, begin, end)
        if begin < end:
            self._hold(*block.info(begin, end))
        return ()

    def _cut(self, block: ndjson.LogBlock, data: bytes, begin: int, end: int) -> Iterator[Piece]:
        while True:
            if self._next - self._first >= _ENOUGH:
                yield from self._flush()
                self._first = self._next
            if begin == end:
                return
            cut = end
            if end - begin > _CUT:
                cut = (data.rfind(b"\n", begin, begin + _CUT) + 1) or (data.find(b"\n", begin) + 1)
            self._hold(*block.info(begin, cut))
            begin = cut

    def _hold(self, count: int, entries: Iterable[bytes]) -> None:
        self._held += entries
        self._next += count

    def _found(self, found: Iterable[Finding], time: float) -> Iterator[Piece]:
        for item in found:
            at = time if item.time is None else item.time
            if isinstance(item.payload, ActivityLog):
                self._hold(1, (self._lines(item.agent or self.agent_id).entry(item.payload, at),))
                continue
            yield from self._flush()
            if self._price is not None and isinstance(item.payload, TokenUsage):
                item = self._price(item, time)
            yield self.event(item.payload, at, item.agent)
            self._first = self._next

    def _flush(self) -> Sequence[Piece]:
        if not self._held:
            return ()
        data = b"".join(self._held) % tuple(range(self._first, self._next))
        self._held = []
        return (Piece(data, self._first, self._next - self._first, True),)

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

    def snapshot(self, telemetry: dict[str, Any], time: float) -> bytes:
        """The line that a late reader gets first: all events so far, folded."""
        return ndjson.snapshot(self.last_seq, self.run_id, self.agent_id, self.team_id, telemetry, time)

    def event(self, payload: Payload, time: float, agent: str | None = None) -> Piece:
        """The piece of one event."""
        event = Event(self.run_id, self._next, agent or self.agent_id, self.team_id, payload, time)
        self._next += 1
        logs = isinstance(payload, ActivityLog)
        return Piece(ndjson.encode(event), event.seq, 1, logs, None if logs else event)
