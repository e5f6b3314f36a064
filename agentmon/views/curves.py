"""Curves: CPU, memory, tokens and cost over time, in a bounded number of points however long the run is."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agentmon.events import Event, ProcessMetrics, TokenUsage
from agentmon.usage import Ledger

POINTS = 240
_FIRST_STEP_S = 0.125
NO_TIME = 1e11  # Unix seconds of the year 5138: no clock says that
_NO_FIGURE = 1e15
# The fold's totals cost one look at every call: at a hundred thousand calls not after each of them.
_LOOKS_FREE, _LOOKS_PER_CALL = 200_000, 20


@dataclass(slots=True)
class Gauge:
    """Samples of one figure within one step: their mean and their peak."""

    count: int = 0
    total: float = 0.0
    peak: float | None = None

    def add(self, value: float | None) -> None:
        """Take a sample; None is none, and so is what no machine has."""
        if value is not None and abs(value) < _NO_FIGURE:
            self.count += 1
            self.total += value
            self.peak = value if self.peak is None else max(self.peak, value)

    def merge(self, other: "Gauge") -> None:
        """Take all samples of the next step."""
        self.count += other.count
        self.total += other.total
        if other.peak is not None:
            self.peak = other.peak if self.peak is None else max(self.peak, other.peak)

    @property
    def mean(self) -> float | None:
        """None without samples."""
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class Usage:
    """What the fold's usage added up to at the end of a step."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(slots=True)
class Point:
    """One step of time."""

    cpu: Gauge = field(default_factory=Gauge)
    memory: Gauge = field(default_factory=Gauge)
    usage: Usage | None = None

    def merge(self, later: "Point") -> None:
        """Take in the step that follows."""
        self.cpu.merge(later.cpu)
        self.memory.merge(later.memory)
        self.usage = later.usage or self.usage


@dataclass(slots=True)
class Curves:
    """The series fold. Where the run outgrows its points, two neighbours become one and a step is twice as long."""

    start: float | None = None
    end: float | None = None
    step: float = _FIRST_STEP_S
    points: list[Point] = field(default_factory=list)
    cpu: Gauge = field(default_factory=Gauge)
    memory: Gauge = field(default_factory=Gauge)
    _calls: int = 0
    _looks: int = 0
    _pending: bool = False
    _place: Point | None = None

    def take(self, event: Event, usage: Ledger) -> None:
        """Fold one event; `usage` has taken it already."""
        payload, time = event.payload, event.timestamp
        if not abs(time) < NO_TIME:
            return
        point = self._at(float(time))
        if point is not self._place:
            if self._pending and self._looks + self._calls <= _LOOKS_FREE + _LOOKS_PER_CALL * self._calls:
                self._look(usage)
            self._place = point
        if isinstance(payload, ProcessMetrics):
            cpu, memory = payload.tree.cpu_percent, payload.tree.memory_mb
            for gauge in (point.cpu, self.cpu):
                gauge.add(payload.cpu_percent if cpu is None else cpu)
            for gauge in (point.memory, self.memory):
                gauge.add(memory)
        elif isinstance(payload, TokenUsage):
            self._calls += 1
            self._pending = True

    def recall(self, time: float, cpu: Gauge, memory: Gauge) -> None:
        """Samples that were summed up before; `time` is about when."""
        point = self._at(time)
        for gauges, sums in (((point.cpu, self.cpu), cpu), ((point.memory, self.memory), memory)):
            for gauge in gauges:
                gauge.merge(sums)

    def close(self, usage: Ledger, last: float | None) -> None:
        """All events were taken, the last of them at `last`: the last point has the fold's totals."""
        if self._pending:
            self._look(usage)
        if last is not None and self.end is not None and abs(last) < NO_TIME:
            self.end = max(self.end, last)

    def at(self, time: float) -> float:
        """Where a time lies, from 0 to 1."""
        if self.start is None or not self.points:
            return 0.0
        return min(1.0, max(0.0, (time - self.start) / self.span))

    @property
    def span(self) -> float:
        """Seconds from the first to the last event, never 0."""
        if self.start is None or self.end is None:
            return self.step
        return max(self.end - self.start, self.step)

    def times(self) -> Iterator[float]:
        """The middle of every point, from 0 to 1."""
        for number in range(len(self.points)):
            yield min(1.0, (number + 0.5) * self.step / self.span)

    def usages(self) -> list[Usage | None]:
        """The sums at the end of every point; None before the first call."""
        known: Usage | None = None
        out = []
        for point in self.points:
            known = point.usage or known
            out.append(known)
        return out

    def _look(self, usage: Ledger) -> None:
        sums = usage.totals()
        self._looks += self._calls
        self._pending = False
        if self._place is not None:
            cost = sums.cost_usd if sums.cost_usd is not None and sums.cost_usd < _NO_FIGURE else None
            self._place.usage = Usage(sums.input_tokens, sums.output_tokens, cost)

    def _at(self, time: float) -> Point:
        if self.start is None:
            self.start = self.end = time
        assert self.end is not None
        self.end = max(self.end, time)
        index = max(0, int((time - self.start) / self.step))  # a clock that was set back: all is the beginning
        while index >= POINTS:
            self._halve()
            index = int((time - self.start) / self.step)
        while index >= len(self.points):
            self.points.append(Point())
        return self.points[index]

    def _halve(self) -> None:
        kept = self.points[::2]
        for point, later in zip(kept, self.points[1::2], strict=False):
            point.merge(later)
            if later is self._place:
                self._place = point
        self.points = kept
        self.step *= 2
