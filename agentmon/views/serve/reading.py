"""Reading: one run's log, read as far as it goes: its fold, its series, and the outline of its blocks."""

import os
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import orjson

from agentmon import checked, ndjson, runs
from agentmon.events import Alert, Event, Gap
from agentmon.telemetry import LOGS_KEPT, RunTelemetry
from agentmon.views.serve.live import LiveRun
from agentmon.views.serve.outline import Outline, Skimmer, read_block
from agentmon.views.serve.series import Series

MOMENTS_KEPT = 1_000
_OWN_SIZE = 40_000  # bytes of memory, about, besides what is counted
_LOG_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """An alert or a gap: when, and whose."""

    time: float
    agent_id: str
    what: Alert | Gap


class LogFeed:
    """A run log, a block at a time, without the log entries that a fold would only count."""

    def __init__(self, path: str, run: str | None) -> None:
        """run: the one to read, of a file that may hold several. Raises OSError."""
        self.name = path
        self.rest = b""
        self._run = None if run is None else b'"run_id":%s,' % orjson.dumps(run)
        self._skimmer = Skimmer()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    @property
    def outline(self) -> Outline:
        """Of what was read."""
        return self._skimmer.outline

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    def poll(self) -> list[bytes]:
        """The next block."""
        at = self.outline.end
        data, end = read_block(self._fd, at)
        return self._of_run(self._skimmer.take(data, end - at)) if data else []

    def last(self) -> list[bytes]:
        """A last line without its end, which is a whole event."""
        at = self.outline.end
        rest = os.pread(self._fd, max(0, self.size - at), at)
        if not rest or b"\n" in rest or not _is_event(rest):
            return []
        return self._of_run(self._skimmer.take(rest + b"\n", len(rest)))

    def _of_run(self, lines: list[bytes]) -> list[bytes]:
        """Those of the run; where there are none a blank one, which is no event: there may be more."""
        if self._run is None:
            return lines
        return [line for line in lines if self._run in line] or [b""]

    def over(self, closed: bool) -> bool:
        """Never: a log that grows once more is read on."""
        return False

    def is_current(self) -> bool:
        """Whether it is still the file of that name, and what was read of it is still there."""
        try:
            ours, there = os.fstat(self._fd), os.stat(self.name)
        except OSError:  # it is gone, or was let go of in this moment
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_size >= self.outline.end

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Reading(LiveRun):
    """A run watched by its log. Plain log entries are not counted in its `log_levels`: the index knows these."""

    def __init__(self, path: str, run: str | None = None) -> None:
        """run: the one to read, of a file that may hold several. Raises OSError."""
        self.feed = LogFeed(path, run)
        super().__init__(self.feed, lambda _: None)
        self.series = Series()
        self.moments: list[Moment] = []
        self.stopped = False  # nobody wants to know any more
        self._folded = self._fold.state

    @property
    def state(self) -> RunTelemetry:
        """The run so far. Its last log entries are decoded only when all is read: asking the fold costs that."""
        return self._folded

    @property
    def path(self) -> str:
        """Where the log lies."""
        return self.feed.name

    @property
    def outline(self) -> Outline:
        """The blocks that were read."""
        return self.feed.outline

    @property
    def progress(self) -> float:
        """How much of the log was read, from 0 to 1."""
        return min(1.0, self.outline.end / max(1, self.feed.size))

    def read_on(self) -> None:
        """Read what there is. It takes a second for a million events: not for the event loop."""
        written = runs.is_written(Path(self.path))  # before it is read: the closing event comes before the lock goes
        before = self.version
        self.over_at = None
        self._sums_after = inf  # once is enough
        while not self.stopped and self.poll():
            pass
        if not written:
            if last := self.feed.last():
                self._fold.take(last)
                self.version += 1
            self.over_at = time.monotonic()
        if self.version != before:
            _ = self._fold.state  # decodes the last log entries
            self.series.look(self.state)
            self._sums_after = 0.0
            self._sum_up()

    def size(self) -> int:
        """About as many bytes of memory."""
        return _OWN_SIZE + self.series.size() + _LOG_SIZE * LOGS_KEPT * len(self.state.agents)

    def _see(self, event: Event) -> None:
        super()._see(event)
        self.series.take(event, self._folded)
        payload = event.payload
        if isinstance(payload, Alert | Gap) and len(self.moments) < MOMENTS_KEPT:
            self.moments.append(Moment(event.timestamp, event.agent_id, payload))


def _is_event(line: bytes) -> bool:
    try:
        checked.decode(line)
    except ndjson.NotAnEvent:
        return False
    return True
