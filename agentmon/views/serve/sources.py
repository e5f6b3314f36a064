"""Sources: the live runs of the hub and the past ones, as one."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import Depends
from starlette.requests import Request

from agentmon import index_query
from agentmon.index import Index
from agentmon.index_query import Wanted
from agentmon.views.serve import rows
from agentmon.views.serve.latest import latest
from agentmon.views.serve.past import PATIENCE_S, Log, Past, Progress, log_at, log_of
from agentmon.views.serve.problems import Problem
from agentmon.views.serve.reading import Reading

if TYPE_CHECKING:
    from agentmon.views.serve.hub import Hub
    from agentmon.views.serve.live import LiveRun

Row = dict[str, Any]
T = TypeVar("T")

READING_S = 1.2  # after this the index has to do


class Sources:
    """What a request is answered from."""

    def __init__(self, hub: "Hub", past: Past) -> None:
        self.hub, self.past = hub, past
        self._progress: Progress | None = None

    def watch(self, run_id: str) -> "LiveRun | None":
        """A run that goes on or ended lately."""
        return next((run for run in self.live() if run.run_id == run_id), None)

    def live(self) -> list["LiveRun"]:
        """Runs that go on or ended lately."""
        return [*{agent.run.run_id: agent.run for agent in self.hub.agents()}.values()]

    def running(self) -> list["LiveRun"]:
        """Runs that go on."""
        now = time.time()
        return [run for run in self.live() if run.status(now) in ("running", "stalled")]

    async def with_live(
        self, question: Callable[[Index], T], patience_s: float = PATIENCE_S
    ) -> tuple[T, list["LiveRun"]]:
        """What the index answers, and the live runs that it does not know: of files that were named, of sockets, and
        those that have just begun."""
        live = {run.run_id: run for run in self.live()}

        def ask(index: Index) -> tuple[T, set[str]]:
            return question(index), index_query.known(index, [*live])

        told, known = await self.ask(ask, patience_s)
        return told, [run for run_id, run in live.items() if run_id not in known]

    async def ask(self, question: Callable[[Index], T], patience_s: float = PATIENCE_S) -> T:
        """What the index answers, which may be not all yet. Raises AgentmonError."""
        told, progress = await self.past.ask(question, patience_s)
        self._progress = progress or self._progress
        return told

    def indexing(self) -> Row | None:
        """How far the index was when it was asked, if it was still being brought up to date."""
        progress = self._progress
        return None if progress is None else {"done": progress.done, "total": progress.total}

    async def runs(self, wanted: Wanted, limit: int) -> tuple[list[Row], Row | None]:
        """Runs, newest first, as they are now; and the last of the page, if there are more after it."""
        now = time.time()
        live = {run.run_id: run for run in self.live()}
        found, others = await self.with_live(lambda index: index_query.runs(index, wanted, limit + 1))
        found += [row for run in others if rows.is_wanted(row := rows.row_of(run, now), wanted, [*run.agents])]
        found.sort(key=lambda row: (row["started"] or 0.0, row["run_id"]), reverse=True)
        last = found[limit - 1] if len(found) > limit else None
        page = []
        for row in found[:limit]:
            run = live.get(row["run_id"])
            if run is not None:  # the index may be behind
                row = rows.row_of(run, now) | {"started": row["started"]}
                if not rows.is_wanted(row, wanted, [*run.agents]):
                    continue
            page.append(row)
        return page, last

    async def row(self, run_id: str) -> tuple[Row, list[Row]]:
        """A run, and what its agents used of which models. Raises Problem."""
        live = self.watch(run_id)
        if live is not None:
            return rows.row_of(live, time.time()), rows.shares_of(live)

        def ask(index: Index) -> tuple[list[Row], list[Row]]:
            return index_query.runs(index, Wanted(name=run_id), 1), index_query.shares(index, run_id)

        found, shares = await self.ask(ask)
        if not found:
            raise Problem(404, f"there is no run {run_id!r}")
        return found[0], shares

    async def log(self, run_id: str) -> Log | None:
        """A run's log; None where it has none, or none any more. Raises Problem for an unknown run."""
        live = self.watch(run_id)
        if live is not None and (log := log_at(live.name, run_id, live.team_id)) is not None:
            return log
        known = await self.ask(lambda index: index_query.known(index, [run_id]))
        if run_id in known:
            return log_of(run_id)
        if live is None:
            raise Problem(404, f"there is no run {run_id!r}")
        return None

    async def telemetry(self, run_id: str, agent_id: str) -> Row:
        """One agent of a run. Raises Problem."""
        live = self.watch(run_id)
        if live is not None:
            agent = live.agents.get(agent_id)
            if agent is None:
                raise _no_agent(run_id, agent_id)
            return agent.telemetry(time.time())
        log = await self.log(run_id)
        if log is not None:
            with suppress(OSError):  # it went in this moment
                told = await self.past.read_soon(log, lambda reading: _told(reading, agent_id), READING_S)
                if told is not None:
                    return told
        row, shares = await self.row(run_id)
        if agent_id != row["agent_id"] and not any(share["agent"] == agent_id for share in shares):
            raise _no_agent(run_id, agent_id)
        known = rows.telemetry(row, agent_id, shares)
        if log is not None:
            with suppress(OSError):
                known |= await anyio.to_thread.run_sync(latest, log.path, agent_id)
        return known


def sources(request: Request) -> Sources:
    """Of the app that has the request."""
    state = request.app.state
    return Sources(state.hub, state.past)


From = Annotated[Sources, Depends(sources)]


def _told(reading: Reading, agent_id: str) -> Row | None:
    agent = reading.agents.get(agent_id)
    return None if agent is None else agent.telemetry(time.time())


def _no_agent(run_id: str, agent_id: str) -> Problem:
    return Problem(404, f"there is no agent {agent_id!r} in run {run_id!r}")
