"""Measuring: what a command and everything that it leaves behind uses."""

import contextlib
import ctypes
import json
import os
import shlex
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_WATCH_S = 0.02
ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Used:
    """What one run used. cpu: user and system seconds of the whole tree; wall: seconds to the command's exit;
    ended: seconds until its last process was gone; peaks: highest resident MB by role (`relay`, `collector`)."""

    cpu: float
    wall: float
    ended: float
    peak: float
    peaks: Mapping[str, float]


@dataclass(frozen=True)
class Fed:
    """What a run of the feeding child showed: cpu (seconds, the child's own left out) and the child's wall seconds."""

    cpu: float
    child_wall: float
    used: Used


def become_subreaper() -> None:
    """Detached processes of what we start become our children once they are orphans (Linux prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Place:
    """A scratch folder, and how agentmon is started in it: through a script like the one that pip writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = folder / "agentmon"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom agentmon.__main__ import main\n"
            "if __name__ == '__main__':\n    sys.exit(main())\n"
        )
        script.chmod(0o755)
        self.agentmon = (str(script),)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AGENTMON_", "PYTHON"))},
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
        }

    def start(self, argv: Sequence[str], stdout: str | int = os.devnull) -> int:
        """Start a command; its pid. stdin is /dev/null, stdout a path or a descriptor, stderr /dev/null."""
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        if isinstance(stdout, int):
            actions.append((os.POSIX_SPAWN_DUP2, stdout, 1))
        else:
            actions.append((os.POSIX_SPAWN_OPEN, 1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        return os.posix_spawnp(argv[0], list(argv), self.environment, file_actions=actions)

    def run(self, argv: Sequence[str], stdout: str | int = os.devnull, *, watch: bool = False) -> Used:
        """Run a command and wait for all that it starts. Raises ChildProcessError where it fails."""
        begun = time.monotonic()
        pid = self.start(argv, stdout)
        watcher = Watcher(pid) if watch else None
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - begun
        cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        with contextlib.suppress(ChildProcessError):
            while True:
                _, _, usage = os.wait4(-1, 0)
                cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
        ended = time.monotonic() - begun
        peaks = watcher.stop() if watcher else {}
        if status:
            raise ChildProcessError(f"{shlex.join(argv)}: exit status {os.waitstatus_to_exitcode(status)}")
        return Used(cpu, wall, ended, peak / 1024, peaks)

    def feed(self, wrap: Callable[[str], Sequence[str]], data: Path, size: int, stdout: str = os.devnull) -> Fed:
        """Run what `wrap` makes of the shell command of a child that writes `data`, `size` bytes with each write."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        child = shlex.join(child_argv("feed", data, report, size))
        used = self.run(wrap(child), stdout, watch=True)
        told = json.loads(report.read_text())
        return Fed(used.cpu - told["cpu"], told["wall"], used)


class Watcher:
    """Looks at the peak memory of the relay (the process started) and the collector (an orphan with a session)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> Mapping[str, float]:
        """The peaks in MB."""
        self._done.set()
        self._thread.join()
        return self._peaks

    def _watch(self) -> None:
        while not self._done.wait(_WATCH_S):
            for role, pid in roles(self._pid).items():
                self._peaks[role] = max(self._peaks.get(role, 0.0), status_mb(pid, "VmHWM"))


def roles(relay: int) -> dict[str, int]:
    """Pids of relay, collector and (without a session of its own) witness, as far as they are there by now."""
    found = {"relay": relay}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for pid in map(int, (task / "children").read_text().split()):
                if pid != relay:
                    with contextlib.suppress(OSError):
                        found["collector" if os.getsid(pid) == pid else "witness"] = pid
    return found


def status_mb(pid: int, field: str) -> float:
    """A memory figure of /proc/PID/status in MB, 0 where the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident MB, and how much of it no other process shares."""
    figures = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        figures[name] = int(value) / 1024
    return figures["Rss:"], figures["Private_Clean:"] + figures["Private_Dirty:"]


def run_time(pid: int) -> float:
    """Seconds of CPU of all threads, to the nanosecond."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()
    ) / 1e9  # fmt: skip


def child_argv(*words: object) -> list[str]:
    """The benchmark's own child."""
    return [sys.executable, "-I", "-S", str(CHILD), *map(str, words)]


def have(program: str) -> bool:
    """Whether it is on the PATH."""
    return shutil.which(program) is not None


def median_of(run: Callable[[], float], times: int) -> float:
    """The median of several runs."""
    return statistics.median(run() for _ in range(times))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie; `values` are sorted."""
    return values[min(len(values) - 1, int(len(values) * share))]
