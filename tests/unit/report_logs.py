"""Run logs made for tests: events written as they are on the wire."""

from collections.abc import Iterable
from pathlib import Path

from agentmon.events import ActivityLog, Event, Lifecycle, Payload, ProcessMetrics, TokenUsage, Tree
from agentmon.ndjson import encode

DEMO = Path(__file__).resolve().parents[1] / "data" / "runs" / "demo.ndjson"
BEGUN = 1_795_000_000.0
STARTED = Lifecycle("started", argv=("crew",), cwd="/home/ada", pid=7, host="laptop", version="0.1.0")
STOPPED = Lifecycle("stopped", pid=7, exit_code=0, duration_s=60.0)


def line(seq: int, payload: Payload, at: float = 0.0, agent: str = "crew") -> bytes:
    """One event, `at` seconds after the beginning."""
    return encode(Event("run-1", seq, agent, "team", payload, BEGUN + at))


def written(path: Path, payloads: Iterable[Payload | tuple[float, Payload] | tuple[float, str, Payload]]) -> Path:
    """A log of these events, each with its time and its agent where they are given."""
    lines = []
    for seq, item in enumerate(payloads, 1):
        if not isinstance(item, tuple):
            lines.append(line(seq, item))
        elif len(item) == 2:
            lines.append(line(seq, item[1], item[0]))
        else:
            lines.append(line(seq, item[2], item[0], item[1]))
    path.write_bytes(b"".join(lines))
    return path


def metrics(cpu: float | None, memory: float | None = 100.0, cpu_time: float | None = None) -> ProcessMetrics:
    """One sample."""
    return ProcessMetrics(7, cpu, memory, 1, "running", Tree(1, cpu, cpu_time, memory, 1, 0, 0))


def entry(message: str, level: str = "info") -> ActivityLog:
    """One log entry."""
    return ActivityLog("2026-11-22T10:00:00.000000Z", level, message, "orchestrator", "stdout")  # type: ignore[arg-type]


def mixed(path: Path) -> Path:
    """Two runs that wrote into one file at the same time, each with running totals of a session."""
    runs = []
    for name in ("one", "two"):
        totals = [
            TokenUsage("m", 100 * n, n, 101 * n, 0.5 * n, scope="session", session_id=name, tool="codex-like")
            for n in range(1, 6)
        ]
        payloads = [STARTED, *totals, entry("said"), STOPPED]
        runs.append([line(n, p, float(n)).replace(b"run-1", name.encode()) for n, p in enumerate(payloads, 1)])
    path.write_bytes(b"".join(part for pair in zip(*runs, strict=True) for part in pair))
    return path
