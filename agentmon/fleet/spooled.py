"""One run log of the spool: how far it was read and shipped, and its events from there on."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from agentmon import ndjson, runs
from agentmon.fleet.cursor import Shipped
from agentmon.fleet.envelope import address
from agentmon.fleet.outlet import Place, Record

_BLOCK = 256 << 10
_LONGEST = 8 << 20  # a line beyond this is no event
_SETTLED_S = 2.0


@dataclass(slots=True)
class SpooledLog:
    """A run log. read: how far it was read; ahead of `shipped` while something is on its way.

    size: when last measured. grown: when it last grew (monotonic). fd: where it is kept open, it can be read to its end
    even if it is removed. runs: in doubt, and `arrived` what the far end has of them beyond `shipped`.
    """

    name: str
    path: str
    shipped: Shipped
    read: Shipped
    size: int = 0
    grown: float = 0.0
    fd: int | None = None
    runs: set[str] = field(default_factory=set)
    arrived: dict[str, Place] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Bytes that are not shipped."""
        return max(0, self.size - self.shipped.offset)

    @property
    def passing(self) -> bool:
        """Whether something is still to be passed over, being at the far end already."""
        nowhere = (-1, -1)
        return self.left > 0 and any(at > self.shipped.places.get(run, nowhere) for run, at in self.arrived.items())

    def measure(self, now: float) -> int:
        """Its size; 0 where it is gone."""
        try:
            seen = os.stat(self.path) if self.fd is None else os.fstat(self.fd)
        except OSError:
            return 0
        if seen.st_size != self.size:
            self.size, self.grown = seen.st_size, now
            self.shipped.size = max(self.size, self.shipped.offset)
        return self.size

    def is_left(self, now: float, after: float) -> bool:
        """Whether its file was removed, all of it is shipped, and nobody wrote into it for so long."""
        if self.fd is None or self.left or now - self.grown <= after:
            return False
        return os.fstat(self.fd).st_nlink == 0

    def restart(self) -> None:
        """Read it again from its beginning, without what was shipped."""
        known = self.shipped.places
        self.arrived |= {run: max(at, self.arrived.get(run, at)) for run, at in known.items()}
        self.read = self.shipped = Shipped()

    def open(self) -> int | None:
        """A descriptor to read it; None where it is gone."""
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None

    def take(self, limit: int, records: list[Record]) -> "Part | None":
        """Whole lines from where it was read to, about `limit` bytes; the last of a log that nobody writes any more
        need not have its end. Raises OSError."""
        fd = self.open() if self.fd is None else self.fd
        if fd is None:
            return None
        try:
            return self._lines(fd, limit, records)
        finally:
            if fd != self.fd:
                os.close(fd)

    def _lines(self, fd: int, limit: int, records: list[Record]) -> "Part | None":
        begin = self.read
        data = os.pread(fd, limit, begin.offset)
        end = data.rfind(b"\n") + 1
        while end == 0 and len(data) >= limit and limit < _LONGEST:
            limit *= 4
            data = os.pread(fd, limit, begin.offset)
            end = data.find(b"\n") + 1
        if end == 0 and len(data) >= limit:
            return self._pass_over(fd)
        if end == 0:
            if not data or not self._is_settled(fd, begin.offset + len(data)):
                return None
            end = len(data)
        lines = data[:end].split(b"\n")
        if not lines[-1]:
            lines.pop()
        places = dict(begin.places)
        part = Part(self, Shipped(begin.offset + end, begin.lines + len(lines), self.size, places))
        for number, line in enumerate(lines, begin.lines + 1):
            if not line.strip(b"\0 \r\t"):
                continue
            try:
                run_id, seq, team, agent, event, newer = address(line)
            except ndjson.NotAnEvent as error:
                part.bad.append((number, f"not an event: {error}"))
                continue
            part.newer |= newer
            turn, last = places.get(run_id, (0, -1))
            record = Record(run_id, turn + (seq <= last), seq, team, agent, event, line)
            places[run_id] = record.place
            known = self.arrived.get(run_id)
            if known is None or record.place > known:
                records.append(record)
        return part

    def _pass_over(self, fd: int) -> "Part | None":
        """A line that is too long to be an event: on to its end, once that is there."""
        begin = self.read
        offset = begin.offset
        while data := os.pread(fd, _BLOCK, offset):
            if (found := data.find(b"\n")) >= 0:
                end = offset + found + 1
                part = Part(self, Shipped(end, begin.lines + 1, self.size, begin.places))
                part.bad.append((begin.lines + 1, f"not an event: a line of {end - begin.offset:,} bytes"))
                return part
            offset += len(data)
        return None

    def _is_settled(self, fd: int, end: int) -> bool:
        """Whether the line without an end at the end of a log will stay so."""
        seen = os.fstat(fd)
        quiet = not 0 <= time.time() - seen.st_mtime < _SETTLED_S
        return quiet and seen.st_size == end and not runs.is_written(Path(self.path))


@dataclass(slots=True)
class Part:
    """What was read of one log, up to `end`. bad: lines that are no events, by number, and why."""

    log: SpooledLog
    end: Shipped
    bad: list[tuple[int, str]] = field(default_factory=list)
    newer: bool = False
