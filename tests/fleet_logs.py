"""Run logs to ship, and `agentmon ship` as a process, for the tests of the fleet."""

import signal
import subprocess
import sys
from subprocess import DEVNULL, PIPE, Popen

from run_logs import Log
from wrapper import Wrapper

from agentmon.events import ActivityLog


def log(wrapper: Wrapper, name: str, entries: int, *, end: bool = True, team: str = "blue", agent: str = "crew") -> Log:
    """A run log with so many log entries in it."""
    made = Log(wrapper.state / "agentmon" / "runs" / f"{name}.ndjson", team=team, agent=agent)
    made.started()
    grow(made, entries)
    if end:
        made.ended()
        made.release()
    return made


def grow(made: Log, entries: int) -> None:
    """More log entries, written at once."""
    lines = [
        made.line(ActivityLog("2027-01-15T08:00:00.000000Z", "info", f"step {i} of it", "orchestrator", "stdout"))
        for i in range(entries)
    ]
    made.raw(b"".join(lines))


def argv(url: str, *options: str) -> list[str]:
    """The words that ship there."""
    return [sys.executable, "-m", "agentmon", "ship", "--to", url, *options]


def start(wrapper: Wrapper, url: str, *options: str) -> Popen[bytes]:
    """Ship, meanwhile."""
    return Popen(argv(url, *options), env=wrapper.env, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)


def ship(wrapper: Wrapper, url: str, *options: str) -> str:
    """Ship what is there; what it says."""
    done = subprocess.run(argv(url, *options), env=wrapper.env, capture_output=True, timeout=60, stdin=DEVNULL)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    return done.stderr.decode()


def stop(process: Popen[bytes]) -> str:
    """End it as a service manager does; what it said."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    return err.decode()


def kill(process: Popen[bytes]) -> None:
    """SIGKILL."""
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
