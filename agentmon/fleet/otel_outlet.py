"""The OTLP outlet: recorded events as spans, metrics and log records, at least once.

A request that the far end may take later (no connection, 429, 5xx, a redirect, a missing permission) is Unreachable:
nothing is lost. What it refuses for what it is (400, 413 for a single record, a partial success) is told, and counted
in `refused`. OTLP cannot be asked what arrived, so after a crash the doubtful events are sent again, with the same span
ids, times and `log.record.uid`; within a process only the requests that were not answered are.
"""

import contextlib
import os
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentmon import checked, ndjson, replay, runs
from agentmon.errors import AgentmonError
from agentmon.events import Event
from agentmon.fleet.otel_answers import line, reason, retry_after, told_by
from agentmon.fleet.otel_endpoint import Endpoint, Signal, Wire, exporters
from agentmon.fleet.otel_metrics import metrics_data
from agentmon.fleet.otel_names import Names
from agentmon.fleet.otel_run import RunSignals
from agentmon.fleet.outlet import Mark, Place, Record, Unreachable

Say = Callable[[str], None]
_PER_REQUEST = 512  # spans, log records or data points: 2.3 MB of the longest log entries
_RUNS_KEPT = 128  # that were quiet for a while
_RUNS_MOST = 1024
_QUIET_S = 60.0
_THE_END: Place = (sys.maxsize, 0)
_LOOK_S = 2.0
_TAIL = 1 << 20
_REFUSED = frozenset({400, 422})
_TOO_LARGE = 413
_ANSWERS: Mapping[Signal, Any] = {
    "traces": ExportTraceServiceResponse, "metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse,
}  # fmt: skip
_WORDS: Mapping[Signal, str] = {"traces": "spans", "metrics": "data_points", "logs": "log_records"}
_MISSING = frozenset({404, 405, 501})


@dataclass(slots=True)
class _Request:
    """Items of one signal of one run."""

    signal: Signal
    run: RunSignals
    items: Sequence[Any]


@dataclass(slots=True)
class _Run:
    """A run and how far it was taken."""

    signals: RunSignals
    place: Place = (0, -1)
    taken_at: float = 0.0  # monotonic


@dataclass(slots=True)
class OtlpOutlet:
    """say: told once what a person should know. history: where the earlier events of a run are read again, if the
    shipper goes on in the middle of it. left_at: the last `seq` of a log that nobody writes any more, else None."""

    endpoint: Endpoint
    names: Names
    say: Say
    history: Callable[[str], Iterator[Event]] = field(default=lambda run_id: _recorded(run_id))
    left_at: Callable[[str], int | None] = field(default=lambda run_id: _left_at(run_id))
    refused: int = 0
    units: str = "log records, data points and spans"
    _exporters: dict[Signal, Any] = field(init=False)
    _wires: dict[Signal, Wire] = field(init=False)
    _runs: "OrderedDict[str, _Run]" = field(default_factory=OrderedDict)
    _open: set[str] = field(default_factory=set)  # runs that were begun, and whose end was not sent
    _waiting: "deque[_Request]" = field(default_factory=deque)
    _not_before: float = 0.0  # when a server wants to be asked again (monotonic)
    _why: str = ""
    _look_at: float = 0.0
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._exporters, self._wires = exporters(self.endpoint)

    @property
    def name(self) -> str:
        """The address."""
        return self.endpoint.name

    def resume(self, mark: Mark) -> None:
        """Runs that were begun may have been lost since: then there is no event that says so."""
        told = mark.get("open")
        self._open.update(map(str, told) if isinstance(told, list) else ())

    def mark(self) -> Mark:
        """OTLP has no place that could be marked; what goes on is."""
        return {"open": sorted(self._open)}

    def arrived(self, mark: Mark, teams: Mapping[str, str]) -> Mapping[str, Place]:
        """OTLP cannot be asked."""
        return {}

    def send(self, records: Sequence[Record]) -> None:
        """Send them; all were taken, or refused and told, once it returns. Raises Unreachable."""
        self._flush()  # what is left of an earlier call, whose events are known already
        touched: dict[str, _Run] = {}
        for record in records:
            run = self._take(record)
            if run is not None:
                touched[record.run_id] = run
        for run in touched.values():
            self._cut(run.signals)
        self._flush()
        self._forget()

    def idle(self) -> None:
        """Nothing is to be sent. A run whose log nobody writes any more, and of which no event closes it, is lost: its
        agents' spans end with its last event. Raises Unreachable."""
        self._flush()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        for run_id in [*self._open]:
            last = self.left_at(run_id)
            run = self._runs.get(run_id)
            if run is None and last is not None:
                run = self._again(run_id, _THE_END)
            if run is None:
                if not os.path.exists(runs.log_path(run_id)):
                    self._open.discard(run_id)
            elif last == run.place[1]:
                self._runs[run_id] = run
                run.signals.lost()
                self._cut(run.signals)
        self._flush()
        self._forget()

    def close(self) -> None:
        """Let the connections go."""
        for exporter in self._exporters.values():
            exporter.shutdown()

    # ------------------------------------------------------------------ events

    def _take(self, record: Record) -> _Run | None:
        """The run of a record, which it is now part of; None for what is no event."""
        try:
            event = checked.decode(record.line)
        except ndjson.NotAnEvent as error:
            self._refuse(1, f"{record.run_id}: has events that cannot be read: {error}")
            return None
        run = self._runs.get(record.run_id)
        if run is None:
            run = self._again(record.run_id, record.place) or _Run(RunSignals(event, self.names))
            self._runs[record.run_id] = run
            self._open.add(record.run_id)
        run.taken_at = time.monotonic()
        self._runs.move_to_end(record.run_id)
        if record.place > run.place:  # else it was taken before its request failed
            run.place = record.place
            run.signals.take(event)
        return run

    def _again(self, run_id: str, before: Place) -> _Run | None:
        """A run as it was when the events before this place were sent; None if there were none."""
        if before <= (0, 1):
            return None
        run: _Run | None = None
        place = (0, -1)
        with contextlib.suppress(AgentmonError):  # its log is gone: then this is all that is known
            for event in self.history(run_id):
                place = (place[0] + (event.seq <= place[1]), event.seq)
                if place >= before:
                    break
                if run is None:
                    run = _Run(RunSignals(event, self.names))
                run.signals.fold(event)
                run.place = place
        if run is not None:
            run.signals.skip()
        return run

    def _cut(self, run: RunSignals) -> None:
        cut = run.cut()
        for signal, items in (("logs", cut.logs), ("metrics", cut.points), ("traces", cut.spans)):
            if signal in self._exporters:
                self._waiting.extend(
                    _Request(signal, run, items[i : i + _PER_REQUEST]) for i in range(0, len(items), _PER_REQUEST)
                )

    def _forget(self) -> None:
        """Let go of runs that ended, and of those that were quiet for long: they can be read again."""
        for run_id in [run_id for run_id, run in self._runs.items() if run.signals.over]:
            del self._runs[run_id]
            self._open.discard(run_id)
        quiet = time.monotonic() - _QUIET_S
        while len(self._runs) > _RUNS_KEPT:
            oldest = next(iter(self._runs))
            if self._runs[oldest].taken_at > quiet and len(self._runs) <= _RUNS_MOST:
                break  # each of its events would have its log read again
            del self._runs[oldest]

    # ------------------------------------------------------------------ requests

    def _flush(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            if time.monotonic() < self._not_before:
                raise Unreachable(self._why)
            rest = self._export(request)
            self._waiting.popleft()
            self._waiting.extendleft(reversed(rest))

    def _export(self, request: _Request) -> list[_Request]:
        """Send one request; its parts, if it must be parted. Raises Unreachable."""
        signal, wire = request.signal, self._wires[request.signal]
        tried = wire.tried
        exported = self._exporters[signal].export(
            metrics_data(request.items, request.run.resource) if signal == "metrics" else request.items
        )
        answer = wire.answer
        if wire.tried == tried:  # it was never sent: too large, or it cannot be encoded
            return self._parted(request, "cannot be sent")
        if answer is None:
            raise Unreachable(f"{self._url(signal)}: {reason(wire.error)}")
        status = answer.status_code
        if 200 <= status < 300 and exported.name == "SUCCESS":
            self._partial(signal, answer.content)
            return []
        if status in _REFUSED:
            why = f"{status} {line(answer.reason)}{told_by(answer)}"
            self._refuse(len(request.items), f"{self._url(signal)} refuses {_WORDS[signal]}: {why}")
            return []
        if status == _TOO_LARGE:
            return self._parted(request, f"{status} {line(answer.reason)}")
        wait = retry_after(answer.headers.get("Retry-After"))
        hint = ""
        if status in _MISSING:
            hint = f" (a server that takes no {signal}? OTEL_{signal.upper()}_EXPORTER=none leaves them out)"
        elif status in (401, 403, 407):
            hint = " (see OTEL_EXPORTER_OTLP_HEADERS)"
        self._not_before = time.monotonic() + wait
        self._why = f"{self._url(signal)} answers {status} {line(answer.reason)}{hint}"
        if wait:
            self._why += f", and wants {wait:.0f} s of patience"
        raise Unreachable(self._why)

    def _parted(self, request: _Request, why: str) -> list[_Request]:
        half = len(request.items) // 2
        if half:
            return [
                _Request(request.signal, request.run, part) for part in (request.items[:half], request.items[half:])
            ]
        self._refuse(1, f"{self._url(request.signal)}: one of the {_WORDS[request.signal]} is refused: {why}")
        return []

    def _partial(self, signal: Signal, content: bytes) -> None:
        """An answer may say that some of it was not taken, or only warn."""
        try:
            told = _ANSWERS[signal].FromString(content).partial_success
        except DecodeError:
            return
        rejected = getattr(told, f"rejected_{_WORDS[signal]}")
        if rejected > 0:
            self._refuse(
                rejected, f"{self._url(signal)} took only a part: {line(told.error_message) or 'no reason given'}"
            )
        elif told.error_message and (warning := f"{self._url(signal)}: {line(told.error_message)}") not in self._told:
            self._told.add(warning)
            self.say(warning)

    def _refuse(self, count: int, why: str) -> None:
        self.refused += count
        if why not in self._told:
            self._told.add(why)
            self.say(f"{why} ({count} not taken; told once)")

    def _url(self, signal: Signal) -> str:
        return f"{self.endpoint.name}: {signal}" if len(self.endpoint.urls) > 1 else self.endpoint.name


def _recorded(run_id: str) -> Iterator[Event]:
    events = replay.read(runs.log_path(run_id), lambda text: None)
    return (event for event in events if event.run_id == run_id)


def _left_at(run_id: str) -> int | None:
    path = Path(runs.log_path(run_id))
    if runs.is_written(path):
        return None
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for found in reversed(lines):
        try:
            return ndjson.decode(found).seq
        except ndjson.NotAnEvent:
            continue
    return None
