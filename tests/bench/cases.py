"""The cases. Each gives rows: a figure, what it is held against, and the target, if there is one."""

import os
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import generate, reporting, views
from tests.bench.measure import (
    Fed,
    Place,
    child_argv,
    have,
    median_of,
    quantile,
    resident_mb,
    roles,
    run_time,
)  # fmt: skip

_JQ = (
    'now as $now|{v:1,type:"agent_telemetry",run_id:"bench",seq:input_line_number,agent_id:"bench",team_id:"default",'
    'event:"log_entry",data:{activity_log:{timestamp:($now|todate),level:"info",message:.,source:"orchestrator",'
    'stream:"stdout"}},timestamp:$now}'
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything. write_size: bytes per write of the child; idle: seconds."""

    lines: int = 1_000_000
    repeat: int = 3
    write_size: int = 65536
    bursts: int = 20
    starts: int = 15
    idle: float = 10.0
    log_mb: float = 100
    hostile_mb: float = 50
    runs: int = 10_000


@dataclass(frozen=True)
class Row:
    """One line of the table. at_most: the highest ratio to `against`, or the highest value where there is none;
    within: how much it may be above `against`, in its unit."""

    case: str
    what: str
    value: float
    unit: str
    against: str = ""
    other: float | None = None
    at_most: float | None = None
    within: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value to the value that it is held against."""
        return self.value / self.other if self.other else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.within is not None and self.other is not None:
            return self.value <= self.other + self.within
        measured = self.ratio if self.against else self.value
        return None if self.at_most is None or measured is None else measured <= self.at_most


Case = Callable[[Place, Sizes], Iterator[Row]]


# ------------------------------------------------------------------ throughput

OURS = ("agentmon", "agentmon + run log")


def _designs(place: Place) -> dict[str, tuple[str, Callable[[str], Sequence[str]]]]:
    """By name: the program that it needs, and what wraps the child's shell command."""
    out = str(place.folder / "out")
    logs = str(place.folder / "out.d")
    baseline = str(Path(__file__).with_name("baseline.py"))
    run = (*place.agentmon, "run", "-q", "-o", out)

    def sh(command: str) -> Sequence[str]:
        return ("sh", "-c", command)

    return {
        "agentmon": ("", lambda child: (*run, "--no-run-log", "--", *shlex.split(child))),
        "agentmon + run log": ("", lambda child: (*run, "--", *shlex.split(child))),
        "plain baseline": ("", lambda child: (sys.executable, baseline, out, *shlex.split(child))),
        "asciinema rec": ("asciinema", lambda child: ("asciinema", "rec", "-q", "--overwrite", "-c", child, out)),
        "jq -Rc": ("jq", lambda child: sh(f"{child} | jq -Rc {shlex.quote(_JQ)} > {shlex.quote(out)}")),
        "script": ("script", lambda child: ("script", "-q", "-c", child, out)),
        "ts": ("ts", lambda child: sh(f"{child} | ts > {shlex.quote(out)}")),
        "s6-log": ("s6-log", lambda child: sh(f"mkdir -p {logs} && {child} | s6-log -b t n2 s268435455 {logs}")),
        "cat | tee": ("tee", lambda child: sh(f"{child} | cat | tee {shlex.quote(out)}")),
    }


_CPU_TARGETS = {"plain baseline": 1 / 8, "asciinema rec": 1 / 4, "jq -Rc": 1 / 6}


def missing(place: Place) -> list[str]:
    """Peers that this machine does not have."""
    return [program for program, _ in _designs(place).values() if program and not have(program)]


def throughput(place: Place, sizes: Sizes) -> Iterator[Row]:
    """CPU and the child's wall time for many lines into a file, ours and the peers'."""
    data = place.folder / "orchestrator.log"
    generate.orchestrator(data, sizes.lines)
    designs = {name: wrap for name, (program, wrap) in _designs(place).items() if not program or have(program)}
    runs: dict[str, list[Fed]] = {name: [] for name in designs}
    for _ in range(sizes.repeat):  # in turn, so that all see the same machine
        for name, wrap in designs.items():
            runs[name].append(_fed(place, wrap, data, sizes))
    results = {name: sorted(fed, key=lambda one: one.cpu)[len(fed) // 2] for name, fed in runs.items()}
    data.unlink()
    ours = results[OURS[0]]
    million = f"{sizes.lines:,} lines"
    for name, peer in results.items():
        if name in OURS:
            yield Row("throughput", f"{name}: CPU, {million}", peer.cpu, "s")
        else:
            yield Row("throughput", "agentmon: CPU", ours.cpu, "s", name, peer.cpu, _CPU_TARGETS.get(name))
    for name, peer in results.items():
        if name not in OURS:
            target = 1.0 if name == "script" else None
            yield Row("throughput", "agentmon: child's wall", ours.child_wall, "s", name, peer.child_wall, target)
    yield Row("throughput", "agentmon: wall until all is written", ours.used.ended, "s")
    for role, most in (("relay", 18), ("collector", 40)):
        if role in ours.used.peaks:
            yield Row("throughput", f"{role}: peak memory", ours.used.peaks[role], "MB", at_most=most)


def _fed(place: Place, wrap: Callable[[str], Sequence[str]], data: Path, sizes: Sizes) -> Fed:
    """One run; the events of ours are counted."""
    for old in (place.folder / "out", *place.folder.glob("out.d/*"), *place.folder.glob("state/*/runs/*")):
        old.unlink(missing_ok=True)
    fed = place.feed(wrap, data, sizes.write_size)
    if wrap("child")[0] == place.agentmon[0]:
        _check(place.folder / "out", sizes.lines)
    return fed


def _check(events: Path, lines: int) -> None:
    """Fast is no merit where lines are missing."""
    count, gaps = 0, 0
    with open(events, "rb") as file:
        while part := file.read(1 << 20):
            count += part.count(b"\n")
            gaps += part.count(b'"event":"gap"')
    if count < lines or gaps:
        print(f"agentmon wrote {count:,} events ({gaps} gaps) of {lines:,} lines", file=sys.stderr)


# ------------------------------------------------------------------ latency


def latency(place: Place, sizes: Sizes) -> Iterator[Row]:
    """From the child's write to the reader behind us, in ms."""
    wrapped = (*place.agentmon, "run", "-q", "--no-run-log", "-o", str(place.folder / "out"))
    quick = sizes.bursts * 25
    cases = (
        ("steady", (quick, 1, 0.002, 0), ()),
        ("bursts of 5,000", (sizes.bursts, 5000, 0.1, 0), ()),
        ("steady, 200 processes sampled", (quick, 1, 0.002, 200), ("--interval", "0.25")),
    )
    for name, shape, options in cases:
        child = child_argv("stamps", *shape)
        bare, ours, cat = [], [], []
        for _ in range(sizes.repeat):
            bare += _latencies(place, child)
            ours += _latencies(place, (*wrapped, *options, "--", *child))
            cat += _latencies(place, ("sh", "-c", f"{shlex.join(child)} | cat"))
        bare.sort()
        ours.sort()
        cat.sort()
        for label, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            a, b = quantile(ours, share), quantile(bare, share)
            ratio = 2.0 if share == 0.5 else None
            yield Row("latency", f"{name}: {label}", a, "ms", "bare pipe", b, ratio, 5.0 if share == 0.99 else None)
            yield Row("latency", f"{name}: {label}", a, "ms", "through cat", quantile(cat, share))


def _latencies(place: Place, argv: Sequence[str]) -> list[float]:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    pid = place.start(argv, write)
    os.close(write)
    arrived = []
    while data := os.read(read, 65536):
        arrived.append((time.monotonic_ns(), data))
    os.close(read)
    _wait_all(pid)
    found, rest = [], b""
    for at, data in arrived:
        *lines, rest = (rest + data).split(b"\n")
        found += [(at - int(line.partition(b" ")[0])) / 1e6 for line in lines]
    return found


def _wait_all(pid: int) -> None:
    os.waitpid(pid, 0)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


# ------------------------------------------------------------------ start


def start(place: Place, sizes: Sizes) -> Iterator[Row]:
    """How long it takes until the child runs, and a run in whole, in ms."""
    run = (*place.agentmon, "run", "-q", "-o", str(place.folder / "out"), "--")
    times = max(3, sizes.starts)
    click: list[float] = []
    first: list[float] = []
    whole: list[float] = []
    bare: list[float] = []
    for _ in range(times):  # in turn, so that all see the same machine
        click.append(1000 * place.run((sys.executable, "-c", "import click")).wall)
        whole.append(1000 * place.run((*run, "true")).wall)
        first.append(_first_instruction(place, (*run, "date", "+%s%N")))
        bare.append(_first_instruction(place, ("date", "+%s%N")))
    base = statistics.median(click)
    name = "python -c 'import click'"
    yield Row("start", "the child's first instruction", statistics.median(first), "ms", name, base, 1.4)
    yield Row("start", "agentmon run -- true", statistics.median(whole), "ms", name, base, 3.0)
    yield Row("start", "the child's first instruction, bare", statistics.median(bare), "ms")


def _first_instruction(place: Place, argv: Sequence[str]) -> float:
    """ms until `date` looks at the clock."""
    out = place.folder / "date"
    begun = time.time_ns()
    place.run(argv, str(out))
    return (int(out.read_text()) - begun) / 1e6


# ------------------------------------------------------------------ idle


def idle(place: Place, sizes: Sizes) -> Iterator[Row]:
    """CPU and memory beside a child that does nothing, at the default interval."""
    argv = (*place.agentmon, "run", "-q", "-o", str(place.folder / "out"), "--", "sleep", str(sizes.idle + 10))
    pid = place.start(argv)
    time.sleep(1.5)
    pids = roles(pid)
    before = {role: run_time(its) for role, its in pids.items()}
    begun = time.monotonic()
    time.sleep(sizes.idle)
    elapsed = time.monotonic() - begun
    shares = {role: 100 * (run_time(its) - before[role]) / elapsed for role, its in pids.items()}
    memory = {role: resident_mb(its) for role, its in pids.items()}
    os.kill(pid, signal.SIGTERM)
    _wait_all(pid)
    yield Row("idle", "CPU of all our processes", sum(shares.values()), "% of a core", at_most=0.3)
    for role, share in shares.items():
        yield Row("idle", f"{role}: CPU", share, "% of a core")
    for role, most in (("relay", 18), ("collector", 40), ("witness", None)):
        if role in memory:
            yield Row("idle", f"{role}: resident", memory[role][0], "MB", at_most=most)
            yield Row("idle", f"{role}: of that its own alone", memory[role][1], "MB")


# ------------------------------------------------------------------ parsing


def parsing(place: Place, sizes: Sizes) -> Iterator[Row]:
    """`agentmon parse` over big logs: seconds of CPU per 100 MB, and peak memory."""
    small = place.folder / "small.log"
    generate.orchestrator(small, 100)
    at_rest = place.run((*place.agentmon, "parse", str(small))).peak
    normal = place.folder / "orchestrator.log"
    generate.orchestrator(normal, int(sizes.log_mb * generate.MB / 88))
    base, _ = _parsed(place, normal, sizes.repeat)
    normal.unlink()
    yield Row("parsing", "orchestrator output", base, "s / 100 MB")
    for name, make in (generate.FRIENDLY | generate.HOSTILE).items():
        hostile = name in generate.HOSTILE
        log = place.folder / "big.log"
        size = sizes.hostile_mb if hostile else sizes.log_mb / 5 if name == "git-heavy" else sizes.log_mb
        make(log, int(size * generate.MB))
        cost, peak = _parsed(place, log, 1 if hostile else sizes.repeat)
        log.unlink()
        yield Row("parsing", name, cost, "s / 100 MB", "orchestrator output", base, 10.0 if hostile else None)
        yield Row("parsing", f"{name}: memory above a small log's", peak - at_rest, "MB", at_most=40)


def _parsed(place: Place, log: Path, times: int) -> tuple[float, float]:
    """CPU seconds per 100 MB, and peak MB."""
    peak = 0.0

    def once() -> float:
        nonlocal peak
        used = place.run((*place.agentmon, "parse", str(log)))
        peak = max(peak, used.peak)
        return used.cpu

    return median_of(once, times) * 100 * generate.MB / log.stat().st_size, peak


# ------------------------------------------------------------------ report


def report(place: Place, sizes: Sizes) -> Iterator[Row]:
    """A run log of so many events summed up."""
    for what, value, unit, peer in reporting.figures(place, sizes):
        if unit == "MB":
            yield Row("report", what, value, unit, at_most=100)
        else:
            held = peer is not None
            yield Row("report", what, value, unit, "jq -s" if held else "", peer, 0.2 if held else None)


# ------------------------------------------------------------------ history, top


def history(place: Place, sizes: Sizes) -> Iterator[Row]:
    """The history of so many runs."""
    yield from _viewed("history", views.history(place, sizes))


def top(place: Place, sizes: Sizes) -> Iterator[Row]:
    """The live view."""
    yield from _viewed("top", views.top(place, sizes))


def _viewed(case: str, figures: Iterator[views.Figure]) -> Iterator[Row]:
    for what, value, unit, click, most in figures:
        yield Row(case, what, value, unit, "python -c 'import click'" if click else "", click, most)


CASES: dict[str, Case] = {
    "throughput": throughput, "latency": latency, "start": start, "idle": idle, "parsing": parsing,
    "report": report, "history": history, "top": top,
}  # fmt: skip
