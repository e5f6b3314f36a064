"""REST: teams, agents, history, alerts and health. Runs are in rest_runs, metrics for Prometheus in prometheus."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query
from starlette.responses import Response

from agentmon import __version__, index_query
from agentmon.index_query import Wanted
from agentmon.views.serve import alerts, models, problems, prometheus, rest_runs, rows
from agentmon.views.serve.answers import answer, json_only
from agentmon.views.serve.asked import Agent, AgentId, IdRoute, Since, Team, Until, name_of
from agentmon.views.serve.problems import Problem
from agentmon.views.serve.sources import From

_LIMIT = 100

router = APIRouter(route_class=IdRoute, generate_unique_id_function=name_of, dependencies=[Depends(json_only)])


def install(app: FastAPI) -> None:
    """Add all of it to an app, whose state has `hub` and `past`."""
    app.include_router(router)
    app.include_router(rest_runs.router)
    app.include_router(prometheus.router)
    problems.install(app)


@router.get("/healthz", tags=["server"], summary="Whether the server is there", response_model=models.Health,
            responses=problems.responses())  # fmt: skip
async def healthz(of: From) -> Response:
    return answer({"status": "ok", "version": __version__, "runs_live": len(of.running())})


@router.get("/api/v1/teams", tags=["teams"], summary="All teams", response_model=models.Teams,
            responses=problems.responses(_503="The index cannot be read"))  # fmt: skip
async def teams(of: From) -> Response:
    """Sums over the runs of each team."""
    known, others = await of.with_live(index_query.teams)
    return answer({"teams": rows.with_live_teams(known, others, time.time()), "indexing": of.indexing()})


@router.get("/api/v1/agents", tags=["agents"], summary="Agents at work", response_model=models.Agents,
            responses=problems.responses(_422="A parameter is not what it should be"))  # fmt: skip
async def agents(
    of: From,
    team: Team = None,
    status: Annotated[models.Status | None, Query(description="In this state.")] = None,
    q: Annotated[str | None, Query(description="With this text in its name, team, run or command.")] = None,
) -> Response:
    """The agents of runs that go on, and of those that ended in the last minutes."""
    now = time.time()
    found = []
    for agent in of.hub.agents():
        if team is not None and agent.team_id != team:
            continue
        telemetry = agent.telemetry(now)
        if (status is None or telemetry["status"] == status) and (not q or _has(telemetry, q.casefold())):
            del telemetry["activity_logs"], telemetry["samples"]
            found.append(telemetry)
    return answer({"agents": found})


@router.get("/api/v1/agents/{agent_id:path}", tags=["agents"], summary="One agent, by its newest run",
            response_model=models.AgentTelemetry,
            responses=problems.responses(_404="There is no such agent", _503="The index cannot be read"))  # fmt: skip
async def agent(of: From, agent_id: AgentId, team: Team = None) -> Response:
    """An agent that is at work, else of the newest run in which it took part."""
    live = [a for a in of.hub.agents() if a.agent_id == agent_id and team in (None, a.team_id)]
    if live:
        newest = max(live, key=lambda a: (a.run.state.started_at or 0.0, a.run.run_id))
        return answer(newest.telemetry(time.time()))
    found = await of.ask(lambda index: index_query.runs(index, Wanted(team=team, agent=agent_id), 1))
    if not found:
        raise Problem(404, f"there is no agent {agent_id!r}" + (f" in team {team!r}" if team is not None else ""))
    return answer(await of.telemetry(found[0]["run_id"], agent_id))


@router.get("/api/v1/history", tags=["history"], summary="Sums over the runs so far", response_model=models.History,
            responses=problems.responses(_422="A parameter is not what it should be",
                                         _503="The index cannot be read"))  # fmt: skip
async def history(
    of: From,
    by: Annotated[Literal["day", "team", "model", "agent"], Query(description="What the sums are of.")] = "day",
    team: Team = None,
    agent: Agent = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """Per day (of the server's time zone), team, model or agent. since, until: when the runs began."""
    wanted = Wanted(team=team, agent=agent, since=since, until=until)
    found = await of.ask(lambda index: index_query.sums(index, wanted, by))
    return answer({"by": by, "rows": found, "indexing": of.indexing()})


@router.get("/api/v1/alerts", tags=["alerts"], summary="Alerts, newest first", response_model=models.Alerts,
            responses=problems.responses(_422="A parameter is not what it should be",
                                         _503="The index cannot be read"))  # fmt: skip
async def all_alerts(
    of: From,
    team: Team = None,
    since: Since = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = _LIMIT,
) -> Response:
    """Limits that were reached, in all runs whose logs are here."""
    found, complete = await alerts.newest(of, team, since, limit)
    return answer({"alerts": found, "complete": complete, "indexing": of.indexing()})


def _has(telemetry: dict[str, Any], text: str) -> bool:
    words = (telemetry["agent_id"], telemetry["team_id"], telemetry["run_id"], *(telemetry["argv"] or ()))
    return any(text in str(word).casefold() for word in words)
