"""Sampler: what the child's whole process tree uses.

One psutil.Process is kept per pid (a new one each time reads 0 % CPU). CPU time of processes that came and went
between two samples is what the kernel added to their parents (wait4(2), cutime in proc(5)); a pid once seen stays in
the sums, and no delta is ever below zero.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

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


class SystemReader:
    """This machine's processes, through psutil; where Linux lists a process's children, from there."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._listed = Path("/proc/self/task").exists() and any(
            (task / "children").exists() for task in Path("/proc/self/task").iterdir()
        )

    def _process(self, pid: int) -> psutil.Process:
        process = self._known.get(pid)
        if process is None:
            process = self._known[pid] = psutil.Process(pid)
        return process

    def read(self, pid: int) -> Reading:
        """A reading; the start time in the key of psutil's Process tells a reused pid from the old one."""
        try:
            process = self._process(pid)
            with process.oneshot():
                times = process.cpu_times()
                read = written = None
                try:
                    io = process.io_counters() if hasattr(process, "io_counters") else None
                    if io is not None:
                        read, written = io.read_bytes, io.write_bytes
                except psutil.AccessDenied:
                    pass
                return Reading(
                    process.ppid(), times.user + times.system,
                    getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0),
                    process.memory_info().rss, process.num_threads(), process.status(), read, written,
                )  # fmt: skip
        except (psutil.Error, FileNotFoundError) as error:
            self._known.pop(pid, None)
            raise ProcessLookupError(pid) from error

    def children(self, pid: int) -> Iterable[int]:
        """Pids of the direct children."""
        if not self._listed:
            try:
                return [child.pid for child in self._process(pid).children()]
            except psutil.Error:
                return ()
        found: list[int] = []
        try:
            with_tasks = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            return ()
        for task in with_tasks:
            try:
                found += map(int, (task / "children").read_bytes().split())
            except OSError:
                continue
        return found

    def pss(self, pid: int) -> int | None:
        """Proportional memory in bytes, None where the kernel does not tell."""
        try:
            return getattr(self._process(pid).memory_full_info(), "pss", None)
        except (psutil.Error, OSError):
            return None

    def age(self, pid: int) -> float:
        """Seconds since the process was started."""
        try:
            import time

            return max(0.0, time.time() - self._process(pid).create_time())
        except psutil.Error:
            return 0.0


class Sampler:
    """Samples the tree below `root`. clock: monotonic seconds."""

    def __init__(self, root: int, reader: ProcessReader, clock: Callable[[], float]) -> None:
        self._root, self._reader, self._clock = root, reader, clock
        self._last: dict[int, Reading] = {}
        self._ratio: dict[int, float] = {}
        self._pss_at: dict[int, float] = {}
        self._sampled_at: float | None = None
        self._cpu = 0.0
        self._read = self._written = 0
        self._io_known = False

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
        if self._sampled_at is None:
            elapsed = self._reader.age(self._root)
        else:
            elapsed = now - self._sampled_at
        root_used = max(0.0, root.own - (before.own if before else 0.0))
        self._cpu += used
        self._count_io(readings)
        self._last, self._sampled_at = readings, now
        memory = self._memory(readings, now)
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
            self._root, percent, peak_mb, None, "dead",
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
                while ancestor not in now and ancestor in last and ancestor not in passed:  # reused pids can make a ring
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
