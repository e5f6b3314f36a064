"""`history` over many indexed runs, new and ending ones among them; `top` with many runs that go on."""

import fcntl
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.bench.measure import Place, run_time

if TYPE_CHECKING:
    from tests.bench.cases import Sizes

Figure = tuple[str, float, str, float | None, float | None]  # what, value, unit, click's value, the most it may be

_TEAMS, _AGENTS, _MODELS = 7, 12, ("claude-sonnet-4-5", "gpt-5-mini", "gemini-2.5-pro")
_READERS = 10
_ENDING = 50
_LIVE = 50


def history(place: Place, sizes: "Sizes") -> Iterator[Figure]:
    """Questions to the history, and what it takes to bring new runs into it."""
    begun = time.time() - 60 * 86400
    for number in range(sizes.runs):
        _run(place, number, begun + number * 500)
    place.run((*place.agentmon, "history", "-n", "1"))
    questions = ((), ("--json", "-n", "20"), *(("--by", by) for by in ("day", "team", "model", "agent")))
    walls: dict[tuple[str, ...], list[float]] = {words: [] for words in questions}
    click: list[float] = []
    for _ in range(max(3, sizes.starts)):  # in turn, so that all see the same machine
        click.append(1000 * place.run((sys.executable, "-c", "import click")).wall)
        for words in questions:
            walls[words].append(1000 * place.run((*place.agentmon, "history", *words)).wall)
    base = statistics.median(click)
    for words in questions:
        yield (
            f"{sizes.runs:,} runs: history {' '.join(words)}".strip(),
            statistics.median(walls[words]),
            "ms",
            base,
            3.0,
        )
    added = max(1, sizes.runs // 100)
    for number in range(added):
        _run(place, sizes.runs + number, begun + number)
    yield f"{added:,} new runs among them", place.run((*place.agentmon, "history")).wall, "s", None, 2.0
    yield from _ending(place, sizes.runs + added, begun)


def _ending(place: Place, first: int, begun: float) -> Iterator[Figure]:
    """Runs that all end at the same moment, with ten readers at once: how many readers failed, how many runs are
    missing, and how long the slowest reader took."""
    going = [_run(place, first + number, begun, end=False) for number in range(_ENDING)]
    argv = (*place.agentmon, "history", "--json", "-n", "0")

    def readers() -> list[subprocess.Popen[bytes]]:
        return [subprocess.Popen(argv, stdout=subprocess.PIPE, env=place.environment) for _ in range(_READERS)]

    at = time.monotonic()
    started = readers()
    for fd, end in going:
        os.write(fd, end)
        os.close(fd)
    said = [reader.communicate()[0] for reader in started]
    slowest = time.monotonic() - at
    failed = sum(reader.returncode != 0 for reader in started)
    said += [reader.communicate()[0] for reader in readers()]
    states = [{row["run_id"]: row["state"] for row in json.loads(text)} for text in said[-_READERS:]]
    names = [f"bench-{first + number:06}" for number in range(_ENDING)]
    absent = sum(found.get(name) != "stopped" for found in states for name in names)
    yield f"{_ENDING} runs end, {_READERS} readers: the slowest", slowest, "s", None, None
    yield f"{_ENDING} runs end, {_READERS} readers: readers that failed", failed, "", None, 0.0
    yield f"{_ENDING} runs end, {_READERS} readers: runs that one does not know", absent, "", None, 0.0


def top(place: Place, sizes: "Sizes") -> Iterator[Figure]:
    """The live view of many runs with two samples a second each, as a share of a core."""
    logs = [_run(place, number, time.time(), end=False)[0] for number in range(_LIVE)]
    rows, columns = 50, 200
    main, far = os.openpty()
    fcntl.ioctl(main, 0x5414, (rows | columns << 16).to_bytes(8, "little"))  # TIOCSWINSZ
    environment = {**place.environment, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        (*place.agentmon, "top"), stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True
    )
    os.set_blocking(main, False)

    def tick(seq: int) -> None:
        for number, fd in enumerate(logs):
            os.write(fd, _line(number, seq, "metrics_update", process_metrics=_metrics(20.0 + seq % 50, 100.0 + seq)))
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            try:
                while os.read(main, 1 << 16):
                    pass
            except BlockingIOError:
                time.sleep(0.05)

    for seq in range(10, 16):
        tick(seq)
    before, at = run_time(process.pid), time.monotonic()
    for seq in range(16, 16 + max(4, int(2 * sizes.idle))):
        tick(seq)
    share = 100 * (run_time(process.pid) - before) / (time.monotonic() - at)
    process.terminate()
    process.wait()
    for fd in (*logs, main, far):
        os.close(fd)
    yield f"top, {_LIVE} runs at two samples a second", share, "% of a core", None, 5.0


def _run(place: Place, number: int, begun: float, end: bool = True) -> tuple[int, bytes]:
    """A run log; of one that goes on, its locked descriptor, and its last line."""
    folder = place.folder / "state" / "agentmon" / "runs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    agent = f"agent-{number % _AGENTS}"
    usage = {
        "model": _MODELS[number % len(_MODELS)], "input_tokens": 1000 + number, "output_tokens": 200,
        "total_tokens": 1200 + number, "cost_usd": 0.01, "cache_read_tokens": 100, "cache_write_tokens": None,
        "reasoning_tokens": None, "scope": "call", "source": "sdk", "call_id": f"call-{number}",
    }  # fmt: skip
    start = {"state": "started", "argv": ["python", "crew.py"], "cwd": "/work", "pid": 7, "host": "here",
             "version": "1", "labels": {"ticket": str(number)}}  # fmt: skip
    parts = [
        _line(number, 1, "lifecycle", begun, lifecycle=start),
        _line(number, 2, "metrics_update", begun + 1, process_metrics=_metrics(50.0, 120.0)),
        _line(number, 3, "llm_call", begun + 2, agent, token_usage=usage),
        _line(number, 4, "git_activity", begun + 3, agent,
              git_activity={"operation": "commit", "branch": "main", "message": "Add it", "source": "trace2"}),
    ]  # fmt: skip
    ended = {"state": "stopped", "pid": 7, "exit_code": 0, "duration_s": 12.5}
    last = _line(number, 1_000_000, "lifecycle", begun + 12.5, lifecycle=ended)
    name = f"bench-{number:06}" if not end else _made(begun, number)
    fd = os.open(folder / f"{name}.ndjson", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if end:
        os.write(fd, b"".join((*parts, last)))
        os.close(fd)
        return -1, b""
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, b"".join(parts))
    return fd, last


def _made(begun: float, number: int) -> str:
    """As `run` names it."""
    return time.strftime("%Y%m%dT%H%M%S000Z-", time.gmtime(begun)) + f"{number:08x}"


def _metrics(cpu: float, memory: float) -> dict[str, Any]:
    tree = {"processes": 3, "cpu_percent": cpu, "cpu_time_s": 1.5, "memory_mb": memory, "threads": 9, "read_bytes": 0,
            "write_bytes": 0}  # fmt: skip
    return {"pid": 7, "cpu_percent": cpu, "memory_mb": memory, "threads": 2, "status": "running", "tree": tree}


def _line(number: int, seq: int, event: str, at: float | None = None, agent: str = "", **payload: Any) -> bytes:
    team, at = f"team-{number % _TEAMS}", time.time() if at is None else at
    return json.dumps(
        {"v": 1, "type": "agent_telemetry", "run_id": f"bench-{number:06}", "seq": seq,
         "agent_id": agent or f"agent-{number % _AGENTS}", "team_id": team, "event": event, "data": payload,
         "timestamp": at}, separators=(",", ":"),
    ).encode() + b"\n"  # fmt: skip
