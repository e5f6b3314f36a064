"""Recalled: the report of a run whose log is gone, from what the history kept: sums, and a curve with a point a minute.
When a model was called, what git did one by one, and what was said went with the log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agentmon.events import Lifecycle, Source
from agentmon.telemetry import AgentTelemetry, RunTelemetry
from agentmon.usage import Ledger, Origin, Share, Sums
from agentmon.views.curves import NO_TIME, POINTS, Gauge
from agentmon.views.report import Report

Row = Mapping[str, Any]
GONE = "gone; the history kept its sums, and a curve with a point a minute"
_SOURCE = cast("Source", "history")  # which source told a figure is not kept


@dataclass(slots=True)
class RecalledUsage(Ledger):
    """Sums that were reconciled when the log was there."""

    run: Row = field(default_factory=dict)
    rows: Sequence[Row] = ()

    def totals(self) -> Sums:
        """Of the run."""
        sums = _sums(self.run)
        sums.estimated = self.run["estimated"]
        return sums

    def origins(self) -> Iterator[Origin]:
        """By agent and model."""
        for share in self._shares():
            if share.sums != Sums():
                yield Origin(_SOURCE, share, frozenset())

    def by_model(self) -> dict[str, Sums]:
        """By model, where that is known."""
        return self._grouped([(share.model, share.sums) for share in self._shares()])

    def by_agent(self) -> dict[str, Sums]:
        """By agent."""
        return self._grouped([(share.agent, share.sums) for share in self._shares() if share.sums != Sums()])

    def calls(self) -> int:
        """How many single calls were counted."""
        return self.run["calls"] or 0

    def calls_unknown(self) -> int:
        """How many were seen whose usage nobody told."""
        return self.run["calls_unknown"] or 0

    def _shares(self) -> Iterator[Share]:
        for row in self.rows:
            yield Share(row["agent"], row["model"] or None, _sums(row))

    def _grouped(self, parts: Sequence[tuple[str | None, Sums]]) -> dict[str, Sums]:
        groups: dict[str, Sums] = {}
        for name, sums in parts:
            if name:
                groups.setdefault(name, Sums()).add(sums)
        return groups


def recall(run: Row, shares: Sequence[Row], minutes: Sequence[Row]) -> Report:
    """The report. run, shares, minutes: as agentmon.index_query gives them."""
    report = Report(state=_state(run, shares), recalled=True)
    report.troubles.append(GONE)
    if run["alerts"]:
        report.troubles.append(f"{run['alerts']:,} alerts are not told one by one")
    if run["lost_events"] or run["lost_bytes"]:
        report.troubles.append(f"{run['lost_events'] or 0:,} events, {run['lost_bytes'] or 0:,} bytes were lost")
    curves = report.curves
    begun, ended = run["started"], run["ended"]
    if begun is None or ended is None or not (abs(begun) < NO_TIME and abs(ended) < NO_TIME):
        return report
    curves.recall(begun, Gauge(), Gauge())
    step = max(0.1, (ended - begun) / POINTS)
    for row in minutes:
        cpu, memory = row["cpu_percent"], row["memory_max"]
        first, last = max(row["timestamp"], begun), min(row["timestamp"] + 60, ended)
        for number in range(max(1, int((last - first) / step))):  # it holds for all of its minute
            curves.recall(
                first + number * step,
                Gauge() if cpu is None else Gauge(1, cpu, row["cpu_max"]),
                Gauge() if memory is None else Gauge(1, memory, memory),
            )
    curves.close(report.state.usage, ended)
    return report


def _sums(row: Row) -> Sums:
    sums = Sums()
    sums.add(row)
    return sums


def _state(run: Row, shares: Sequence[Row]) -> RunTelemetry:
    ended = run["state"] in ("stopped", "error")
    agents = dict.fromkeys([run["agent_id"] or "", *(share["agent"] for share in shares)])
    return RunTelemetry(
        run_id=run["run_id"], agent_id=run["agent_id"], team_id=run["team_id"],
        start=Lifecycle(
            "started", argv=run["argv"] and tuple(run["argv"]), cwd=run["cwd"], host=run["host"],
            labels=run["labels"], parent_run_id=run["parent_run_id"],
        ),
        started_at=run["started"],
        end=Lifecycle(
            run["state"], exit_code=run["exit_code"], signal=run["signal"], reason=run["reason"],
            duration_s=run["duration_s"], cpu_time_s=run["cpu_time_s"],
        ) if ended else None,
        agents={name: AgentTelemetry(name, run["team_id"] or "") for name in agents if name},
        usage=RecalledUsage(run=run, rows=shares),
        git_operations=run["git"] or {},
        log_levels={name: run[f"{name}s"] for name in ("error", "warning", "info") if run[f"{name}s"]},
        last_updated=run["ended"], peak_memory_mb=run["peak_memory_mb"],
    )  # fmt: skip
