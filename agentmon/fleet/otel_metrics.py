"""Metrics: samples of the processes, and what the run used so far, cumulative since its start.

`process.*` is the root process as the conventions mean it; its two running totals, CPU time and disk bytes, hold its
descendants too, as the kernel counts them. `agentmon.tree.*` are sums over the whole tree at a moment.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource

from agentmon.events import ProcessMetrics
from agentmon.fleet.otel_numbers import nanoseconds, real, whole
from agentmon.fleet.otel_resource import SCOPE

TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))
SECOND_BOUNDS = tuple(0.01 * 2**power for power in range(14))
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Instrument:
    """kind: gauge, counter (only grows), updown, histogram."""

    name: str
    unit: str
    kind: str
    description: str


CPU_UTILIZATION = Instrument(
    "process.cpu.utilization", "1", "gauge", "CPU time of the root process since the last sample, over time and CPUs."
)
CPU_TIME = Instrument("process.cpu.time", "s", "counter", "CPU seconds of the process and its descendants.")
MEMORY = Instrument(
    "process.memory.usage", "By", "updown", "Physical memory of the root process; at the end of a run, its peak."
)
THREADS = Instrument("process.thread.count", "{thread}", "updown", "Threads of the root process.")
DISK = Instrument("process.disk.io", "By", "counter", "Bytes read and written by the process and its descendants.")
TREE_COUNT = Instrument("agentmon.tree.process.count", "{process}", "updown", "Processes of the tree.")
TREE_CPU = Instrument(
    "agentmon.tree.cpu.utilization", "1", "gauge", "CPU time of the tree since the last sample, over time and CPUs."
)
TREE_CORES = Instrument("agentmon.tree.cpu.cores", "{cpu}", "gauge", "Cores that the tree used since the last sample.")
TREE_MEMORY = Instrument("agentmon.tree.memory.usage", "By", "updown", "Physical memory of the whole tree.")
TREE_THREADS = Instrument("agentmon.tree.thread.count", "{thread}", "updown", "Threads of the tree.")
TOKENS = Instrument("gen_ai.client.token.usage", "{token}", "histogram", "Number of input and output tokens used.")
DURATION = Instrument("gen_ai.client.operation.duration", "s", "histogram", "GenAI operation duration.")
COST = Instrument("agentmon.cost", "{USD}", "counter", "What the model calls cost, in US dollars.")

_Attributes = tuple[tuple[str, Any], ...]


@dataclass(slots=True)
class _Line:
    """One cumulative series. start: since when it sums up (Unix nanoseconds); sum and at: of its last point."""

    start: int
    sum: float = 0.0
    at: int = 0


@dataclass(slots=True)
class Points:
    """The data points of one run that were not sent yet. start: when the run began, Unix nanoseconds."""

    start: int
    _kept: dict[Instrument, list[Any]] = field(default_factory=dict)
    _lines: dict[tuple[Instrument, _Attributes], _Line] = field(default_factory=dict)

    def sample(self, metrics: ProcessMetrics, at: float, cpus: int | None) -> None:
        """A metrics_update. cpus: how many the processes could use, where that is known."""
        time, tree = nanoseconds(at), metrics.tree
        self._number(CPU_UTILIZATION, time, _over(metrics.cpu_percent, cpus))
        self._number(MEMORY, time, _bytes(metrics.memory_mb))
        self._number(THREADS, time, whole(metrics.threads))
        self._number(CPU_TIME, time, real(tree.cpu_time_s))
        self._number(DISK, time, whole(tree.read_bytes), (("disk.io.direction", "read"),))
        self._number(DISK, time, whole(tree.write_bytes), (("disk.io.direction", "write"),))
        self._number(TREE_COUNT, time, whole(tree.processes))
        self._number(TREE_CPU, time, _over(tree.cpu_percent, cpus))
        self._number(TREE_CORES, time, _over(tree.cpu_percent, 1))
        self._number(TREE_MEMORY, time, _bytes(tree.memory_mb))
        self._number(TREE_THREADS, time, whole(tree.threads))

    def total(self, instrument: Instrument, at: int, value: float | None, attributes: _Attributes) -> None:
        """A counter's value so far. None, for what is not known, is no point, unless something was told before."""
        if value is None:
            if (instrument, attributes) not in self._lines:
                return
            value = 0.0
        self._number(instrument, at, value, attributes, self._since(instrument, attributes, value, at))

    def distribution(
        self, instrument: Instrument, at: int, values: Sequence[float], bounds: Sequence[float], attributes: _Attributes
    ) -> None:  # fmt: skip
        """A histogram of all values so far. One of none is told only where there was one of some."""
        line = self._lines.get((instrument, attributes))
        if not values and (line is None or not line.sum):
            return
        counts = [0] * (len(bounds) + 1)
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        start = self._since(instrument, attributes, sum(values), at)
        self._kept.setdefault(instrument, []).append(
            HistogramDataPoint(
                dict(attributes),
                start,
                at,
                len(values),
                sum(values),
                counts,
                bounds,
                min(values, default=0),
                max(values, default=0),
            )
        )

    def take(self) -> list[tuple[Instrument, Any]]:
        """All points, and begin anew."""
        kept, self._kept = self._kept, {}
        return [(instrument, point) for instrument, points in kept.items() for point in points]

    def _since(self, instrument: Instrument, attributes: _Attributes, value: float, at: int) -> int:
        """Where a series sums up from. One that was told too high before (a source that is believed more corrected it)
        begins anew, as OpenTelemetry has it for counters that were reset: its last value is what counts."""
        line = self._lines.setdefault((instrument, attributes), _Line(self.start))
        if value < line.sum * (1 - 1e-9):
            line.start = line.at
        line.sum, line.at = value, at
        return min(line.start, at)

    def _number(
        self, instrument: Instrument, at: int, value: float | None, attributes: _Attributes = (),
        start: int | None = None,
    ) -> None:  # fmt: skip
        if value is not None:
            begin = 0 if instrument.kind == "gauge" else min(self.start if start is None else start, at)
            self._kept.setdefault(instrument, []).append(NumberDataPoint(dict(attributes), begin, at, value))


def metrics_data(points: Iterable[tuple[Instrument, Any]], resource: Resource) -> MetricsData:
    """Points of one run as the exporter takes them."""
    grouped: dict[Instrument, list[Any]] = {}
    for instrument, point in points:
        grouped.setdefault(instrument, []).append(point)
    metrics = [_metric(instrument, found) for instrument, found in grouped.items()]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def _metric(instrument: Instrument, points: list[Any]) -> Metric:
    form: Gauge | Histogram | Sum
    if instrument.kind == "gauge":
        form = Gauge(points)
    elif instrument.kind == "histogram":
        form = Histogram(points, _CUMULATIVE)
    else:
        form = Sum(points, _CUMULATIVE, instrument.kind == "counter")
    return Metric(instrument.name, instrument.description, instrument.unit, form)


def cpus_of(host: str | None) -> int | None:
    """How many CPUs the processes of a host could use: known for this one."""
    if host is None or host != os.uname().nodename:
        return None
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _over(percent: float | None, cpus: int | None) -> float | None:
    value = real(percent)
    return None if value is None or cpus is None else value / 100 / cpus


def _bytes(mib: float | None) -> int | None:
    value = real(mib)
    return None if value is None else whole(value * _MIB)


def attributes_of(found: Mapping[str, Any]) -> _Attributes:
    """Attributes as they name a series."""
    return tuple(sorted((name, value) for name, value in found.items() if value is not None))
