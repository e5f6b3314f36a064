"""`python -m tests.bench.serve`: the dashboard's server under load.

Run logs that grow by ten events a second each, WebSocket clients that are subscribed to all of them, and some that
never read. How late the oldest event of each frame comes, and what the server uses: CPU of one core, memory.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
import psutil

from agentmon import ndjson
from agentmon.events import (
    ActivityLog,
    Event,
    GitActivity,
    Lifecycle,
    Payload,
    ProcessMetrics,
    TokenUsage,
    Tree,
)

_WARM_S = 3.0
_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main() -> int:
    """Print one line per figure; 1 where a target is missed and --strict is given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--agents", type=int, default=50)
    options.add_argument("--rate", type=float, default=10.0, help="events a second and agent [10]")
    options.add_argument("--clients", type=int, default=100)
    options.add_argument("--deaf", type=int, default=0, help="clients that never read, beside the others [0]")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--strict", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentmon-bench-") as folder:
        return int(not measure(Path(folder), chosen) and chosen.strict)


def measure(folder: Path, chosen: argparse.Namespace) -> bool:
    """Run it all; whether every target was met."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder)}
    logs = folder / "agentmon" / "runs"
    logs.mkdir(parents=True)
    argv = [sys.executable, "-m", "agentmon", "serve", "--port", "0"]
    writing = multiprocessing.Process(target=write, args=(logs, chosen.agents, chosen.rate), daemon=True)
    writing.start()
    server = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rstrip("/\n").rsplit(":", 1)[1])
        process = psutil.Process(server.pid)
        told = asyncio.run(_clients(port, chosen, process))
    finally:
        writing.kill()
        server.terminate()
        server.wait()
    waits = sorted(told["waits"])
    p99 = waits[int(len(waits) * 0.99)] if waits else float("inf")
    frames_due = chosen.agents * chosen.clients * chosen.seconds
    own = told["own_cpu"]
    print(f"load average     {os.getloadavg()[0]:.1f}; the clients used {own * 100:.0f} % of a core themselves")
    print(f"frames           {len(waits):,} of about {frames_due:,.0f}, {told['bytes'] / 1e6:.0f} MB")
    if waits:
        p50 = waits[len(waits) // 2]
        print(f"oldest event     p50 {p50:.3f} s, p99 {p99:.3f} s (≤ 1.2), worst {waits[-1]:.3f} s")
    print(f"server           {told['cpu'] * 100:.1f} % of a core (≤ 60), {told['memory'] / 1e6:.0f} MB (≤ 200)")
    return p99 <= 1.2 and told["cpu"] <= 0.6 and told["memory"] <= 200e6


def write(folder: Path, agents: int, rate: float) -> None:
    """Be the collectors of all runs: one event at a time for each, for ever."""
    import fcntl

    files = []
    for number in range(agents):
        fd = os.open(folder / f"run-{number:03}.ndjson", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        files.append(fd)
    chance = random.Random(1)
    seq = 0
    due = time.monotonic()
    while True:
        seq += 1
        for number, fd in enumerate(files):
            event = Event(
                f"run-{number:03}", seq, f"agent-{number}", f"team-{number % 5}", _payload(seq, chance), time.time()
            )
            os.write(fd, ndjson.encode(event))
            if number % 10 == 9:  # spread over the time between two events
                time.sleep(max(0.0, min(0.5 / rate / (agents / 10), due + 1 / rate - time.monotonic())))
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


def _payload(seq: int, chance: random.Random) -> Payload:
    if seq == 1:
        return Lifecycle("started", argv=("python", "crew.py"), cwd="/work", pid=7, host="here", version="1")
    if seq % 20 == 0:
        cpu = chance.uniform(0, 100)
        return ProcessMetrics(7, cpu, 200.0, 9, "running", Tree(3, cpu, 5.0, 300.0, 20, 0, 0))
    if seq % 15 == 0:
        return TokenUsage("claude-sonnet-4-5", 1000, 200, 1200, 0.006, source="sdk", call_id=str(seq), tool="x", pid=7)
    if seq % 100 == 0:
        return GitActivity("commit", "main", "Add the thing", 2, 6, 1, f"{seq:07x}")
    text = f"step {seq}: " + "looking at the next file and thinking about it " * chance.randint(1, 4)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    return ActivityLog(stamp, "info", text, "orchestrator", "stdout")


class _Reader(asyncio.Protocol):
    """The least of a WebSocket client, so that many of them leave the machine to the server."""

    def __init__(self, told: dict[str, object], deaf: bool) -> None:
        self._told, self._deaf = told, deaf
        self._held = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_UPGRADE)
        if self._deaf:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._upgraded:
            head, found, rest = self._held.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head, head
            self._upgraded, self._held = True, rest
        at = 0
        while (size := _frame(self._held, at)) is not None:
            start, end = size
            if self._told["counting"]:
                self._take(self._held[start:end])
            at = end
        self._held = self._held[at:]

    def _take(self, payload: bytes) -> None:
        told = self._told
        told["bytes"] += len(payload)  # type: ignore[operator]
        if not payload.startswith(b"{"):
            return  # a ping
        message = orjson.loads(payload)
        if message["type"] != "agent_telemetry" or message["event"] == "snapshot":
            return
        events = message["data"]["events"] if message["event"] == "batch" else [message]
        if events:
            oldest = min(event["timestamp"] for event in events)
            told["waits"].append(time.time() - oldest)  # type: ignore[attr-defined]


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and ends; None where it is not whole."""
    if len(data) < at + 2:
        return None
    size, start = data[at + 1] & 127, at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, start = int.from_bytes(data[start : start + width], "big"), start + width
    return (start, start + size) if len(data) >= start + size else None


async def _clients(port: int, chosen: argparse.Namespace, server: psutil.Process) -> dict[str, object]:
    told: dict[str, object] = {"waits": [], "bytes": 0, "counting": False}
    loop = asyncio.get_running_loop()
    for number in range(chosen.clients + chosen.deaf):
        await loop.create_connection(lambda n=number: _Reader(told, n >= chosen.clients), "127.0.0.1", port)
    await asyncio.sleep(_WARM_S)
    told["counting"] = True
    before, began, own = server.cpu_times(), time.monotonic(), time.process_time()
    memory = 0
    while time.monotonic() < began + chosen.seconds or (chosen.clients and not told["waits"]):
        await asyncio.sleep(0.5)
        memory = max(memory, server.memory_info().rss)
    after = server.cpu_times()
    told["counting"] = False
    told["cpu"] = (after.user + after.system - before.user - before.system) / (time.monotonic() - began)
    told["memory"] = memory
    told["own_cpu"] = (time.process_time() - own) / (time.monotonic() - began)
    return told


if __name__ == "__main__":
    sys.exit(main())
