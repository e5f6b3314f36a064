"""REST: runs, their events and their series."""

import math
import os
import struct
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import anyio.to_thread
import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agentmon import index_query
from agentmon.index_query import Wanted as WantedRuns
from agentmon.ndjson import payload_dict
from agentmon.views.serve import models, rows, series
from agentmon.views.serve.answers import JSON, NDJSON, accepts, answer, json_only
from agentmon.views.serve.asked import (
    HEAD,
    Agent,
    AgentId,
    Cursor,
    IdRoute,
    RunId,
    Since,
    Team,
    Until,
    cursor_of,
    name_of,
    place_of,
)
from agentmon.views.serve.events_page import START, Page, Pager, Place
from agentmon.views.serve.problems import Problem, responses
from agentmon.views.serve.reading import Reading
from agentmon.views.serve.sources import READING_S, From
from agentmon.views.serve.wanted import Wanted

router = APIRouter(route_class=IdRoute, generate_unique_id_function=name_of, prefix="/api/v1/runs", tags=["runs"])

_PATIENT_S = 600.0

_Kind = Literal["lifecycle", "metrics_update", "git_activity", "llm_call", "log_entry", "alert", "gap"]
_Level = Literal["info", "warning", "error"]
_Label = Annotated[str, StringConstraints(pattern=r"^[^=]+=")]
_NOT_FOUND = "There is no such run"
_INVALID = "A parameter is not what it should be"
_UNREADABLE = "The index cannot be read"


@router.get("", summary="Runs, newest first", response_model=models.Runs, dependencies=[Depends(json_only)],
            responses=responses(_422=_INVALID, _503=_UNREADABLE))  # fmt: skip
async def runs(
    of: From,
    team: Team = None,
    agent: Agent = None,
    label: Annotated[list[_Label], Query(description="With this label.", examples=[["ticket=42"]])] = [],  # noqa: B006
    state: Annotated[models.State | None, Query(description="In this state.")] = None,
    since: Since = None,
    until: Until = None,
    min_cost: Annotated[float | None, Query(ge=0, allow_inf_nan=False, description="US dollars.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{16}-[\s\S]+$", description="`next` of the page before.")
    ] = None,
) -> Response:
    """Those that go on and those of the past, also where the log is gone. since, until: when they began."""
    labels = tuple((key, value) for key, _, value in (text.partition("=") for text in label))
    wanted = WantedRuns(
        team=team, agent=agent, labels=labels, since=since, until=until, min_cost=min_cost, state=state,
        before=_after_run(cursor),
    )  # fmt: skip
    found, last = await of.runs(wanted, limit)
    return answer(
        {"runs": found, "next": _run_cursor(last) if last is not None else None, "indexing": of.indexing()}
    )  # fmt: skip


@router.get("/{run_id:path}/agents/{agent_id:path}", summary="One agent of a run",
            response_model=models.AgentTelemetry, dependencies=[Depends(json_only)],
            responses=responses(_404="There is no such run or agent", _503=_UNREADABLE))  # fmt: skip
async def agent_of_run(of: From, run_id: RunId, agent_id: AgentId) -> Response:
    """With its last log entries and git acts. Of a run whose log is gone, what the index knows."""
    return answer(await of.telemetry(run_id, agent_id))


@router.get("/{run_id:path}/events", summary="Events of a run", response_model=models.Events,
            responses=responses(_404="There is no such run, or its log is gone", _406="Neither form is wanted",
                                _422=_INVALID, _503=_UNREADABLE)
            | {200: {"content": {NDJSON: {"schema": {"type": "string"}}},
                     "description": "A page; as NDJSON, all lines from there on as they were recorded"}})  # fmt: skip
async def events(
    request: Request,
    of: From,
    run_id: RunId,
    event: Annotated[list[_Kind], Query(description="Only of these kinds.")] = [],  # noqa: B006
    agent: Annotated[list[str], Query(description="Only of these agents.", examples=[["crew.py"]])] = [],  # noqa: B006
    level: Annotated[list[_Level], Query(description="Only log entries of these levels.")] = [],  # noqa: B006
    q: Annotated[
        str, Query(max_length=1000, description="Only with this text in the message; ASCII letters in either case.")
    ] = "",
    since: Since = None,
    until: Until = None,
    after: Cursor = None,
    before: Cursor = None,
    order: Annotated[Literal["asc", "desc"], Query(description="Which come first: the oldest, or the newest.")] = "asc",
    limit: Annotated[
        int | None, Query(ge=1, le=5000, description="At most so many: by default 200, as NDJSON all.")
    ] = None,
) -> Response:
    """Read where they are in the log. Without `after` and `before`, `order=asc` is the first page, `order=desc` the
    last one. A page says which bytes of the log were looked at: a search that takes long ends where its time is up, and
    `next` goes on from there."""
    form = accepts(request, JSON, NDJSON)
    if form is None:
        raise Problem(406, f"this is {JSON} or {NDJSON}; the Accept header takes neither")
    log = await of.log(run_id)
    if log is None:
        raise Problem(404, f"the log of run {run_id!r} is not on this machine (any more)")
    wanted = Wanted(frozenset(event), frozenset(agent), frozenset(level), q, since, until, log.run)
    try:
        pager = await anyio.to_thread.run_sync(_pager, log.path, wanted, of.past.reading(log))
    except OSError as error:
        raise Problem(404, f"the log of run {run_id!r} cannot be read: {error.strerror}") from None
    begin, end = place_of(after), place_of(before)
    if form == NDJSON and HEAD in request.scope:
        pager.close()
        return Response(media_type=NDJSON)
    if form == NDJSON and order == "asc":
        return StreamingResponse(_lines(pager, begin or START, end, limit), media_type=NDJSON)
    try:
        page = await anyio.to_thread.run_sync(_page, pager, begin, end, order, limit or 200)
    finally:
        pager.close()
    if form == NDJSON:
        lines = page.lines if order == "asc" else page.lines[::-1]
        return Response(b"".join(line + b"\n" for line in lines), media_type=NDJSON)
    return Response(_json(page, order), media_type=JSON)


@router.get("/{run_id:path}/series", summary="Figures of a run over time", response_model=models.Series,
            dependencies=[Depends(json_only)],
            responses=responses(_404=_NOT_FOUND, _422=_INVALID, _503=_UNREADABLE))  # fmt: skip
async def series_of_run(
    of: From,
    run_id: RunId,
    points: Annotated[int, Query(ge=2, le=10_000, description="At most so many.")] = 300,
    since: Since = None,
    until: Until = None,
    agent: Annotated[str | None, Query(description="Whose usage and git acts.", examples=["crew.py"])] = None,
) -> Response:
    """Several samples become one point with their mean, minimum and maximum: no peak is lost."""
    log = await of.log(run_id)
    if log is None and (live := of.watch(run_id)) is not None:
        return answer(series.of_live(live, points, since, until, agent))
    minutes = await of.ask(lambda index: index_query.minutes(index, run_id))
    reading = None
    if log is not None:
        patience = READING_S if minutes else _PATIENT_S
        try:
            told = await of.past.read_soon(log, lambda r: _points(r, points, since, until, agent), patience)
        except OSError:
            told = None
        if told is not None:
            return answer(told)
        under_way = of.past.reading(log)
        reading = under_way.progress if under_way is not None else 0.0
    row, _ = await of.row(run_id)
    low, high = -math.inf if since is None else since, math.inf if until is None else until
    kept = [minute for minute in minutes if low <= minute["timestamp"] < high]
    return answer(
        {**series.columns(series.of_minutes(kept, points)), "git": [],
         "since": row["started"] if since is None else since, "until": row["ended"] if until is None else until,
         "source": "index", "reading": reading}
    )  # fmt: skip


@router.get("/{run_id:path}", summary="One run", response_model=models.Run, dependencies=[Depends(json_only)],
            responses=responses(_404=_NOT_FOUND, _503=_UNREADABLE))  # fmt: skip
async def run(of: From, run_id: RunId) -> Response:
    """With the models and agents that took part, its alerts, and what is missing of it."""
    row, shares = await of.row(run_id)
    log = await of.log(run_id)
    told: tuple[list[Any], list[Any]] | None = None
    if log is not None:
        try:
            told = await of.past.read_soon(log, _moments, READING_S)
        except OSError:
            log = None
    alerts, gaps = told if told is not None else (None, None)
    if told is None and (live := of.watch(run_id)) is not None:
        alerts = [
            {**payload_dict(alert), "timestamp": at, "agent_id": agent.agent_id}
            for agent in live.agents.values()
            for at, alert in agent.alerts
        ]
        gaps = [payload_dict(gap) for gap in live.state.gaps]
    return answer(
        {**row, "log": log is not None, "models": rows.models_of(shares),
         "agents": rows.agents_of(shares, row["agent_id"]), "alerts": alerts, "gaps": gaps}
    )  # fmt: skip


def _moments(reading: Reading) -> tuple[list[Any], list[Any]]:
    told = [
        (moment.what.event, {**payload_dict(moment.what), "timestamp": moment.time, "agent_id": moment.agent_id})
        for moment in reading.moments
    ]
    return [what for kind, what in told if kind == "alert"], [what for kind, what in told if kind == "gap"]


def _points(
    reading: Reading, points: int, since: float | None, until: float | None, agent: str | None
) -> dict[str, Any]:
    whole = agent is None or agent == reading.state.agent_id or reading.state.agents.keys() == {agent}
    told = series.points(reading.series, points, since, until, None if whole else agent)
    if agent is not None and whole:
        told["git"] = [act for act in told["git"] if act["agent_id"] == agent]
    return told


def _pager(path: str, wanted: Wanted, reading: Reading | None) -> Pager:
    outline = reading.outline if reading is not None and reading.feed.is_current() else None
    return Pager(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), wanted, outline)


def _page(pager: Pager, after: Place | None, before: Place | None, order: str, limit: int) -> Page:
    if (order == "asc" and (after is not None or before is None)) or (after is not None and before is None):
        return pager.forwards(after or START, before, limit)
    return pager.backwards(before, after, limit)


def _json(page: Page, order: str) -> bytes:
    """The lines as they are: they were decoded, and are JSON."""
    older = cursor_of(page.older) if page.has_older else None
    newer = cursor_of(page.newer) if page.has_newer else None
    ascending = order == "asc"
    rest = {
        "next": newer if ascending else older, "previous": older if ascending else newer,
        "resume": cursor_of(page.newer), "complete": page.complete,
        "scanned": {"since": page.older[0], "until": page.newer[0], "size": page.size},
    }  # fmt: skip
    lines = page.lines if ascending else page.lines[::-1]
    return b'{"events":[' + b",".join(lines) + b"]," + orjson.dumps(rest)[1:]


def _lines(pager: Pager, after: Place, before: Place | None, limit: int | None) -> Iterator[bytes]:
    try:
        yield from pager.chunks(after, before, limit)
    finally:
        pager.close()


def _run_cursor(row: dict[str, Any]) -> str:
    return f"{struct.pack('>d', row['started'] or 0.0).hex()}-{row['run_id']}"


def _after_run(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    began, _, run_id = cursor.partition("-")
    return struct.unpack(">d", bytes.fromhex(began))[0], run_id
