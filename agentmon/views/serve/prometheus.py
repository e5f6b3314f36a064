"""Prometheus: what the agents use and cost, and how the server fares, as metrics to scrape.

Names are those of OpenTelemetry in the form that its rules give them for Prometheus: dots become underscores, the unit
is a word at the end (`By` is bytes, a share is a ratio), and a sum that only grows ends in `_total`. The format is
three lines of code, which a client library with its registry of global metrics would not make simpler.

Teams, agents and models are names that children chose: only so many combinations are told apart, and what is beyond
goes into one that is called `_other`, so that sums stay what they are.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from agentmon import __version__, index_query
from agentmon.errors import AgentmonError
from agentmon.index import Index
from agentmon.views.serve import rows
from agentmon.views.serve.asked import IdRoute, name_of
from agentmon.views.serve.problems import responses
from agentmon.views.serve.sources import From, Sources

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "_other"
_MOST = 500  # combinations of team, agent and model
_LONGEST = 200  # characters of a name
_PATIENCE_S = 2.0

router = APIRouter(route_class=IdRoute, generate_unique_id_function=name_of)

Labels = tuple[tuple[str, str], ...]
Row = dict[str, Any]


@dataclass(slots=True)
class Metric:
    """One metric with its samples. kind: gauge or counter."""

    name: str
    kind: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)

    def add(self, value: float | None, **labels: str) -> None:
        """Add to a sample; None is unknown, and no sample is made of it."""
        if value is not None:
            key = tuple(labels.items())
            self.samples[key] = self.samples.get(key, 0.0) + value

    def lines(self) -> Iterator[str]:
        """In the text format, 0.0.4; nothing without samples."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {_help(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples.items():
            told = ",".join(f'{name}="{_value(text)}"' for name, text in labels)
            yield f"{self.name}{{{told}}} {_number(value)}" if told else f"{self.name} {_number(value)}"


@dataclass(slots=True)
class Counted:
    """What must not go down as long as the server runs, and which names are told apart."""

    highest: dict[tuple[str, Labels], float] = field(default_factory=dict)
    names: set[tuple[str, ...]] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def known(self, *names: str) -> tuple[str, ...]:
        """These names, cut to a length, or `_other` where there are too many already."""
        short = tuple(name[:_LONGEST] for name in names)
        if short in self.names or len(self.names) < _MOST:
            self.names.add(short)
            return short
        return (OTHER,) * len(short)

    def settle(self, metric: Metric) -> None:
        """A figure that was reconciled downwards stays where it was until it grows."""
        if metric.kind == "counter":
            for labels, value in metric.samples.items():
                key = metric.name, labels
                self.highest[key] = metric.samples[labels] = max(value, self.highest.get(key, 0.0))


@router.get("/metrics", tags=["server"], summary="Metrics for Prometheus", response_class=Response,
            responses=responses() | {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
                                           "description": "The text format 0.0.4"}})  # fmt: skip
async def metrics(request: Request, of: From) -> Response:
    """Of agents at work their processes; of all runs so far tokens, calls and cost; of the server itself."""
    counted = _counted(request.app.state)
    used, ended, is_indexed = await _sums_so_far(of)
    async with counted.lock:
        told = [*_processes(of, counted), *_own(of)]
        text = await anyio.to_thread.run_sync(_text, told, used, ended, is_indexed, counted)
    return Response(text, media_type=MEDIA_TYPE)


def _counted(state: Any) -> Counted:
    if not hasattr(state, "counted"):
        state.counted = Counted()
    kept: Counted = state.counted
    return kept


def _processes(of: Sources, counted: Counted) -> Iterable[Metric]:
    """Of the process trees that run now, under the names of their runs' own agents."""
    cpu = Metric("process_cpu_utilization_ratio", "gauge", "CPU in use by the process tree; 1 is one core.")
    memory = Metric("process_memory_usage_bytes", "gauge", "Memory in use by the process tree.")
    threads = Metric("process_thread_count", "gauge", "Threads of the process tree.")
    processes = Metric("agentmon_process_count", "gauge", "Processes of the tree.")
    running = Metric("agentmon_runs_running", "gauge", "Runs that go on.")
    last = Metric("agentmon_last_event_timestamp_seconds", "gauge", "When a run that goes on was heard of last.")
    for run in of.running():
        team, agent = counted.known(run.team_id, run.state.agent_id or "")
        running.add(1, team=team, agent=agent)
        labels = (("team", team), ("agent", agent))
        last.samples[labels] = max(last.samples.get(labels, 0.0), run.state.last_updated or 0.0)
        tree = run.tree
        if tree is None:
            continue
        cpu.add(None if tree.cpu_percent is None else tree.cpu_percent / 100, team=team, agent=agent)
        memory.add(None if tree.memory_mb is None else tree.memory_mb * (1 << 20), team=team, agent=agent)
        threads.add(tree.threads, team=team, agent=agent)
        processes.add(tree.processes, team=team, agent=agent)
    return cpu, memory, threads, processes, running, last


async def _sums_so_far(of: Sources) -> tuple[list[Row], list[Row], bool]:
    """What was used by team, agent and model, which runs ended, and whether the history is among that."""
    now = time.time()
    used: list[Row] = []
    ended: list[Row] = []
    is_indexed = True
    try:
        (used, ended), live = await of.with_live(_sums, _PATIENCE_S)
    except AgentmonError:
        live, is_indexed = of.live(), False
    for run in live:
        used += [{"team": run.team_id, **share} for share in rows.shares_of(run)]
        row = rows.row_of(run, now)
        if row["state"] != "running":
            ended.append({"team": run.team_id, "agent": row["agent_id"] or "", "state": row["state"], "runs": 1})
    return used, ended, is_indexed


def _text(told: list[Metric], used: list[Row], ended: list[Row], is_indexed: bool, counted: Counted) -> str:
    told += _used(used, ended, is_indexed, counted)
    for metric in told:
        counted.settle(metric)
    return "".join(f"{line}\n" for metric in told for line in metric.lines())


def _used(used: list[Row], ended: list[Row], is_indexed: bool, counted: Counted) -> Iterable[Metric]:
    """Over all runs so far, those that go on included."""
    tokens = Metric("gen_ai_client_token_usage_total", "counter", "Tokens used; cached ones are a part of the input.")
    cached = Metric(
        "agentmon_cached_tokens_total", "counter", "Input tokens that were read from or written to a cache."
    )
    calls = Metric("gen_ai_client_operations_total", "counter", "Model calls.")
    cost = Metric("agentmon_cost_usd_total", "counter", "US dollars.")
    runs = Metric("agentmon_runs_total", "counter", "Runs that ended, by how they did.")
    indexed = Metric("agentmon_index_up", "gauge", "Whether the history of runs can be read.")
    indexed.add(is_indexed)
    for share in used:
        team, agent, model = counted.known(share["team"], share["agent"], share["model"])
        labels = {"team": team, "agent": agent, "model": model}
        tokens.add(share["input_tokens"], **labels, gen_ai_token_type="input")
        tokens.add(share["output_tokens"], **labels, gen_ai_token_type="output")
        cached.add(share["cache_read_tokens"], **labels, operation="read")
        cached.add(share["cache_write_tokens"], **labels, operation="write")
        calls.add(share["calls"] or None, **labels)
        cost.add(share["cost_usd"], **labels)
    for row in ended:
        team, agent = counted.known(row["team"], row["agent"])
        runs.add(row["runs"], team=team, agent=agent, state=row["state"])
    return tokens, cached, calls, cost, runs, indexed


def _sums(index: Index) -> tuple[list[Row], list[Row]]:
    return index_query.usage(index), index_query.ended(index)


def _own(of: Sources) -> Iterable[Metric]:
    """Of the server."""
    import psutil

    build = Metric("agentmon_build_info", "gauge", "The version of this server.")
    build.add(1, version=__version__)
    clients = Metric("agentmon_serve_clients", "gauge", "WebSocket clients.")
    clients.add(of.hub.clients_connected)
    sent = Metric("agentmon_serve_frames_sent_total", "counter", "Frames given to WebSocket clients.")
    sent.add(of.hub.frames_sent)
    watched = Metric("agentmon_serve_runs_live", "gauge", "Runs that go on.")
    watched.add(len(of.running()))
    process = psutil.Process()
    memory = Metric("process_resident_memory_bytes", "gauge", "Memory of the server itself.")
    memory.add(process.memory_info().rss)
    times = process.cpu_times()
    cpu = Metric("process_cpu_seconds_total", "counter", "CPU time of the server itself.")
    cpu.add(times.user + times.system)
    started = Metric("process_start_time_seconds", "gauge", "When the server began, in Unix seconds.")
    started.add(process.create_time())
    return build, clients, sent, watched, memory, cpu, started


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _value(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if value in (math.inf, -math.inf):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))
