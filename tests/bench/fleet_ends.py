"""The far ends of a fleet, for its benchmark: what comes there, how often, in which order, how late."""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agentmon.feeds.nats import Fleet
from agentmon.fleet.jetstream import access

ROOT = Path(__file__).resolve().parent.parent.parent
_SETTLE_S = 60.0


@dataclass
class Seen:
    """What came at a far end: how often, in which order, how late."""

    name: str
    latencies: list[tuple[float, float]] = field(default_factory=list)  # when it was recorded; how long it took
    last: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    count: int = 0
    wrong: int = 0

    def see(self, run: str, seq: int, recorded: float, came: float) -> None:
        """One event: each has to be the next one of its run."""
        self.count += 1
        if seq != self.last[run] + 1:
            self.wrong += 1
        self.last[run] = max(seq, self.last[run])
        self.latencies.append((recorded, came - recorded))


class Service:
    """A command of ours that is killed and started again."""

    def __init__(self, words: Sequence[str], env: dict[str, str], log: Path) -> None:
        self._words, self._env, self._log = words, env, log
        self.cpu_s = 0.0
        self.peak_mb = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agentmon", *self._words], env=self._env, cwd=ROOT, stdout=out, stderr=out
            )

    def kill(self) -> None:
        assert self._process is not None
        self._look()
        self._process.kill()
        self._reap()

    def end(self) -> None:
        assert self._process is not None
        self._look()
        self._process.terminate()
        self._reap()

    def wait(self) -> None:
        """Until it has ended by itself."""
        assert self._process is not None
        while not os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            self._look()
            time.sleep(0.02)
        self._reap()

    def _look(self) -> None:
        """Its peak so far; wait4 would tell that of the process that forked it."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peak_mb = max(self.peak_mb, int(line.split()[1]) / 1024)

    def _reap(self) -> None:
        assert self._process is not None
        _, _, used = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        self.cpu_s += used.ru_utime + used.ru_stime


class Viewer(threading.Thread):
    """Reads the fleet as `top` and `serve` do."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.seen = Seen("viewer")
        self._fleet = Fleet(access(url), lambda text: None)
        self._ended = threading.Event()

    def run(self) -> None:
        feeds: list[Any] = []
        while not self._ended.wait(0.05):
            feeds += self._fleet.found()
            for feed in feeds:
                lines = feed.poll()
                now = time.time()
                for line in lines:
                    raw = orjson.loads(line)
                    self.seen.see(raw["run_id"], raw["seq"], raw["timestamp"], now)

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join(5)
        self._fleet.close()


class Dashboard(threading.Thread):
    """A WebSocket client of `serve --from`. Samples and log entries may be left out there; all that is exact has to
    come, once, after the snapshot that each agent begins with."""

    def __init__(self, url: str, service: Service) -> None:
        super().__init__(daemon=True)
        from websockets.sync.client import connect

        self.service = service
        self.seen = Seen("serve")
        self.came: dict[str, set[float]] = defaultdict(set)  # by run, when what is exact was recorded
        self._socket = connect(url.replace("http", "ws") + "ws", max_size=None).__enter__()

    def run(self) -> None:
        with suppress(Exception):  # the connection is closed at the end
            while True:
                frame = self._socket.recv()
                now = time.time()
                raw = orjson.loads(frame)
                if raw.get("type") != "agent_telemetry" or raw["event"] == "snapshot":
                    continue
                for event in raw["data"]["events"] if raw["event"] == "batch" else [raw]:
                    self._take(raw, event, now)

    def _take(self, frame: dict[str, Any], event: dict[str, Any], now: float) -> None:
        run = event.get("run_id") or frame["run_id"]
        self.seen.count += 1
        self.seen.latencies.append((event["timestamp"], now - event["timestamp"]))
        if event["event"] != "metrics_update":
            self.seen.wrong += event["timestamp"] in self.came[run]
            self.came[run].add(event["timestamp"])

    def missing(self, exact: Mapping[str, Sequence[float]]) -> int:
        """How many events did not come that must have come. exact: by run, when those were recorded."""
        return sum(
            at not in self.came[run]
            for run, times in exact.items()
            for at in times
            if at > min(self.came[run], default=time.time())
        )

    def end(self) -> None:
        """Hang up."""
        self._socket.close()
        self.join(5)
        self.service.end()


class Database:
    """A real PostgreSQL and the ingester before it; each row is stamped as it is stored."""

    def __init__(self, postgres: Any, source: str, env: dict[str, str], folder: Path) -> None:
        self._postgres = postgres
        self._name = postgres.database()
        self.service = Service(
            ["ingest", "--from", source, "--to", postgres.url(self._name)], env, folder / "ingest.log"
        )
        self.service.start()
        until(lambda: self._postgres.ask("SELECT to_regclass('agentmon.events') IS NOT NULL", self._name)[0][0])
        self._postgres.ask(
            "ALTER TABLE agentmon.events ADD COLUMN stored double precision"
            " DEFAULT extract(epoch FROM clock_timestamp())",
            self._name,
        )

    def count(self) -> int:
        """How many events are stored."""
        return int(self._postgres.ask("SELECT count(*) FROM agentmon.events", self._name)[0][0])

    def seen(self) -> Seen:
        """All of them, as a far end saw them; a key cannot be there twice."""
        made = Seen("ingester")
        rows = "SELECT run_id, seq, unix_time, stored FROM agentmon.events ORDER BY run_id, seq"
        for run, seq, recorded, stored in self._postgres.ask(rows, self._name):
            made.see(run, seq, recorded, stored)
        return made

    def bytes_per_event(self) -> float:
        """What the table takes, with its indexes."""
        rows = self._postgres.ask("SELECT pg_total_relation_size('agentmon.events')", self._name)
        return float(rows[0][0]) / self.count()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, for a while; what is missing then is told by the result."""
    end = time.monotonic() + _SETTLE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
