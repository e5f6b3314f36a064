"""Processes of this machine, read through psutil."""

import os
import time
from collections.abc import Iterable

import psutil

from agentmon.collect.sampler import Reading


class SystemReader:
    """This machine's processes, through psutil; where Linux lists a process's children, from there."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._listed = os.path.exists(f"/proc/self/task/{os.getpid()}/children")

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
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return ()
        for task in tasks:
            try:
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    found += map(int, file.read().split())
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
            return max(0.0, time.time() - self._process(pid).create_time())
        except psutil.Error:
            return 0.0
