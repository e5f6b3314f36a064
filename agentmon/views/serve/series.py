"""Series: the figures of a run over time, kept whole in arrays, and given in as many points as are asked for."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan
from typing import TYPE_CHECKING, Any

from agentmon.events import Event, GitActivity, ProcessMetrics, TokenUsage
from agentmon.telemetry import RunTelemetry
from agentmon.usage import Sums

if TYPE_CHECKING:
    from agentmon.views.serve.live import LiveRun

GIT_KEPT = 2_000
_NO_TIME = 1e11  # Unix seconds of the year 5138: no clock says that
# The fold's totals cost one look at every call: at a hundred thousand calls not after each of them.
_LOOKS_FREE, _LOOKS_PER_CALL = 100_000, 10

USED = ("input_tokens", "output_tokens", "cost_usd")

Row = dict[str, float | int | None]


@dataclass(slots=True)
class Samples:
    """What was measured; unknown figures are NaN. cpu: percent of one core; memory: MiB."""

    time: "array[float]" = field(default_factory=lambda: array("d"))
    cpu: "array[float]" = field(default_factory=lambda: array("d"))
    memory: "array[float]" = field(default_factory=lambda: array("d"))
    processes: "array[float]" = field(default_factory=lambda: array("f"))
    threads: "array[float]" = field(default_factory=lambda: array("f"))

    def add(self, time: float, metrics: ProcessMetrics) -> None:
        """Take one sample. The last of a run, when nothing is left to measure, tells only of the past."""
        tree, dead = metrics.tree, metrics.status == "dead"
        cpu = metrics.cpu_percent if tree.cpu_percent is None else tree.cpu_percent
        if dead and (self.time or cpu is None):
            return
        self.time.append(max(time, self.time[-1]) if self.time else time)  # a clock may be set back
        self.cpu.append(_or_nan(cpu))
        self.memory.append(_or_nan(tree.memory_mb))
        self.processes.append(_or_nan(tree.processes))
        self.threads.append(_or_nan(tree.threads))


@dataclass(slots=True)
class Usage:
    """What usage had added up to, whenever it was looked at; unknown figures are NaN."""

    time: "array[float]" = field(default_factory=lambda: array("d"))
    figures: "tuple[array[float], ...]" = field(default_factory=lambda: tuple(array("d") for _ in USED))

    def add(self, time: float, sums: Sums) -> None:
        """The sums from this time on."""
        values = [_or_nan(getattr(sums, name)) for name in USED]
        if self.time and self.time[-1] >= time:  # at the same time, or the clock was set back
            for kept, value in zip(self.figures, values, strict=True):
                kept[-1] = value
            return
        self.time.append(time)
        for kept, value in zip(self.figures, values, strict=True):
            kept.append(value)

    def at(self, time: float) -> list[float | int | None]:
        """The sums at a time; None before the first call."""
        place = bisect_right(self.time, time) - 1
        values = [_known(kept[place]) if place >= 0 else None for kept in self.figures]
        return [int(v) if v is not None and name != "cost_usd" else v for v, name in zip(values, USED, strict=True)]


@dataclass(slots=True)
class _Plain:
    """As long as one exact source tells single calls, each by its own id, the fold's sums are plain sums."""

    sums: dict[str | None, Sums] = field(default_factory=dict)
    _source: str | None = None
    _ids: set[str] = field(default_factory=set)

    def takes(self, usage: TokenUsage) -> bool:
        """Whether it is still so with this call."""
        call_id = usage.call_id
        if usage.source not in ("sdk", "otlp") or usage.scope != "call" or call_id is None or call_id in self._ids:
            return False
        self._ids.add(call_id)
        self._source = self._source or usage.source
        return usage.source == self._source


@dataclass(slots=True)
class Series:
    """All of one run's: filled by its fold, event by event."""

    samples: Samples = field(default_factory=Samples)
    usage: Usage = field(default_factory=Usage)
    by_agent: dict[str, Usage] = field(default_factory=dict)
    git: list[tuple[float, str, GitActivity]] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    _calls: int = 0
    _looks: int = 0
    _pending: float | None = None
    _git_exact: bool = False
    _plain: "_Plain | None" = field(default_factory=lambda: _Plain())

    def take(self, event: Event, state: RunTelemetry) -> None:
        """Fold one event that `state` has taken already."""
        time = float(event.timestamp)
        if not abs(time) < _NO_TIME:
            return
        self.first = time if self.first is None else min(time, self.first)
        self.last = time if self.last is None else max(time, self.last)
        match event.payload:
            case ProcessMetrics() as metrics:
                self.samples.add(time, metrics)
            case TokenUsage() as usage:
                self._calls += 1
                if self._plain is not None and self._plain.takes(usage):
                    self._add(time, event.agent_id, usage)
                    return
                self._plain = None
                self._pending = time
                if self._looks + self._calls <= _LOOKS_FREE + _LOOKS_PER_CALL * self._calls:
                    self.look(state)
            case GitActivity() as act:
                self._act(time, event.agent_id, act)

    def look(self, state: RunTelemetry) -> None:
        """Note what usage adds up to, if there is some that was not looked at."""
        if self._pending is None:
            return
        self._looks += self._calls
        totals = state.usage.totals()
        self.usage.add(self._pending, totals)
        shares = state.usage.by_agent() if len(state.agents) > 1 else dict.fromkeys(state.agents, totals)
        for agent, sums in shares.items():
            self.by_agent.setdefault(agent, Usage()).add(self._pending, sums)
        self._pending = None

    def size(self) -> int:
        """About as many bytes of memory."""
        looks = len(self.usage.time) + sum(len(u.time) for u in [*self.by_agent.values()])
        return 32 * len(self.samples.time) + 32 * looks + 1000 * self._calls + 500 * len(self.git)

    def _add(self, time: float, agent: str, usage: TokenUsage) -> None:
        assert self._plain is not None
        for name, kept in ((None, self.usage), (agent, self.by_agent.setdefault(agent, Usage()))):
            sums = self._plain.sums.setdefault(name, Sums())
            sums.add(usage)
            kept.add(time, sums)

    def _act(self, time: float, agent: str, act: GitActivity) -> None:
        exact = act.source == "trace2"
        if exact and not self._git_exact:  # as in the fold: once git itself speaks, prints do not count
            self._git_exact = True
            self.git.clear()
        if exact or not self._git_exact:
            self.git.append((time, agent, act))
            if len(self.git) > GIT_KEPT:
                del self.git[: GIT_KEPT // 10]


def points(series: Series, count: int, since: float | None, until: float | None, agent: str | None) -> dict[str, Any]:
    """The series between two times (Unix seconds, the last one excluded), in at most `count` points. agent: whose
    usage and git acts, if not everybody's; what was measured is of all the run's processes."""
    begin, end = -inf if since is None else since, inf if until is None else until
    samples = series.samples
    usage = series.usage if agent is None else series.by_agent.get(agent, Usage())
    low, high = _range(samples.time, begin, end)
    late = [t for t in usage.time if begin <= t < end and (high <= low or t > samples.time[high - 1])]
    room = max(1, count - 1) if late and high > low else count
    rows = [*_rows(samples, low, high, room)]
    if not rows:
        rows = [_row(time=usage.time[part[-1]]) for part in _parts(*_range(usage.time, begin, end), count)]
    elif late and len(rows) < count:
        rows.append(_row(time=late[-1]))
    for row, time in zip(rows, _ends(rows), strict=True):
        row.update(zip(USED, usage.at(time), strict=True))
    git = [
        {"timestamp": time, "agent_id": who, "operation": act.operation, "branch": act.branch, "sha": act.sha,
         "message": act.message}
        for time, who, act in series.git
        if begin <= time < end and agent in (None, who)
    ]  # fmt: skip
    return columns(rows) | {
        "git": git,
        "since": series.first if since is None else since,
        "until": series.last if until is None else until,
        "source": "log",
    }


def of_live(
    run: "LiveRun", count: int, since: float | None, until: float | None, agent: str | None
) -> dict[str, Any]:  # fmt: skip
    """The last samples of a run that has no log here, which comes from a socket or over the network, with what its
    usage adds up to now."""
    kept = run.samples
    told = Series(first=run.state.started_at, last=run.state.last_updated)
    metrics = run.state.process_metrics
    times = [*run.sampled_at][: -1 if metrics is not None and metrics.status == "dead" else None]
    count_kept = min(len(times), len(kept.cpu))
    parts = [
        [*values][len(values) - count_kept :] for values in (times, kept.cpu, kept.memory, kept.processes, kept.threads)
    ]
    for time, *figures in zip(*parts, strict=True):
        told.samples.time.append(max(time, told.samples.time[-1]) if told.samples.time else time)
        for values, figure in zip(
            (told.samples.cpu, told.samples.memory, told.samples.processes, told.samples.threads), figures, strict=True
        ):
            values.append(_or_nan(figure))
    shown = [state for name, state in [*run.agents.items()] if agent in (None, name)]
    if run.state.last_updated is not None:
        whole = agent is None or any(state.is_whole for state in shown)
        told.usage.add(run.state.last_updated, run.totals if whole else run.sums.get(agent or "", Sums()))
    told.git = sorted(
        ((at, state.agent_id, act) for state in shown for at, act in state.git if at is not None),
        key=lambda moment: moment[0],
    )
    return points(told, count, since, until, None) | {"source": "live"}


FIELDS = (
    "timestamp", "cpu_percent", "cpu_min", "cpu_max", "memory_mb", "memory_min", "memory_max", "processes", "threads",
    *USED,
)  # fmt: skip


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as a list for each field."""
    return {name: [row.get(name) for row in rows] for name in FIELDS}


def of_minutes(minutes: Sequence[Mapping[str, Any]], count: int) -> list[Row]:
    """What the index knows of a run minute by minute, in at most `count` points. It knows no minima."""
    rows = []
    for part in _parts(0, len(minutes), count):
        of = [minutes[n] for n in part]
        known = [m for m in of if m["cpu_percent"] is not None]
        weight = sum(m["samples"] for m in known)
        mean = sum(m["cpu_percent"] * m["samples"] for m in known) / weight if weight else None
        memory = _most(of, "memory_max")
        rows.append(
            {"timestamp": float(of[0]["timestamp"]), "cpu_percent": _round(mean), "cpu_min": None,
             "cpu_max": _most(of, "cpu_max"), "memory_mb": memory, "memory_min": None, "memory_max": memory,
             "processes": _most(of, "processes_max"), "threads": _most(of, "threads_max")}
        )  # fmt: skip
    return rows


def _rows(samples: Samples, low: int, high: int, count: int) -> Iterator[Row]:
    """A row for as many samples as it takes, with the mean and both extremes of them: no peak is lost."""
    for part in _parts(low, high, count):
        cpu, memory = _known_of(samples.cpu, part), _known_of(samples.memory, part)
        yield {
            "timestamp": samples.time[part[0]], "end": samples.time[part[-1]],
            "cpu_percent": _round(_mean(cpu)), "cpu_min": _round(min(cpu, default=None)),
            "cpu_max": _round(max(cpu, default=None)), "memory_mb": _round(_mean(memory)),
            "memory_min": _round(min(memory, default=None)), "memory_max": _round(max(memory, default=None)),
            "processes": _whole(max(_known_of(samples.processes, part), default=None)),
            "threads": _whole(max(_known_of(samples.threads, part), default=None)),
        }  # fmt: skip


def _ends(rows: Sequence[Row]) -> Iterator[float]:
    """Until when the calls of each row are counted: the last row's until its own end."""
    for row in rows:
        time = row.pop("end", None) or row["timestamp"]
        assert time is not None
        yield float(time)


def _parts(low: int, high: int, count: int) -> Iterator[range]:
    """`low` to `high` in at most `count` parts of about the same size."""
    total = high - low
    count = min(count, total)
    for n in range(count):
        yield range(low + total * n // count, low + total * (n + 1) // count)


def _range(times: "array[float]", begin: float, end: float) -> tuple[int, int]:
    return bisect_left(times, begin), bisect_left(times, end)


def _row(time: float) -> Row:
    return {"timestamp": time}


def _known_of(values: "array[float]", part: range) -> list[float]:
    return [v for v in values[part.start : part.stop] if v == v]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _most(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _or_nan(value: float | None) -> float:
    return nan if value is None else float(value)


def _known(value: float) -> float | None:
    return value if value == value else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
