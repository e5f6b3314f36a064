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
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
T = TypeVar("T")

RELAY_WAITS_S = 5.0  # at the end of a run, for its collector
_PR_SET_CHILD_SUBREAPER = 36
_LOOKS = (
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "LINES",
    "COLORTERM",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)
_started: list[Popen[bytes]] = []  # those that may still run


def as_started_by_hand() -> None:
    """Forget what we have from whoever started us, and what children would have from us.

    SIGINT and SIGQUIT are ignored in the background of a script, SIGHUP under nohup. The environment may have something
    for git (in a hook of its), for agentmon, for a proxy, or for the looks of a terminal.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in tuple(os.environ):
        if name.startswith(("AGENTMON_", "GIT_", "OTEL_", "PG", "TRACE")) or name in _LOOKS:
            del os.environ[name]
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"  # all our servers are here


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
    """How a command ended, as a shell tells it (128+N for a death by signal).

    late: it took so long that the relay may have left before the collector had told it everything.
    """

    code: int
    out: bytes
    err: bytes
    late: bool = field(default=False, compare=False)


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
        _started[:] = [one for one in _started if one.returncode is None]
        _started.append(Popen(self.argv(command, *options), **{"env": self.env, **popen}))
        return _started[-1]

    def run(self, command: list[Any], *options: str, data: bytes | None = None, **popen: Any) -> Result:
        """Run it to its end, and its collector too."""
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
    began = time.monotonic()
    out, err = communicate(process, data)
    return Result(exit_code(process), out, err, time.monotonic() - began > RELAY_WAITS_S)


def communicate(process: Popen[bytes], data: bytes | None = None) -> tuple[bytes, bytes]:
    """As Popen's own, with an end; and the collector's end is waited for too."""
    try:
        out, err = process.communicate(data, timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no end; below it: {[command_line(pid) for pid in below(process.pid)]}") from None
    collected(process.args)
    return out, err


def exit_code(process: Popen[bytes]) -> int:
    """Wait for it, and for its collector; the exit code as a shell tells it."""
    code = process.wait(WAIT_S)
    collected(process.args)
    return 128 - code if code < 0 else code


def collected(argv: Any) -> None:
    """Wait until the collectors of a command that has ended have written all they have: the relay waits for them no
    longer than 5 s, and on a busy machine that may not be enough. Where one was stopped, nothing is waited for."""
    words = b"\0".join(map(os.fsencode, argv if isinstance(argv, list | tuple) else [argv])) + b"\0"

    def none_at_work() -> bool:
        left = [pid for pid in collectors() if _cmdline(pid) in words]
        return not left or any(map(stopped, left))

    if b"agentmon" in words:
        until(none_at_work, "the collector")


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
    terminal: int


def stat(pid: int) -> Stat | None:
    """None for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), *map(int, fields[1:5]))


def alive(pid: int) -> bool:
    """Whether it has not ended (a zombie has)."""
    found = stat(pid)
    return found is not None and found.state not in "ZX"


def stopped(pid: int) -> bool:
    """Whether a signal has stopped it."""
    found = stat(pid)
    return found is not None and found.state == "T"


def stop(pid: int) -> None:
    """Stop it, and wait until it has: the signal is only sent when kill(2) returns."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid), "a process to stop")


def kill(pid: int) -> None:
    """Kill it, and wait until it has closed what it had open."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "a process to end")


def command_line(pid: int) -> str:
    """Its words; nothing for a process that is gone."""
    return _cmdline(pid).replace(b"\0", b" ").decode("utf-8", "replace")


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


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
    """Living collectors: leaders of sessions, which came to us when who had forked them ended. What we have started
    ourselves may lead a session too, and what a terminal belongs to has one."""
    ours = {process.pid for process in _started if process.returncode is None}
    found = []
    for pid in below(os.getpid()):
        seen = stat(pid)
        if (
            seen
            and seen.session == pid
            and seen.ppid == os.getpid()
            and not seen.terminal
            and seen.state not in "ZX"
            and pid not in ours
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
    _started.clear()


def needs(program: str) -> str:
    """The path of a program that a test cannot do without."""
    import pytest

    return shutil.which(program) or pytest.skip(f"{program} is not installed")
