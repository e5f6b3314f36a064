"""Sampler: what the child's whole process tree uses.

One psutil.Process is kept per pid (a new one each time reads 0 % CPU). CPU time of processes that came and went
between two samples is what the kernel added to their parents (wait4(2), cutime in proc(5)); a pid once seen stays in
the sums, and no delta is ever below zero.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from agentmon.events import ProcessMetrics, Tree

MIB = 1 << 20
_PSS_EVERY_S = 10.0
_PSS_BUDGET_S = 0.02


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment. Times are seconds since its start, of itself (own) and of the children that it has
    waited for (reaped); rss is bytes; read and written are bytes, None where the kernel does not tell."""

    ppid: int
    own: float
    reaped: float
    rss: int
    threads: int
    status: str
    read: int | None
    written: int | None


class ProcessReader(Protocol):
    """Where readings come from; raises ProcessLookupError for a process that is gone."""

    def read(self, pid: int) -> Reading: ...

    def children(self, pid: int) -> Iterable[int]: ...

    def pss(self, pid: int) -> int | None: ...

    def age(self, pid: int) -> float: ...


class Sampler:
    """Samples the tree below `root`. reader: what opens a ProcessReader; clock: monotonic seconds."""

    def __init__(self, root: int, reader: Callable[[], ProcessReader], clock: Callable[[], float]) -> None:
        self._root, self._open, self._clock = root, reader, clock
        self._opened: ProcessReader | None = None
        self._last: dict[int, Reading] = {}
        self._ratio: dict[int, float] = {}
        self._pss_at: dict[int, float] = {}
        self._sampled_at: float | None = None
        self._cpu = 0.0
        self._read = self._written = 0
        self._io_known = False
        self._root_peak: float | None = None  # MiB

    @property
    def _reader(self) -> ProcessReader:
        """Opened with the first sample: a run that is over before needs none."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    @property
    def cpu_time(self) -> float:
        """Seconds of CPU that the tree has used, as far as was seen."""
        return self._cpu

    def sample(self) -> ProcessMetrics | None:
        """The tree now; None when its root is gone."""
        now = self._clock()
        readings = self._walk()
        root = readings.get(self._root)
        if root is None:
            return None
        used = self._used(readings)
        before = self._last.get(self._root)
        elapsed = self._reader.age(self._root) if self._sampled_at is None else now - self._sampled_at
        root_used = max(0.0, root.own - (before.own if before else 0.0))
        self._cpu += used
        self._count_io(readings)
        self._last, self._sampled_at = readings, now
        memory = self._memory(readings, now)
        self._root_peak = max(self._root_peak or 0.0, round(root.rss / MIB, 3))
        return ProcessMetrics(
            self._root, _percent(root_used, elapsed), round(root.rss / MIB, 3), root.threads, root.status,
            Tree(
                len(readings), _percent(used, elapsed), round(self._cpu, 3), round(memory / MIB, 3),
                sum(r.threads for r in readings.values()),
                self._read if self._io_known else None, self._written if self._io_known else None,
            ),
        )  # fmt: skip

    def final(self, cpu_time: float | None, peak_mb: float | None) -> ProcessMetrics:
        """The last sample, when all is over: cpu_time (seconds) and peak_mb are what wait4(2) told."""
        now = self._clock()
        elapsed = now - self._sampled_at if self._sampled_at is not None else 0.0
        used = max(0.0, cpu_time - self._cpu) if cpu_time is not None else 0.0
        if cpu_time is not None:
            self._cpu = max(self._cpu, cpu_time)
        percent = _percent(used, elapsed) if cpu_time is not None else None
        seen = self._sampled_at is not None or cpu_time is not None
        return ProcessMetrics(
            self._root, percent, peak_mb if peak_mb is not None else self._root_peak, None, "dead",
            Tree(0, percent, round(self._cpu, 3) if seen else None, None, None,
                 self._read if self._io_known else None, self._written if self._io_known else None),
        )  # fmt: skip

    def _walk(self) -> dict[int, Reading]:
        """The tree from its root, and those once seen whose parents have gone."""
        readings: dict[int, Reading] = {}
        todo = [self._root, *self._last]
        while todo:
            pid = todo.pop()
            if pid in readings:
                continue
            try:
                reading = self._reader.read(pid)
            except ProcessLookupError:
                continue
            before = self._last.get(pid)
            if before is not None and reading.own < before.own:  # the pid is another process now
                continue
            readings[pid] = reading
            todo.extend(self._reader.children(pid))
        return readings

    def _used(self, now: dict[int, Reading]) -> float:
        """CPU seconds since the last sample."""
        last = self._last
        used = 0.0
        counted: dict[int, float] = {}  # per living ancestor: what of its ended descendants was counted before
        for pid, old in last.items():
            if pid not in now:
                ancestor, passed = old.ppid, {pid}
                while (
                    ancestor not in now and ancestor in last and ancestor not in passed
                ):  # reused pids can make a ring
                    passed.add(ancestor)
                    ancestor = last[ancestor].ppid
                counted[ancestor] = counted.get(ancestor, 0.0) + old.own + old.reaped
        for pid, reading in now.items():
            old_own, old_reaped = (last[pid].own, last[pid].reaped) if pid in last else (0.0, 0.0)
            used += max(0.0, reading.own - old_own)
            used += max(0.0, reading.reaped - old_reaped - counted.get(pid, 0.0))
        return used

    def _count_io(self, now: dict[int, Reading]) -> None:
        for pid, reading in now.items():
            if reading.read is None or reading.written is None:
                continue
            self._io_known = True
            old = self._last.get(pid)
            self._read += max(0, reading.read - ((old.read or 0) if old else 0))
            self._written += max(0, reading.written - ((old.written or 0) if old else 0))

    def _memory(self, now: dict[int, Reading], at: float) -> float:
        """Proportional where it is known: read every ten seconds and within a budget, between as a share of rss."""
        begun = self._clock()
        for pid in sorted(now, key=lambda p: self._pss_at.get(p, -_PSS_EVERY_S)):
            if at - self._pss_at.get(pid, -_PSS_EVERY_S) < _PSS_EVERY_S or self._clock() - begun > _PSS_BUDGET_S:
                break
            self._pss_at[pid] = at
            pss, rss = self._reader.pss(pid), now[pid].rss
            self._ratio[pid] = min(1.0, pss / rss) if pss is not None and rss else 1.0
        for gone in self._pss_at.keys() - now.keys():
            del self._pss_at[gone]
            self._ratio.pop(gone, None)
        return sum(reading.rss * self._ratio.get(pid, 1.0) for pid, reading in now.items())


def _percent(used: float, elapsed: float) -> float | None:
    return round(100 * used / elapsed, 1) if elapsed > 0 else None
