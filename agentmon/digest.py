"""Digest: one run log, read into what the index holds of it, from where reading stopped before."""

import os
import time
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from agentmon import runs
from agentmon.index import USAGE_COLUMNS, Index, Say

if TYPE_CHECKING:
    import sqlite3

    from agentmon.events import Event, Tree
    from agentmon.telemetry import RunTelemetry

_YOUNG_S = 2.0  # a run log is made, and locked a moment later
_BLOCK = 1 << 20
_NO_TIME = 1 << 53  # Unix seconds; SQLite holds no minute of 1e300

Stamp = tuple[int, int, int]  # inode, size, mtime in ns


@dataclass(slots=True)
class Minute:
    """The samples of one minute."""

    samples: int = 0
    cpu_sum: float | None = None
    cpu_samples: int = 0
    cpu_max: float | None = None
    memory_max: float | None = None
    processes_max: int | None = None
    threads_max: int | None = None
    cpu_time_s: float | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None

    def add(self, tree: "Tree") -> None:
        """Take one sample."""
        self.samples += 1
        if tree.cpu_percent is not None:
            self.cpu_sum = (self.cpu_sum or 0.0) + tree.cpu_percent
            self.cpu_samples += 1
        for name, value in (
            ("cpu_max", tree.cpu_percent), ("memory_max", tree.memory_mb), ("processes_max", tree.processes),
            ("threads_max", tree.threads), ("cpu_time_s", tree.cpu_time_s), ("read_bytes", tree.read_bytes),
            ("write_bytes", tree.write_bytes),
        ):  # fmt: skip
            if value is not None:
                setattr(self, name, max(getattr(self, name) or 0, value))

    def values(self) -> tuple[Any, ...]:
        """In the order of the table."""
        return astuple(self)


@dataclass(slots=True)
class Entry:
    """What is entered of one run. basis: the stamp and offset that it was read from on; whole: from the start."""

    row: dict[str, Any]
    usage: list[tuple[Any, ...]]
    minutes: dict[int, Minute]
    basis: tuple[Any, ...] | None
    whole: bool


@dataclass(slots=True)
class _Watch:
    """Takes what the fold does not keep: metrics by minute, and the lines that a run's figures are made of."""

    kept: list[bytes]
    minutes: dict[int, Minute] = field(default_factory=dict)
    first: float | None = None
    resuming: bool = False

    def __call__(self, event: "Event") -> None:
        from agentmon import ndjson
        from agentmon.events import ProcessMetrics

        if self.first is None:
            self.first = event.timestamp
        if self.resuming:
            return
        payload = event.payload
        if not isinstance(payload, ProcessMetrics):
            self.kept.append(ndjson.encode(event).rstrip())
            return
        if abs(event.timestamp) < _NO_TIME:
            self.minutes.setdefault(int(event.timestamp // 60), Minute()).add(payload.tree)


_BASIS = ("inode", "size", "mtime_ns", "offset", "state")


def basis_of(row: "sqlite3.Row | None") -> tuple[Any, ...] | None:
    return None if row is None else tuple(row[name] for name in _BASIS)


def read(index: Index, name: str, say: Say) -> Entry | None:
    """Read what a log has more than the index; None where that is nothing."""
    row = index.db.execute("SELECT * FROM runs WHERE name=?", (name,)).fetchone()
    path = Path(runs.log_path(name))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            say(f"{path}: {error.strerror}")
        return None
    stat = os.fstat(fd)
    if not S_ISREG(stat.st_mode):
        os.close(fd)
        return None
    with open(fd, "rb", buffering=0) as source:
        if not stat.st_size and 0 <= time.time() - stat.st_mtime < _YOUNG_S:
            return None  # it is not locked yet, and must not seem to be by our asking
        written = runs.is_written(path)  # before it is read: the closing event comes before the lock goes
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        same = row is not None and (row["inode"], row["size"], row["mtime_ns"]) == stamp
        if same and (row["state"] != "running" or written):
            return None
        resumed = row is not None and row["state"] == "running" and row["kept"] is not None
        offset = row["offset"] if resumed else 0
        if resumed and (row["inode"] != stat.st_ino or stat.st_size < offset):
            offset = 0  # moved away or cut off: does the file that is there now go on where that one ended?
            resumed = _first_seq(source) > row["last_seq"]
        source.seek(offset)
        return _entry(source, name, row if resumed else None, basis_of(row), stamp, written, say)


def _entry(
    source: Any, name: str, before: "sqlite3.Row | None", basis: tuple[Any, ...] | None, stamp: Stamp, written: bool,
    say: Say,
) -> Entry:  # fmt: skip
    from agentmon.follow import Lines
    from agentmon.replay import Decoder, Fold

    said: list[str] = []
    decoder = Decoder(runs.log_path(name), said.append)
    watch = _Watch(before["kept"].splitlines() if before is not None else [])
    folder = Fold(decoder, watch)
    if before is not None:
        watch.resuming = True
        folder.take(watch.kept)
        watch.resuming = False
        decoder.number = before["lines"]
        watch_state = folder.state
        watch_state.last_seq = before["last_seq"]
        watch_state.peak_memory_mb = before["peak_memory_mb"]
        for level in ("info", "warning", "error"):
            if before[f"{level}s"]:
                watch_state.log_levels[level] = before[f"{level}s"]
    lines = Lines()
    while data := source.read(_BLOCK):
        folder.take(lines.feed(data))
    end = source.tell()
    if written:
        end -= len(lines.rest)
    else:
        folder.end(lines.rest)
    for text in said:
        say(text)
    state = folder.state
    row = _row(state, before, watch, stamp, written) | {"name": name}
    row |= {"offset": end, "lines": decoder.number, "said": len(said) + (before["said"] if before is not None else 0)}
    return Entry(row, usage_rows(state), watch.minutes, basis, before is None)


def _row(
    state: "RunTelemetry", before: "sqlite3.Row | None", watch: _Watch, stamp: Stamp, written: bool
) -> dict[str, Any]:  # fmt: skip
    end = state.end
    told = figures(state)
    fate = told["state"] or ("running" if written else "lost")
    heard = state.last_updated if state.last_updated is not None else before["ended"] if before is not None else None
    started = state.started_at if state.started_at is not None else watch.first
    if started is None:
        started = before["started"] if before is not None else heard if heard is not None else stamp[2] / 1e9
    if fate == "running" and end is None:
        heard = max(heard or 0.0, stamp[2] / 1e9)
    lasted = end.duration_s if end is not None else None
    if lasted is None and heard is not None:
        lasted = max(0.0, heard - started)
    metrics = state.process_metrics
    cpu_times = [before["cpu_time_s"] if before is not None else None, metrics.tree.cpu_time_s if metrics else None]
    if end is not None:
        cpu_times.append(end.cpu_time_s)
    return told | {
        "state": fate, "agent_id": state.agent_id, "team_id": state.team_id,
        "started": started, "ended": heard, "duration_s": lasted,
        "cpu_time_s": max((t for t in cpu_times if t is not None), default=None),
        "peak_memory_mb": state.peak_memory_mb,
        **{f"{level}s": state.log_levels.get(level, 0) for level in ("info", "warning", "error")},
        "inode": stamp[0], "size": stamp[1], "mtime_ns": stamp[2], "last_seq": state.last_seq,
        "kept": b"\n".join(watch.kept) if fate == "running" else None,
    }  # fmt: skip


def figures(state: "RunTelemetry") -> dict[str, Any]:
    """What the fold tells of a run wherever its events are stored. state is None while nobody told of an end."""
    import orjson

    start, end = state.start, state.end
    return {
        "state": state.fate, "host": start.host if start else None, "cwd": start.cwd if start else None,
        "argv": orjson.dumps(start.argv).decode() if start and start.argv else None,
        "labels": orjson.dumps(start.labels).decode() if start and start.labels else None,
        "parent_run_id": start.parent_run_id if start else None,
        "exit_code": end.exit_code if end else None, "signal": end.signal if end else None,
        "reason": end.reason if end else None,
        **asdict(state.usage.totals()), "calls": state.usage.calls(), "calls_unknown": state.usage.calls_unknown(),
        "git": orjson.dumps(state.git_operations).decode(), "commits": state.git_operations.get("commit", 0),
        "alerts": len(state.alerts),
        "lost_events": sum(gap.lost_events or 0 for gap in state.gaps),
        "lost_bytes": sum(gap.lost_bytes or 0 for gap in state.gaps),
    }  # fmt: skip


def usage_rows(state: "RunTelemetry") -> list[tuple[Any, ...]]:
    """Shares of the run's usage by agent and model, and an empty one for each agent that used nothing; what the run
    used more than all shares is its own agent's."""
    from agentmon.usage import Sums

    shares = state.usage.by_agent_and_model()
    calls = state.usage.calls_by_agent_and_model()
    rest = state.usage.totals()
    for sums in shares.values():
        rest = rest.less(sums)
    own = (state.agent_id or "", None)
    if any(getattr(rest, n) for n in ("input_tokens", "output_tokens")) or (rest.cost_usd or 0.0) > 1e-9:
        shares.setdefault(own, Sums()).add(rest)
    for who in (*calls, *((agent, None) for agent in state.agents)):
        if who not in shares and (who in calls or not any(agent == who[0] for agent, _ in shares)):
            shares[who] = Sums()
    names = USAGE_COLUMNS[1:]
    return [
        (agent, model or "", calls.get((agent, model), 0), *(getattr(sums, n) for n in names))
        for (agent, model), sums in shares.items()
    ]


def _first_seq(source: Any) -> int:
    """The seq of a file's first event; -1 where there is none."""
    from agentmon import checked, ndjson

    source.seek(0)
    try:
        return checked.decode(source.read(1 << 16).split(b"\n", 1)[0]).seq
    except ndjson.NotAnEvent:
        return -1
