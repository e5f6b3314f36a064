"""Alerts of all runs, newest first: those of live runs from the hub, those of past ones from their logs."""

import os
import time
from contextlib import suppress
from typing import Any

from agentmon import index_query
from agentmon.events import Alert
from agentmon.ndjson import decode, payload_dict
from agentmon.views.serve.events_page import START, Pager
from agentmon.views.serve.past import log_of
from agentmon.views.serve.sources import Sources
from agentmon.views.serve.wanted import Wanted

_MOST = 1_000  # of one run
_BUDGET_S = 2.0

Row = dict[str, Any]


async def newest(of: Sources, team: str | None, since: float | None, limit: int) -> tuple[list[Row], bool]:
    """The newest alerts, and whether these are surely all that were asked for."""
    live = of.live()
    found = [
        {
            **payload_dict(alert),
            "timestamp": at,
            "agent_id": agent.agent_id,
            "run_id": run.run_id,
            "team_id": run.team_id,
        }
        for run in live
        if team in (None, run.team_id)
        for agent in run.agents.values()
        for at, alert in agent.alerts
    ]
    names = {run.run_id for run in live}
    past = await of.ask(lambda index: index_query.alerted(index, team, since))
    until = time.monotonic() + _BUDGET_S
    complete = True
    for row in past:
        if row["run_id"] in names:
            continue
        if len(found) >= limit and sorted((a["timestamp"] for a in found), reverse=True)[limit - 1] >= row["ended"]:
            break  # whatever else there is, is older
        if time.monotonic() >= until:
            complete = False
            break
        log = log_of(row["run_id"])
        if log is None:
            continue
        with suppress(OSError):  # it went in this moment
            found += [{**alert, **_run(row)} for alert in await of.past.remembered(log, alerts_of)]
    found = [alert for alert in found if since is None or alert["timestamp"] >= since]
    found.sort(key=lambda alert: (alert["timestamp"], alert["run_id"]), reverse=True)
    return found[:limit], complete


def _run(row: Row) -> Row:
    return {"run_id": row["run_id"], "team_id": row["team_id"]}


def alerts_of(path: str) -> list[Row]:
    """All alerts of a log, oldest first. Raises OSError."""
    pager = Pager(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), Wanted(events=frozenset({"alert"})))
    try:
        page = pager.forwards(START, None, _MOST, _BUDGET_S)
    finally:
        pager.close()
    events = [decode(line) for line in page.lines]
    return [
        {**payload_dict(event.payload), "timestamp": event.timestamp, "agent_id": event.agent_id}
        for event in events
        if isinstance(event.payload, Alert)
    ]
