"""`python -m tests.bench.fleet`: recorded runs of many agents, played into run logs and shipped through a nats-server.

At the far ends - a viewer, and an ingester where PostgreSQL is there - every event is held against the run logs, and
timed from its own timestamp on. Meanwhile, with --faults: the server is killed and started again twice, the shipper and
the ingester are killed once each, and the network between shipper and server is cut.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from agentmon.events import ActivityLog
from agentmon.ndjson import LogLines
from tests.bench.fleet_ends import ROOT, Dashboard, Database, Seen, Service, Viewer, until
from tests.nats_server import NatsServer, Proxy, running

RUNS = Path(__file__).resolve().parent.parent / "data" / "runs"
_AROUND_S = 15.0  # after a fault, what waited catches up


class Agent:
    """One run that is played: a run log as a collector writes it, locked while it goes on."""

    def __init__(self, folder: Path, number: int, teams: int, template: Sequence[dict[str, Any]]) -> None:
        import fcntl

        self.run_id = f"sim-{number:05d}"
        self._agent, self._team = f"agent-{number}", f"team-{number % teams}"
        self._template = [raw for raw in template if raw["event"] != "lifecycle"]
        self._life = [raw for raw in template if raw["event"] == "lifecycle"]
        self._at = random.randrange(len(self._template))
        self.seq = 0
        self.exact: list[float] = []  # the times of all but samples and log entries
        self.path = folder / f"{self.run_id}.ndjson"
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def play(self) -> int:
        """The next event; its bytes."""
        if not self.seq:
            return self._write(self._life[0])
        self._at = (self._at + 1) % len(self._template)
        return self._write(self._template[self._at])

    def end(self) -> None:
        """The closing event."""
        self._write(self._life[-1])
        os.close(self._fd)

    def _write(self, raw: dict[str, Any]) -> int:
        self.seq += 1
        now = time.time()
        if raw["event"] not in ("metrics_update", "log_entry"):
            self.exact.append(now)
        own = {"run_id": self.run_id, "seq": self.seq, "agent_id": self._agent, "team_id": self._team}
        return os.write(self._fd, orjson.dumps({**raw, **own, "timestamp": now}) + b"\n")


@dataclass(frozen=True)
class Fault:
    """Something that is done `at` a share of the time, and undone after `lasts` seconds."""

    name: str
    at: float
    lasts: float
    begin: Callable[[], None]
    end: Callable[[], None]


@dataclass(frozen=True)
class Window:
    """When a fault was, and what waited for it came: Unix seconds."""

    name: str
    begin: float
    end: float


def main() -> int:
    """Play, measure, compare; 1 where an event was lost or came twice."""
    options = _options()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, options.agents + 500)), hard))
    with tempfile.TemporaryDirectory(prefix="agentmon-fleet-") as folder, ExitStack() as stack:
        if options.one_log:
            print(json.dumps(_one_log(Path(folder), stack, options.one_log), indent=2))
            return 0
        result = _measure(Path(folder), stack, options)
    print(json.dumps(result, indent=2))
    return int(any(end["missing"] or end["twice_or_out_of_order"] for end in result["ends"].values()))


def _measure(folder: Path, stack: ExitStack, options: argparse.Namespace) -> dict[str, Any]:
    server = stack.enter_context(running(folder / "nats"))
    proxy = Proxy(server.port)
    stack.callback(proxy.close)
    logs = folder / "state" / "agentmon" / "runs"
    logs.mkdir(parents=True)
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    database = _database(stack, server.url, env, folder) if options.ingest else None
    shipper = Service(["ship", "--follow", "--to", proxy.url], env, folder / "ship.log")
    shipper.start()
    viewer = Viewer(server.url)
    viewer.start()
    dashboard = _dashboard(server.url, env, folder) if options.serve else None
    template = [orjson.loads(line) for line in (RUNS / "demo.ndjson").read_bytes().splitlines()]
    agents = [Agent(logs, number, options.teams, template) for number in range(options.agents)]
    began = time.time()
    size, windows = _play(
        agents, options, _faults(server, shipper, proxy, database, options.cut) if options.faults else []
    )
    lasted = time.time() - began
    produced = sum(agent.seq for agent in agents)
    until(lambda: viewer.seen.count >= produced)
    ends = {"viewer": _result(viewer.seen, agents, windows)}
    if database is not None:
        until(lambda: database.count() >= produced)
        ends["ingester"] = _result(database.seen(), agents, windows)
        database.service.end()
    if dashboard is not None:
        time.sleep(3)  # its last frames
        ends["serve"] = _result(dashboard.seen, agents, windows) | {
            "missing": dashboard.missing({a.run_id: a.exact for a in agents})
        }
        dashboard.end()
    viewer.end()
    shipper.end()
    rss = psutil.Process(server.pid).memory_info().rss / (1 << 20)
    store = sum(path.stat().st_size for path in (folder / "nats" / "store").rglob("*") if path.is_file())
    services = {"ship": shipper}
    if database is not None:
        services["ingest"] = database.service
    if dashboard is not None:
        services["serve"] = dashboard.service
    return {
        "agents": options.agents, "seconds": round(lasted, 1), "events": produced,
        "events_per_second": round(produced / lasted),
        "bytes_per_event": {
            "run logs": round(size / produced, 1), "nats-server's store": round(store / produced, 1),
            **({} if database is None else {"PostgreSQL": round(database.bytes_per_event(), 1)}),
        },
        "ends": ends,
        "cpu_ms_per_event": {name: round(service.cpu_s * 1000 / produced, 4) for name, service in services.items()},
        "memory_mb": {"nats-server": round(rss), **{name: round(s.peak_mb) for name, s in services.items()}},
    }  # fmt: skip


def _one_log(folder: Path, stack: ExitStack, count: int) -> dict[str, float]:
    """How fast one long run log of log entries is shipped."""
    server = stack.enter_context(running(folder / "nats"))
    logs = folder / "state" / "agentmon" / "runs"
    logs.mkdir(parents=True)
    lines = LogLines("one-log", "crew", "web")
    entries = (
        ActivityLog("2026-01-01T00:00:00.000000Z", "info", f"worker {i % 7}: step {i} of the plan, reading files",
                    "orchestrator", "stdout")
        for i in range(count)
    )  # fmt: skip
    data = b"".join(lines.entry(entry, 1767225600.25) % seq for seq, entry in enumerate(entries, 1))
    (logs / "one-log.ndjson").write_bytes(data)
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    shipper = Service(["ship", "--to", server.url], env, folder / "ship.log")
    began = time.monotonic()
    shipper.start()
    shipper.wait()
    lasted = time.monotonic() - began
    return {
        "events": count, "seconds_with_start": round(lasted, 2), "events_per_second": round(count / lasted),
        "peak_mb": round(shipper.peak_mb), "cpu_s": round(shipper.cpu_s, 2),
        "nats_cpu_s": round(sum(psutil.Process(server.pid).cpu_times()[:2]), 2),
    }  # fmt: skip


def _database(stack: ExitStack, source: str, env: dict[str, str], folder: Path) -> Database:
    from tests import postgres_server

    return Database(stack.enter_context(postgres_server.running()), source, env, folder)


def _dashboard(source: str, env: dict[str, str], folder: Path) -> Dashboard:
    elsewhere = folder / "elsewhere"  # another machine's state
    out = folder / "serve.out"
    service = Service(
        ["serve", "--port", "0", "--from", source], {**env, "XDG_STATE_HOME": str(elsewhere)}, out
    )  # fmt: skip
    service.start()
    until(lambda: "http://" in out.read_text())
    url = next(line for line in out.read_text().splitlines() if line.startswith("http://")).strip()
    client = Dashboard(url, service)
    client.start()
    return client


def _faults(
    server: NatsServer, shipper: Service, proxy: Proxy, database: Database | None, cut_s: float
) -> list[Fault]:  # fmt: skip
    faults = [
        Fault("the server is killed", 0.1, 2, server.kill, lambda: server.start() and None),
        Fault("the shipper is killed", 0.2, 2, shipper.kill, shipper.start),
        Fault("the server is killed again", 0.4, 2, server.kill, lambda: server.start() and None),
        Fault("the network is cut", 0.5, cut_s, proxy.cut, proxy.heal),
    ]
    if database is not None:
        faults.insert(2, Fault("the ingester is killed", 0.3, 2, database.service.kill, database.service.start))
    return faults


def _play(
    agents: Sequence[Agent], options: argparse.Namespace, faults: Sequence[Fault]
) -> tuple[int, list[Window]]:  # fmt: skip
    """Let all agents write, spread evenly over time; the bytes that they wrote, and when faults were."""
    began = time.monotonic()
    todo = sorted(
        step
        for fault in faults
        for step in (
            (fault.at * options.seconds, fault.name, fault.begin),
            (fault.at * options.seconds + fault.lasts, "", fault.end),
        )
    )
    windows: list[Window] = []
    written = count = 0
    while (elapsed := time.monotonic() - began) < options.seconds:
        while todo and todo[0][0] <= elapsed:
            _, name, act = todo.pop(0)
            now = time.time()
            act()
            if name:
                windows.append(Window(name, now, now))
            else:
                windows[-1] = Window(windows[-1].name, windows[-1].begin, time.time() + _AROUND_S)
        due = int((time.monotonic() - began) * options.rate * len(agents))
        while count < due:
            written += agents[count % len(agents)].play()
            count += 1
        time.sleep(0.005)
    for _, _, undo in todo:
        undo()
    for agent in agents:
        agent.end()
    return written, windows


def _result(seen: Seen, agents: Sequence[Agent], windows: Sequence[Window]) -> dict[str, Any]:
    """What came, held against what was written; latencies in seconds."""
    calm = sorted(late for at, late in seen.latencies if not any(w.begin - 1 <= at <= w.end for w in windows))
    within = {}
    for window in windows:
        late = (late for at, late in seen.latencies if window.begin - 1 <= at <= window.end)
        within[window.name] = round(max(late, default=0.0), 2)
    missing = sum(max(0, agent.seq - seen.last[agent.run_id]) for agent in agents)
    return {
        "events": seen.count, "missing": missing, "twice_or_out_of_order": seen.wrong,
        "latency_outside_of_faults_s": {
            "p50": round(calm[len(calm) // 2], 3), "p99": round(calm[len(calm) * 99 // 100], 3),
            "max": round(calm[-1], 3), "events": len(calm),
        } if calm else None,
        "longest_around_a_fault_s": within,
    }  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--agents", type=int, default=1000, help="[default: 1000]")
    parser.add_argument("--one-log", type=int, metavar="N", help="instead, ship one run log of N events")
    parser.add_argument("--rate", type=float, default=1.0, help="events a second of each [default: 1]")
    parser.add_argument("--seconds", type=float, default=180.0, help="[default: 180]")
    parser.add_argument("--teams", type=int, default=10, help="[default: 10]")
    parser.add_argument("--faults", action="store_true", help="kill and cut")
    parser.add_argument("--cut", type=float, default=30.0, help="seconds that the network is cut [default: 30]")
    parser.add_argument("--serve", action="store_true", help="with a dashboard and its client behind it")
    parser.add_argument("--ingest", action="store_true", help="with PostgreSQL behind it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
