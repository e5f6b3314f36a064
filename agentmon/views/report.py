"""Report: what one run adds up to, for any rendering: the state of the fold and what a page needs beside it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentmon.events import ActivityLog, Alert, Event, GitActivity
from agentmon.replay import fold_file
from agentmon.telemetry import RunTelemetry, several
from agentmon.usage import Sums
from agentmon.views.curves import Curves
from agentmon.views.figures import duration, mebibytes, money, offset

GIT_KEPT = 200
ERRORS_KEPT = 10
ALERTS_KEPT = 100

P = TypeVar("P", GitActivity, ActivityLog, Alert)


@dataclass(frozen=True, slots=True)
class Moment(Generic[P]):
    """Something that happened: when, and which agent did it."""

    time: float
    agent: str
    what: P


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one agent used of one model, and how that is known: sources are output, sdk, otlp; costs tool, prices."""

    agent: str
    model: str | None
    sums: Sums
    sources: tuple[str, ...]
    costs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What one source told by itself. counted: whether any of it is in the sums; off: how far its figures are from
    the exact ones, as a share (0.02 is 2 % too much), where both are known."""

    source: str
    sums: Sums
    counted: bool
    off: dict[str, float]


@dataclass(slots=True)
class Report:
    """One run; `state` is the fold. alive: somebody still writes its log; recalled: the log is gone, this is what the
    history kept; troubles: what could not be read."""

    state: RunTelemetry = field(default_factory=RunTelemetry)
    curves: Curves = field(default_factory=Curves)
    git: "deque[Moment[GitActivity]]" = field(default_factory=lambda: deque(maxlen=GIT_KEPT))
    errors: "deque[Moment[ActivityLog]]" = field(default_factory=lambda: deque(maxlen=ERRORS_KEPT))
    alerts: "deque[Moment[Alert]]" = field(default_factory=lambda: deque(maxlen=ALERTS_KEPT))
    alive: bool = False
    recalled: bool = False
    troubles: list[str] = field(default_factory=list)
    _git_exact: bool = False

    def watch(self, event: Event) -> None:
        """What a page needs beside the fold's state; the fold has the event already."""
        payload = event.payload
        if isinstance(payload, ActivityLog):
            if payload.level == "error":
                self.errors.append(Moment(event.timestamp, event.agent_id, payload))
            return
        self.curves.take(event, self.state.usage)
        match payload:
            case GitActivity():
                self._act(event, payload)
            case Alert():
                self.alerts.append(Moment(event.timestamp, event.agent_id, payload))

    def _act(self, event: Event, act: GitActivity) -> None:
        exact = act.source == "trace2"
        if exact and not self._git_exact:  # as in the fold: once git itself speaks, prints do not count
            self._git_exact = True
            self.git.clear()
        if exact or not self._git_exact:
            self.git.append(Moment(event.timestamp, event.agent_id, act))

    def usage_rows(self) -> list[UsageRow]:
        """Per agent and model, the most tokens first."""
        rows: dict[tuple[str, str | None], tuple[Sums, set[str], set[str]]] = {}
        for origin in self.state.usage.origins():
            share = origin.share
            sums, sources, costs = rows.setdefault((share.agent, share.model), (Sums(), set(), set()))
            sums.add(share.sums)
            sources.add(origin.source)
            if share.sums.cost_usd is not None:
                costs |= origin.costs
        made = [
            UsageRow(agent, model, sums, tuple(sorted(sources)), tuple(sorted(costs)))
            for (agent, model), (sums, sources, costs) in rows.items()
        ]
        return sorted(made, key=lambda row: -(row.sums.total_tokens or 0))

    def source_rows(self) -> list[SourceRow]:
        """Per source; exact ones first."""
        told = self.state.usage.told()
        counted = {origin.source for origin in self.state.usage.origins()}
        exact = next((told[source] for source in ("sdk", "otlp") if source in told and source in counted), None)
        order = {"sdk": 0, "otlp": 1}
        return [
            SourceRow(source, sums, source in counted, _off(sums, exact) if source not in order else {})
            for source, sums in sorted(told.items(), key=lambda item: order.get(item[0], 2))
        ]

    @property
    def duration_s(self) -> float | None:
        """Of the run: what its end says, else from the first to the last event."""
        if self.state.end is not None and self.state.end.duration_s is not None:
            return self.state.end.duration_s
        return self.curves.span if self.curves.points else None

    @property
    def cpu_mean(self) -> float | None:
        """Percent of one core, over the whole run."""
        used, lasted = self.cpu_time_s, self.duration_s
        return 100 * used / lasted if used is not None and lasted else self.curves.cpu.mean

    @property
    def cpu_time_s(self) -> float | None:
        """Seconds of CPU of the whole tree."""
        metrics = self.state.process_metrics
        sampled = metrics.tree.cpu_time_s if metrics is not None else None
        waited = self.state.end.cpu_time_s if self.state.end is not None else None
        known = [value for value in (sampled, waited) if value is not None]
        return max(known) if known else None

    @property
    def status(self) -> str:
        """stopped, error, running, lost, or empty."""
        if self.state.run_id is None:
            return "empty"
        return self.state.fate or ("running" if self.alive else "lost")

    def since_start(self, time: float) -> str:
        """When something was, counted from the first event."""
        return offset(time - (self.curves.start or 0.0), self.curves.span)

    def fate(self) -> str:
        """How it ended, in words."""
        end = self.state.end
        if end is None:
            return {
                "running": "still running", "lost": "end not recorded: the run was lost, or this log is a part of one"
            }.get(self.status, "no events")  # fmt: skip
        if end.signal:
            how = f"ended by {end.signal}"
            if end.exit_code is not None and end.exit_code <= 128:  # 124 after --timeout, 123 of a budget
                how += f", exit status {end.exit_code}"
        elif end.exit_code is not None:
            how = f"exit status {end.exit_code}"
        else:
            how = "ended in an unknown way"
        return f"{how} ({end.reason})" if end.reason else how

    def missing(self) -> Iterator[tuple[str, str]]:
        """What was dropped or could not be read: where, and what."""
        for gap in self.state.gaps:
            events = f"{gap.lost_events:,} events" if gap.lost_events is not None else ""
            size = f"{gap.lost_bytes:,} bytes" if gap.lost_bytes is not None else ""
            lost = ", ".join(part for part in (events, size) if part) or "something"
            yield gap.sink or gap.stream or "stream", f"{lost}: {gap.reason}"
        if self.state.end is not None:
            for name, seen in (self.state.end.sources or {}).items():
                if lost_bytes := seen.get("lost_bytes"):
                    yield name, f"{lost_bytes:,} of {seen.get('bytes', 0) + lost_bytes:,} bytes were not looked at"
        unknown = self.state.usage.calls_unknown()
        if unknown:
            yield "tokens", f"{unknown:,} model calls whose usage nobody told"
        for trouble in self.troubles:
            yield "this log", trouble

    def headline(self) -> Iterator[tuple[str, str]]:
        """The figures that people ask for first."""
        sums = self.state.usage.totals()
        yield "Duration", duration(self.duration_s)
        if self.cpu_time_s is not None:
            yield "CPU time", duration(self.cpu_time_s)
        if self.state.peak_memory_mb is not None:
            yield "Peak memory", mebibytes(self.state.peak_memory_mb)
        if sums.total_tokens is not None:
            yield "Tokens", f"{sums.total_tokens:,}"
        if sums.cost_usd is not None:
            yield "Cost", money(sums.cost_usd)
        if commits := self.state.git_operations.get("commit"):
            yield "Commits", f"{commits:,}"
        if errors := self.state.log_levels.get("error"):
            yield "Errors", f"{errors:,}"


def build(path: str, say: Callable[[str], None]) -> Report:
    """The report of a run log (`-`: stdin). say: is told what could not be read, as in agentmon.replay."""
    report = Report()

    def told(trouble: str) -> None:
        what = trouble.removeprefix("stdin:" if path == "-" else f"{path}:").strip()
        report.troubles.append(f"line {what}" if what[:1].isdigit() else what)
        say(trouble)

    fold_file(path, told, report.watch, report.state)
    if (mixed := several(report.state)) is not None:
        told(f"{'stdin' if path == '-' else path}: {mixed}")
    report.curves.close(report.state.usage, report.state.last_updated)
    return report


def _off(sums: Sums, exact: Sums | None) -> dict[str, float]:
    if exact is None:
        return {}
    pairs = (
        (name, getattr(sums, name), getattr(exact, name)) for name in ("input_tokens", "output_tokens", "cost_usd")
    )
    return {name: (told - true) / true for name, told, true in pairs if told is not None and true}
