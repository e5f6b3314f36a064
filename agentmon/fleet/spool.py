"""Spool: the run logs of this machine as what is to be shipped, from where each was shipped to.

Nothing is copied: the run logs themselves are the spool, and the cursor says how far they were taken.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

import orjson

from agentmon import checked, ndjson, runs
from agentmon.errors import AgentmonError
from agentmon.events import VERSION
from agentmon.fleet.cursor import Cursor, Shipped
from agentmon.fleet.outlet import Place, Record

Say = Callable[[str], None]
Address = tuple[str, int, str, str, str]  # run id, seq, team, agent, kind

_BLOCK = 256 << 10
_LONGEST = 8 << 20  # a line beyond this is no event
_BATCH = 4000
_BATCH_BYTES = 2 << 20
_FEW = 50
_FIRST = 4096
_OPEN = 256  # logs kept open: they can be read to their end even if they are removed
_MEASURE_S = 0.1
_LOOK_S = 0.25  # how often the folder is looked at
_LOOK_ALL_S = 10.0
_AWAKE_S = 900.0  # a log that has not grown for so long is looked at every 10 s only
_SETTLED_S = 2.0
_NAMED = 10
_ENTRY = b'"event":"log_entry"'


@dataclass(slots=True)
class _Log:
    """A run log. read: how far it was read; ahead of `shipped` while something is on its way.

    size: when last looked at. grown: when it last grew (monotonic).
    """

    name: str
    path: str
    shipped: Shipped
    read: Shipped
    size: int = 0
    grown: float = 0.0
    fd: int | None = None
    runs: set[str] = field(default_factory=set)  # in doubt
    arrived: dict[str, Place] = field(default_factory=dict)  # what the far end has beyond `shipped`


@dataclass(slots=True)
class _Part:
    """What was read of one log, up to `end`."""

    log: _Log
    end: Shipped
    bad: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Events of some runs, those of each in order; and how far the logs were read for them."""

    records: list[Record] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)


class Spool:
    """All run logs. A log that is gone before it was shipped is counted, and said."""

    def __init__(self, cursor: Cursor, say: Say) -> None:
        self._cursor, self._say = cursor, say
        self._logs: dict[str, _Log] = {}
        self._awake: dict[str, _Log] = {}
        self._turn: list[str] = []  # logs that wait for their turn
        self._open = 0
        self._folder_seen = 0
        self._look_at = self._look_all_at = self._measure_at = 0.0
        self._newer: set[str] = set()  # logs of which something was said once
        self._broken: set[str] = set()
        self.shipped = 0  # events
        self.bad = 0  # lines that are no events
        self.lost = 0  # logs that went before they were shipped
        self.lost_bytes = 0
        self.restart()

    def restart(self) -> None:
        """Begin where the cursor stands."""
        before, self._logs, self._awake, self._turn = self._logs, {}, {}, []
        for name, shipped in self._cursor.logs.items():
            log = self._logs[name] = _Log(name, runs.log_path(name), shipped, shipped, shipped.size)
            if name in before:
                log.fd = before[name].fd
        self._look(all_of_them=True)
        for log in self._awake.values():
            self._measure(log, time.monotonic())

    @property
    def waiting_bytes(self) -> int:
        """What is still to be shipped."""
        return sum(max(0, log.size - log.shipped.offset) for log in self._logs.values())

    def sizes(self) -> dict[str, int]:
        """How long the logs are now."""
        return {name: log.size for name, log in self._logs.items()}

    def left_of(self, sizes: Mapping[str, int]) -> int:
        """How many bytes are not shipped of what the logs were once."""
        logs = ((self._logs.get(name), size) for name, size in sizes.items())
        return sum(max(0, size - log.shipped.offset) for log, size in logs if log is not None)

    def doubtful(self) -> dict[str, str]:
        """The runs that have more than was shipped, each with its team."""
        behind = [log for log in self._logs.values() if log.size > log.shipped.offset]
        limit = _BATCH_BYTES if len(behind) <= _FEW else _FIRST  # a log is one run's, so its first line tells enough
        found: dict[str, str] = {}
        for log in behind:
            log.arrived = {}
            records: list[Record] = []
            self._read(log, limit, records)
            log.runs = {record.run_id for record in records}
            found.update((record.run_id, record.team_id) for record in records)
        return found

    def arrived(self, places: Mapping[str, Place]) -> None:
        """Pass over what is at the far end already."""
        for log in self._logs.values():
            log.arrived = {run: places[run] for run in log.runs if run in places}
            log.runs = set()

    @property
    def passing(self) -> bool:
        """Whether there is still something to be passed over: the mark it was found after must be kept so long."""
        nowhere = (-1, -1)
        return any(
            log.shipped.offset < log.size
            and any(place > log.shipped.places.get(run, nowhere) for run, place in log.arrived.items())
            for log in self._logs.values()
            if log.arrived
        )

    def next(self) -> Batch | None:
        """Events that have come, from all logs in turn; None where there are none. Where one that was given is not
        `done`, `back` gives it again."""
        now = time.monotonic()
        self.look()
        batch = Batch()
        if not self._turn or now >= self._measure_at:
            self._measure_at = now + _MEASURE_S
            more = [log for log in [*self._awake.values()] if self._has_more(log, now)]
            more.sort(key=lambda log: log.read.offset - log.size)  # what little is new goes before what is old
            self._turn = [log.name for log in more]
        size = 0
        while self._turn and size < _BATCH_BYTES and len(batch.records) < _BATCH:
            log = self._awake.get(self._turn.pop())
            if log is None:
                continue
            part = self._read(log, _BLOCK, batch.records)
            if part is not None:
                batch.parts.append(part)
                size += part.end.offset - log.read.offset
                log.read = part.end
        return batch if batch.parts else None

    def look(self) -> None:
        """See which logs there are, if that is due."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look(all_of_them=now >= self._look_all_at)

    def done(self, batch: Batch) -> None:
        """All of these were acknowledged."""
        self.shipped += len(batch.records)
        for part in batch.parts:
            log = part.log
            for number, why in part.bad:
                self.bad += 1
                if self.bad <= _NAMED:
                    self._say(f"{log.path}:{number}: {why}")
            log.shipped = part.end
            log.shipped.size = log.size = max(log.size, part.end.offset)
            self._cursor.logs[log.name] = log.shipped

    def hold(self) -> None:
        """Open what is to be shipped: where that takes long, logs are removed meanwhile."""
        for log in self._awake.values():
            if log.size > log.shipped.offset:
                self._fd(log)

    def back(self) -> None:
        """What was given and is not done is to come again."""
        for log in self._logs.values():
            log.read = log.shipped
        self._turn = []

    def close(self) -> None:
        """Let the files go."""
        for log in self._logs.values():
            self._shut(log)

    # ------------------------------------------------------------------ the folder

    def _look(self, all_of_them: bool) -> None:
        """Find new logs, and those that went."""
        now = time.monotonic()
        try:
            folder = runs.runs_dir()
            seen = os.stat(folder).st_mtime_ns
        except (OSError, AgentmonError):
            folder, seen = "", 0
        if not all_of_them and seen == self._folder_seen:
            return
        if all_of_them:
            self._look_all_at = now + _LOOK_ALL_S
        # the times of files are coarse: what changes in this moment must be seen the next time
        self._folder_seen = seen if time.time_ns() - seen > 2e9 else 0
        there = set()
        if folder:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name, suffix = os.path.splitext(entry.name)
                    if suffix != runs.SUFFIX:
                        continue
                    there.add(name)
                    if name not in self._logs and entry.is_file():
                        none = self._cursor.logs[name] = Shipped()
                        self._logs[name] = _Log(name, entry.path, none, none, grown=now)
                        self._awake[name] = self._logs[name]
        for name, log in [*self._logs.items()]:
            if name not in there and log.fd is None:
                self._gone(log)
            elif all_of_them and name not in self._awake:
                size = self._measure(log, now)
                if size and size != log.shipped.offset:
                    self._awake[name] = log
        if all_of_them:
            for name, log in [*self._awake.items()]:
                if log.size <= log.shipped.offset and now - log.grown > _AWAKE_S:
                    del self._awake[name]
                    self._shut(log)

    def _gone(self, log: _Log) -> None:
        self._logs.pop(log.name, None)
        self._awake.pop(log.name, None)
        self._cursor.logs.pop(log.name, None)
        self._shut(log)
        missing = max(log.size, log.shipped.size) - log.shipped.offset
        if missing > 0:
            self.lost += 1
            self.lost_bytes += missing
            if self.lost <= _NAMED:
                self._say(f"{log.path}: removed before it was shipped: at least {missing:,} bytes of events are lost")

    def _measure(self, log: _Log, now: float) -> int:
        try:
            seen = os.stat(log.path) if log.fd is None else os.fstat(log.fd)
        except OSError:
            return 0
        if seen.st_size != log.size:
            log.size, log.grown = seen.st_size, now
            log.shipped.size = max(log.size, log.shipped.offset)
        if log.fd is not None and seen.st_nlink == 0 and log.size <= log.shipped.offset and now - log.grown > _AWAKE_S:
            self._gone(log)
        return log.size

    def _has_more(self, log: _Log, now: float) -> bool:
        size = self._measure(log, now)
        if 0 < size < log.shipped.offset:
            self._say(f"{log.path}: is shorter than what was shipped of it; it is read again, without what was shipped")
            known = log.shipped.places
            log.arrived = {**log.arrived, **{run: max(at, log.arrived.get(run, at)) for run, at in known.items()}}
            log.read = log.shipped = self._cursor.logs[log.name] = Shipped()
        return size > log.read.offset

    # ------------------------------------------------------------------ one log

    def _shut(self, log: _Log) -> None:
        if log.fd is not None:
            os.close(log.fd)
            self._open -= 1
            log.fd = None

    def _fd(self, log: _Log) -> int | None:
        """The descriptor of a log that is kept open; None where there are too many already, or the log is gone."""
        if log.fd is None and self._open < _OPEN:
            log.fd = self._open_log(log)
            self._open += log.fd is not None
        return log.fd

    def _open_log(self, log: _Log) -> int | None:
        try:
            return os.open(log.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None

    def _read(self, log: _Log, limit: int, records: list[Record]) -> _Part | None:
        """Whole lines from its offset on, about `limit` bytes; the last of a log that nobody writes any more need not
        have its end."""
        fd = self._fd(log) or self._open_log(log)
        if fd is None:
            return None
        try:
            return self._read_lines(log, fd, limit, records)
        except OSError as error:
            if log.name not in self._broken:
                self._broken.add(log.name)
                self._say(f"{log.path}: {error.strerror}")
            return None
        finally:
            if fd != log.fd:
                os.close(fd)

    def _read_lines(self, log: _Log, fd: int, limit: int, records: list[Record]) -> _Part | None:
        begin = log.read
        data = os.pread(fd, limit, begin.offset)
        end = data.rfind(b"\n") + 1
        while end == 0 and len(data) >= limit and limit < _LONGEST:
            limit *= 4
            data = os.pread(fd, limit, begin.offset)
            end = data.find(b"\n") + 1
        if end == 0 and len(data) >= limit:
            return self._pass_over(log, fd)
        if end == 0:
            if not data or not self._is_settled(log, fd, begin.offset + len(data)):
                return None
            end = len(data)
        lines = data[:end].split(b"\n")
        if not lines[-1]:
            lines.pop()
        places = dict(begin.places)
        part = _Part(log, Shipped(begin.offset + end, begin.lines + len(lines), log.size, places))
        for number, line in enumerate(lines, begin.lines + 1):
            if not line.strip(b"\0 \r\t"):
                continue
            try:
                record = self._record(line, places, log)
            except ndjson.NotAnEvent as error:
                part.bad.append((number, f"not an event: {error}"))
                continue
            places[record.run_id] = record.place
            known = log.arrived.get(record.run_id)
            if known is None or record.place > known:
                records.append(record)
        return part

    def _pass_over(self, log: _Log, fd: int) -> _Part | None:
        """A line that is too long to be an event: on to its end, once that is there."""
        begin = log.read
        offset = begin.offset
        while data := os.pread(fd, _BLOCK, offset):
            if (found := data.find(b"\n")) >= 0:
                end = offset + found + 1
                part = _Part(log, Shipped(end, begin.lines + 1, log.size, begin.places))
                part.bad.append((begin.lines + 1, f"not an event: a line of {end - begin.offset:,} bytes"))
                return part
            offset += len(data)
        return None

    def _is_settled(self, log: _Log, fd: int, end: int) -> bool:
        """Whether the line without an end at the end of a log will stay so."""
        seen = os.fstat(fd)
        quiet = not 0 <= time.time() - seen.st_mtime < _SETTLED_S
        return quiet and seen.st_size == end and not runs.is_written(Path(log.path))

    def _record(self, line: bytes, places: Mapping[str, Place], log: _Log) -> Record:
        try:
            run_id, seq, team, agent, kind = _of_entry(line) or _of_event(line)
        except ndjson.NotAnEvent:
            run_id, seq, team, agent, kind = _of_newer(line)
            if log.name not in self._newer:
                self._newer.add(log.name)
                if len(self._newer) <= _NAMED:
                    self._say(f"{log.path}: has events of a newer version; they are shipped as they are")
        if seq < 0:
            raise ndjson.NotAnEvent("seq is negative")
        turn, last = places.get(run_id, (0, -1))
        return Record(run_id, turn + (seq <= last), seq, team, agent, kind, line)


def _of_entry(line: bytes) -> Address | None:
    """What the envelope of a log entry tells, which most events are; held against the types as `checked` does, in a
    third of the time. None for anything else."""
    if _ENTRY not in line:
        return None
    try:
        raw = orjson.loads(line)
        told = raw["data"]["activity_log"]
        texts = (
            raw["run_id"], raw["team_id"], raw["agent_id"], raw["event"],
            told["timestamp"], told["level"], told["message"], told["source"], told["stream"],
        )  # fmt: skip
        if {*map(type, texts)} != {str} or type(raw["seq"]) is not int or type(raw["timestamp"]) not in (int, float):
            return None
        if type(told.get("truncated")) not in (bool, NoneType):
            return None
        return texts[0], raw["seq"], texts[1], texts[2], texts[3]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _of_event(line: bytes) -> Address:
    event = checked.decode(line)
    return event.run_id, event.seq, event.team_id, event.agent_id, event.payload.event


def _of_newer(line: bytes) -> Address:
    """What the envelope tells of an event of a version to come. Raises NotAnEvent."""
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ndjson.NotAnEvent(str(error)) from None
    if not isinstance(raw, dict) or type(raw.get("v")) is not int or raw["v"] <= VERSION:
        checked.decode(line)  # says what is wrong with it
        raise ndjson.NotAnEvent("not a JSON object")
    run_id, seq, team, agent, kind = (raw.get(key) for key in ("run_id", "seq", "team_id", "agent_id", "event"))
    if not (type(run_id) is type(team) is type(agent) is type(kind) is str and type(seq) is int):
        raise ndjson.NotAnEvent("run_id, seq, team_id, agent_id or event is not what it should be")
    return run_id, seq, team, agent, kind
