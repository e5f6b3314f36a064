"""Spool: the run logs of this machine as what is to be shipped, from where each was shipped to.

Nothing is copied: the run logs themselves are the spool, and the cursor says how far they were taken.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentmon import runs
from agentmon.errors import AgentmonError
from agentmon.fleet.cursor import Cursor, Shipped
from agentmon.fleet.outlet import Place, Record
from agentmon.fleet.spooled import Part, SpooledLog

Say = Callable[[str], None]

_BLOCK = 256 << 10
_BATCH = 4000
_BATCH_BYTES = 2 << 20
_FEW = 50
_FIRST = 4096
_OPEN = 256  # logs kept open: they can be read to their end even if they are removed
_MEASURE_S = 0.1
_LOOK_S = 0.25  # how often the folder is looked at
_LOOK_ALL_S = 10.0
_AWAKE_S = 900.0  # a log that has not grown for so long is looked at every 10 s only
_LEFT_S = 10.0  # a log that was removed may still be written
_NAMED = 10


@dataclass(slots=True)
class Batch:
    """Events of some runs, those of each in order; and how far the logs were read for them."""

    records: list[Record] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


class Spool:
    """All run logs. A log that is gone before it was shipped is counted, and said."""

    def __init__(self, cursor: Cursor, say: Say) -> None:
        self._cursor, self._say = cursor, say
        self._logs: dict[str, SpooledLog] = {}
        self._awake: dict[str, SpooledLog] = {}
        self._turn: list[str] = []  # logs that wait for their turn
        self._open = 0
        self._folder_seen = 0
        self._look_at = self._look_all_at = self._measure_at = 0.0
        self._said: set[str] = set()  # logs of which something was said that is said once
        self.shipped = 0  # events
        self.bad = 0  # lines that are no events
        self.lost = 0  # logs that went before they were shipped
        self.lost_bytes = 0
        self.restart()

    def restart(self) -> None:
        """Begin where the cursor stands."""
        before, self._logs, self._awake, self._turn = self._logs, {}, {}, []
        for name, shipped in self._cursor.logs.items():
            log = self._logs[name] = SpooledLog(name, runs.log_path(name), shipped, shipped, shipped.size)
            if name in before:
                log.fd = before[name].fd
        self._look(all_of_them=True)
        for log in self._awake.values():
            log.measure(time.monotonic())

    @property
    def waiting_bytes(self) -> int:
        """What is still to be shipped."""
        return sum(log.left for log in self._logs.values())

    def sizes(self) -> dict[str, int]:
        """How long the logs are now."""
        return {name: log.size for name, log in self._logs.items()}

    def left_of(self, sizes: Mapping[str, int]) -> int:
        """How many bytes are not shipped of what the logs were once."""
        logs = ((self._logs.get(name), size) for name, size in sizes.items())
        return sum(max(0, size - log.shipped.offset) for log, size in logs if log is not None)

    def doubtful(self) -> dict[str, str]:
        """The runs that have more than was shipped, each with its team."""
        behind = [log for log in self._logs.values() if log.left]
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
        return any(log.passing for log in self._logs.values() if log.arrived)

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
            if part.newer and log.name not in self._said:
                self._said.add(log.name)
                self._say(f"{log.path}: has events of a newer version; they are shipped as they are")
            log.shipped = part.end
            log.shipped.size = log.size = max(log.size, part.end.offset)
            self._cursor.logs[log.name] = log.shipped

    def hold(self) -> None:
        """Open what is to be shipped: where that takes long, logs are removed meanwhile."""
        for log in self._awake.values():
            if log.left:
                self._hold(log)

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
                        self._logs[name] = SpooledLog(name, entry.path, none, none, grown=now)
                        self._awake[name] = self._logs[name]
        for name, log in [*self._logs.items()]:
            if name not in there and log.fd is None:
                self._gone(log)
            elif all_of_them and name not in self._awake:
                size = log.measure(now)
                if size and size != log.shipped.offset:
                    self._awake[name] = log
        if all_of_them:
            for name, log in [*self._awake.items()]:
                if log.size <= log.shipped.offset and now - log.grown > _AWAKE_S:
                    del self._awake[name]
                    self._shut(log)

    def _gone(self, log: SpooledLog) -> None:
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

    def _has_more(self, log: SpooledLog, now: float) -> bool:
        size = log.measure(now)
        if 0 < size < log.shipped.offset:
            self._say(f"{log.path}: is shorter than what was shipped of it; it is read again, without what was shipped")
            log.restart()
            self._cursor.logs[log.name] = log.shipped
        if log.is_left(now, _LEFT_S):
            self._shut(log)
        return size > log.read.offset

    # ------------------------------------------------------------------ one log

    def _shut(self, log: SpooledLog) -> None:
        if log.fd is not None:
            os.close(log.fd)
            self._open -= 1
            log.fd = None

    def _hold(self, log: SpooledLog) -> None:
        if log.fd is None and self._open < _OPEN:
            log.fd = log.open()
            self._open += log.fd is not None

    def _read(self, log: SpooledLog, limit: int, records: list[Record]) -> Part | None:
        self._hold(log)
        try:
            return log.take(limit, records)
        except OSError as error:
            if log.name not in self._said:
                self._said.add(log.name)
                self._say(f"{log.path}: {error.strerror}")
            return None
