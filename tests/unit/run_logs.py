"""Run logs for tests, written as the recorder writes them."""

import fcntl
import os
from pathlib import Path

from agentmon import ndjson
from agentmon.events import ActivityLog, Event, GitActivity, Lifecycle, Payload, ProcessMetrics, TokenUsage, Tree

START = 1_800_000_000.0


class Log:
    """A run log in the making. Its lock is held until `release`."""

    def __init__(
        self, path: Path, run_id: str = "", agent: str = "crew", team: str = "blue", lock: bool = True
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.run_id, self.agent, self.team = path, run_id or path.stem, agent, team
        self.seq = 0
        self.now = START
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, payload: Payload, agent: str | None = None) -> bytes:
        """One event; its line."""
        line = self.line(payload, agent)
        self.raw(line)
        return line

    def line(self, payload: Payload, agent: str | None = None) -> bytes:
        """The line of the next event."""
        self.seq += 1
        self.now += 0.5
        return ndjson.encode(Event(self.run_id, self.seq, agent or self.agent, self.team, payload, self.now))

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        os.write(self._fd, data)

    def started(self) -> bytes:
        return self.write(Lifecycle("started", argv=("python", "crew.py"), cwd="/work", pid=7, host="here"))

    def ended(self, code: int = 0) -> bytes:
        state = "error" if code else "stopped"
        return self.write(Lifecycle(state, pid=7, exit_code=code, duration_s=12.0))

    def said(self, message: str, level: str = "info", agent: str | None = None) -> bytes:
        return self.write(ActivityLog("2027-01-15T08:00:00.000000Z", level, message, "orchestrator", "stdout"), agent)

    def used(self, cpu: float = 50.0, memory: float = 200.0) -> bytes:
        return self.write(ProcessMetrics(7, cpu, memory, 2, "running", Tree(3, cpu, 1.5, memory, 9, 0, 0)))

    def called(self, agent: str | None = None, cost: float | None = 0.25) -> bytes:
        usage = TokenUsage("claude-sonnet-4-5", 1000, 200, 1200, cost, 600, source="sdk", call_id=f"c{self.seq}")
        return self.write(usage, agent)

    def committed(self, message: str = "Add it") -> bytes:
        return self.write(GitActivity("commit", "main", message, 2, 6, 1, "abc1234"))

    def release(self) -> None:
        """Let the lock go, as the collector's end does."""
        os.close(self._fd)
