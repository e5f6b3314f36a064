"""Start the checkout's own `agentmon run`, look at processes, and clear up afterwards. Linux only."""

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
T = TypeVar("T")

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Collectors and grandchildren become our children when their parents end: none can be left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def until(condition: Callable[[], T], what: str = "") -> T:
    """What `condition` gives once it is true."""
    began = asked = time.monotonic()
    while not (value := condition()):
        now = time.monotonic()
        assert now < began + WAIT_S, f"waited in vain for {what or condition}"
        time.sleep(max(0.01, now - asked))  # on a busy machine what asks is not to hold up what it waits for
        asked = time.monotonic()
    return value


def python(code: str, *args: str) -> list[str]:
    """A small Python child, which starts fast."""
    return [sys.executable, "-I", "-S", "-c", code, *args]


@dataclass(frozen=True)
class Result:
    """How a command ended, as a shell tells it (128+N for a death by signal)."""

    code: int
    out: bytes
    err: bytes


class Wrapper:
    """`agentmon run` with a state directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AGENTMON_", "PYTHON"))},
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(self.state),
        }

    def argv(self, command: list[Any], *options: str) -> list[Any]:
        """The words that run `command` under the wrapper."""
        return [sys.executable, "-m", "agentmon", "run", *options, "--", *command]

    def start(self, command: list[Any], *options: str, **popen: Any) -> Popen[bytes]:
        """Start it in a session of its own, as a service manager would."""
        popen.setdefault("start_new_session", True)
        return Popen(self.argv(command, *options), **{"env": self.env, **popen})

    def run(self, command: list[Any], *options: str, data: bytes | None = None, **popen: Any) -> Result:
        """Run it to its end."""
        return _finish(self.start(command, *options, **_streams(data, popen)), data)

    def bare(self, command: list[Any], data: bytes | None = None, **popen: Any) -> Result:
        """The same without us."""
        popen.setdefault("start_new_session", True)
        return _finish(Popen(command, **{"env": self.env, **_streams(data, popen)}), data)

    def run_logs(self) -> list[Path]:
        """Newest last."""
        return sorted((self.state / "agentmon" / "runs").glob("*.ndjson"))

    def run_log(self) -> bytes:
        """The only run log there is."""
        (path,) = self.run_logs()
        return path.read_bytes()


def _streams(data: bytes | None, popen: dict[str, Any]) -> dict[str, Any]:
    return {"stdin": DEVNULL if data is None else PIPE, "stdout": PIPE, "stderr": PIPE, **popen}


def _finish(process: Popen[bytes], data: bytes | None) -> Result:
    try:
        out, err = process.communicate(data, timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no end; below it: {[command_line(pid) for pid in below(process.pid)]}") from None
    return Result(exit_code(process), out, err)


def exit_code(process: Popen[bytes]) -> int:
    """Wait for it; the exit code as a shell tells it."""
    code = process.wait(WAIT_S)
    return 128 - code if code < 0 else code


def read_until(fd: int, what: bytes) -> bytes:
    """Read until `what` (a regular expression) has come."""
    seen = b""
    end = time.monotonic() + WAIT_S
    while not re.search(what, seen):
        assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], f"no {what!r} in {seen[-400:]!r}"
        data = os.read(fd, 65536)
        assert data, f"end of file before {what!r}: {seen[-400:]!r}"
        seen += data
    return seen


@dataclass(frozen=True)
class Stat:
    """Of /proc/PID/stat, as proc(5) has it."""

    state: str
    ppid: int
    group: int
    session: int


def stat(pid: int) -> Stat | None:
    """None for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]))


def alive(pid: int) -> bool:
    """Whether it has not ended (a zombie has)."""
    found = stat(pid)
    return found is not None and found.state not in "ZX"


def stopped(pid: int) -> bool:
    """Whether a signal has stopped it."""
    found = stat(pid)
    return found is not None and found.state == "T"


def command_line(pid: int) -> str:
    """Its words; nothing for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def below(pid: int) -> Iterator[int]:
    """All descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := stat(int(entry.name))):
            children.setdefault(found.ppid, []).append(int(entry.name))
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            yield child
            todo.append(child)


def collectors(run_id: str = "") -> list[int]:
    """Living collectors: session leaders that nobody but us is the parent of."""
    found = []
    for pid in below(os.getpid()):
        seen = stat(pid)
        if (
            seen
            and seen.session == pid
            and seen.ppid == os.getpid()
            and alive(pid)
            and os.getpriority(os.PRIO_PROCESS, pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 1)
        ):
            words = command_line(pid)
            if "agentmon run" in words and run_id in words:
                found.append(pid)
    return found


def collector(run_id: str) -> int:
    """The one collector of a run that was started with --run-id."""
    return until(lambda: collectors(run_id), "the collector")[0]


def kill_all() -> None:
    """End and reap whatever descends from us."""
    while pids := list(below(os.getpid())):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.005)


def needs(program: str) -> str:
    """The path of a program that a test cannot do without."""
    import pytest

    return shutil.which(program) or pytest.skip(f"{program} is not installed")
