"""REST and Prometheus, asked of a real server: every route, every error, every kind of run."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from run_logs import START, Log
from wrapper import until

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from rest_server import RestServer

from agentmon.events import Alert, Gap, ProcessMetrics, TokenUsage, Tree

PAST, OTHER, GONE, LOST = (f"2026112{n}T100000000Z-0123abcd" for n in range(4))
LIVE = "20261124T100000000Z-0123abcd"
NAMED = "../x y/é?%2F\n#1"  # what is in a file that a person names is any text
AGENT = 'a/b c?é%\n"<b>\x01'


@dataclass
class World:
    server: RestServer
    runs: Path
    live: Log
    named: Log

    def get(self, target: str) -> Any:
        return self.server.get(target)


def _finished(path: Path, run_id: str = "", team: str = "blue", code: int = 0) -> Log:
    log = Log(path, run_id, team=team)
    log.started()
    log.used(50.0)
    log.called()
    log.called(AGENT, 0.5)
    log.committed("First")
    log.said("planning the work")
    log.said("Oh NO, a größer <script>", "error", AGENT)
    log.used(100.0)
    log.write(Alert("cost", "warning", 0.75, 0.5, "told"))
    log.write(Gap(10, 2, "slow disk", stream="stdout"))
    log.ended(code)
    log.release()
    return log


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("rest")
    state = folder / "state"
    runs = state / "agentmon" / "runs"
    _finished(runs / f"{PAST}.ndjson")
    _finished(runs / f"{OTHER}.ndjson", team="web/2", code=3)
    _finished(runs / f"{GONE}.ndjson")
    lost = Log(runs / f"{LOST}.ndjson")
    lost.started()
    lost.release()
    for path in runs.iterdir():  # long ago: none of them is at work
        os.utime(path, (START - 1e8, START - 1e8))
    live = Log(runs / f"{LIVE}.ndjson", team="blue")
    live.now += 1000
    live.started()
    live.used()
    live.called()
    named = _finished(folder / "named.ndjson", NAMED, team="named")
    server = RestServer(state, str(folder / "named.ndjson"))
    try:
        until(lambda: len(server.get("/api/v1/runs")["runs"]) == 6, "the index")
        (runs / f"{GONE}.ndjson").unlink()
        until(lambda: len(server.get("/api/v1/agents")["agents"]) >= 3, "the live runs")
        yield World(server, runs, live, named)
    finally:
        server.close()
        live.release()


def ids(rows: list[Any]) -> list[str]:
    return [row["run_id"] for row in rows]


def run_url(run_id: str, rest: str = "") -> str:
    return f"/api/v1/runs/{quote(run_id, safe='')}{rest}"


def test_health(world: World):
    told = world.get("/healthz")
    assert (told["status"], told["runs_live"]) == ("ok", 1)


def test_teams_are_of_all_runs(world: World):
    teams = {team["team_id"]: team for team in world.get("/api/v1/teams")["teams"]}
    assert set(teams) == {"blue", "web/2", "named"}
    assert (teams["blue"]["runs"], teams["blue"]["running"], teams["blue"]["agents"]) == (4, 1, 2)
    assert (teams["web/2"]["calls"], teams["web/2"]["cost_usd"]) == (2, 0.75)
    assert (teams["named"]["calls"], teams["named"]["total_tokens"]) == (2, 2400)


def test_runs_are_those_that_go_on_and_those_of_the_past(world: World):
    told = until(lambda: (now := world.get("/api/v1/runs"))["indexing"] is None and now, "the index")
    states = {row["run_id"]: row["state"] for row in told["runs"]}
    assert states == {
        PAST: "stopped", OTHER: "error", GONE: "stopped", LOST: "lost", LIVE: "running", NAMED: "stopped",
    }  # fmt: skip
    assert told["next"] is None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("team=web%2F2", {OTHER}),
        ("team=named", {NAMED}),
        ("agent=" + quote(AGENT), {PAST, OTHER, GONE, NAMED}),
        ("state=running", {LIVE}),
        ("state=lost", {LOST}),
        ("state=error", {OTHER}),
        ("min_cost=0.7", {PAST, OTHER, GONE, NAMED}),
        ("min_cost=0.8", set()),
        ("label=a=b", set()),
        (f"since={START + 100}", {LIVE}),
        (f"until={START + 100}&team=web/2", {OTHER}),
        ("since=2126-01-01T00:00:00Z", set()),
        ("since=2026-01-01T00:00:00+01:00&team=named", {NAMED}),
        ("team=nobody", set()),
    ],
)
def test_runs_are_chosen(world: World, query: str, wanted: set[str]):
    assert set(ids(world.get(f"/api/v1/runs?{query}")["runs"])) == wanted


def test_runs_are_paged(world: World):
    whole = ids(world.get("/api/v1/runs")["runs"])
    page = world.get("/api/v1/runs?limit=2")
    got = ids(page["runs"])
    while page["next"] is not None:
        page = world.get(f"/api/v1/runs?limit=2&cursor={quote(page['next'])}")
        assert 0 < len(page["runs"]) <= 2
        got += ids(page["runs"])
    assert got == whole


@pytest.mark.parametrize("run_id", [PAST, OTHER, GONE, NAMED])
def test_one_run(world: World, run_id: str):
    told = world.get(run_url(run_id))
    assert (told["run_id"], told["calls"]) == (run_id, 2)
    assert {model["model"]: model["calls"] for model in told["models"]} == {"claude-sonnet-4-5": 2}
    assert [(agent["agent_id"], agent["is_main"], agent["calls"]) for agent in told["agents"]] == [
        ("crew", True, 1),
        (AGENT, False, 1),
    ]
    if run_id == GONE:
        assert (told["log"], told["alerts"], told["gaps"]) == (False, None, None)
    else:
        assert [(a["rule"], a["agent_id"]) for a in told["alerts"]] == [("cost", "crew")]
        assert [gap["lost_events"] for gap in told["gaps"]] == [2]


@pytest.mark.parametrize("run_id", [PAST, GONE, NAMED])
@pytest.mark.parametrize("agent_id", ["crew", AGENT])
def test_telemetry_of_each_agent(world: World, run_id: str, agent_id: str):
    told = world.get(run_url(run_id, f"/agents/{quote(agent_id, safe='')}"))
    asked = world.get(run_url(run_id, f"/agents?agent={quote(agent_id, safe='')}"))
    assert {**asked, "token_usage": None, "duration_s": None} == {**told, "token_usage": None, "duration_s": None}
    assert (told["run_id"], told["agent_id"], told["status"]) == (run_id, agent_id, "stopped")
    assert told["is_main"] == (agent_id == "crew")
    assert told["token_usage"]["cost_usd"] == (0.75 if agent_id == "crew" else 0.5)
    levels = [entry["level"] for entry in told["activity_logs"]]
    assert levels == ([] if run_id == GONE else ["info"] if agent_id == "crew" else ["error"])


def test_an_agent_by_its_newest_run(world: World):
    assert world.get("/api/v1/agents/crew?team=blue")["run_id"] == LIVE
    assert world.get("/api/v1/agents/crew?team=web%2F2")["run_id"] == OTHER
    assert world.get(f"/api/v1/agents/{quote(AGENT, safe='')}?team=blue")["run_id"] in (PAST, GONE)
    assert world.get(f"/api/v1/agents/{quote(AGENT, safe='')}")["team_id"] == "named"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", {(LIVE, "crew"), (NAMED, "crew"), (NAMED, AGENT)}),
        ("team=blue", {(LIVE, "crew")}),
        ("status=stopped", {(NAMED, "crew"), (NAMED, AGENT)}),
        ("q=A/B", {(NAMED, AGENT)}),
        ("q=CREW.PY&team=blue", {(LIVE, "crew")}),
    ],
)
def test_agents_at_work(world: World, query: str, wanted: set[tuple[str, str]]):
    agents = world.get(f"/api/v1/agents?{query}")["agents"]
    assert {(a["run_id"], a["agent_id"]) for a in agents} == wanted
    assert not any("activity_logs" in a or "samples" in a for a in agents)


@pytest.mark.parametrize("run_id", [PAST, NAMED])
@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("", [*range(1, 12)]),
        ("order=desc", [*range(11, 0, -1)]),
        ("limit=2", [1, 2]),
        ("limit=2&order=desc", [11, 10]),
        ("event=log_entry", [6, 7]),
        ("event=alert&event=gap", [9, 10]),
        ("event=git_activity", [5]),
        ("level=error", [7]),
        ("level=error&level=info", [6, 7]),
        ("level=info&event=alert", []),
        ("agent=" + quote(AGENT), [4, 7]),
        ("agent=nobody", []),
        ("q=oh+no", [7]),
        ("q=GR%C3%96%C3%9FER", []),
        ("q=gr%C3%B6%C3%9FER", [7]),
        ("q=first", [5]),
        (f"since={START + 3}", [6, 7, 8, 9, 10, 11]),
        (f"until={START + 1}", [1]),
        (f"since={START + 1}&until={START + 2}", [2, 3]),
    ],
)
def test_events_are_chosen(world: World, run_id: str, query: str, seqs: list[int]):
    told = world.get(run_url(run_id, f"/events?{query}"))
    assert [event["seq"] for event in told["events"]] == seqs
    assert all(event["run_id"] == run_id for event in told["events"])
    assert told["complete"]
    assert 0 <= told["scanned"]["since"] <= told["scanned"]["until"] <= told["scanned"]["size"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("query", ["", "&event=log_entry&event=llm_call"])
def test_events_are_paged_there_and_back(world: World, order: str, query: str):
    url = run_url(PAST, f"/events?order={order}{query}")
    whole = [event["seq"] for event in world.get(url)["events"]]
    onwards, back = ("after", "before") if order == "asc" else ("before", "after")
    pages = [world.get(f"{url}&limit=1")]
    while pages[-1]["next"] is not None:
        pages.append(world.get(f"{url}&limit=1&{onwards}={pages[-1]['next']}"))
    assert [event["seq"] for page in pages for event in page["events"]] == whole
    for before, page in pairwise(pages):
        if page["events"]:
            assert world.get(f"{url}&limit=1&{back}={page['previous']}")["events"] == before["events"]


def test_a_live_run_is_read_on(world: World):
    """`resume` of one page leads to what came since, and nothing else."""
    page = world.get(run_url(LIVE, "/events"))
    seen = [event["seq"] for event in page["events"]]
    for n in range(3):
        world.live.said(f"more {n}")
        page = world.get(run_url(LIVE, f"/events?after={page['resume']}"))
        seen += [event["seq"] for event in page["events"]]
    assert seen == [*range(1, len(seen) + 1)]
    assert len(seen) >= 6
    assert page["next"] is None
    assert world.get(run_url(LIVE, f"/events?after={page['resume']}"))["events"] == []


@pytest.mark.parametrize(
    "accept", ["application/x-ndjson", "text/html;q=0.9, application/x-ndjson;q=0.8, application/json;q=0.1"]
)
def test_lines_come_as_they_were_recorded(world: World, accept: str):
    answer = world.server.ask(run_url(PAST, "/events"), Accept=accept)
    assert answer.type == "application/x-ndjson"
    assert answer.body == (world.runs / f"{PAST}.ndjson").read_bytes()
    some = world.server.ask(run_url(PAST, "/events?event=log_entry&limit=1&order=desc"), Accept=accept)
    assert [event["seq"] for event in some.lines] == [7]


def test_a_run_whose_log_is_gone_has_its_series(world: World):
    told = world.get(run_url(GONE, "/series"))
    assert told["source"] == "index"
    assert (told["cpu_max"], told["memory_mb"], told["input_tokens"]) == ([100.0], [200.0], [None])
    answer = world.server.ask(run_url(GONE, "/events"))
    assert answer.status == 404
    assert "log" in answer.json["detail"]


@pytest.mark.parametrize("run_id", [PAST, NAMED])
def test_series_of_a_log(world: World, run_id: str):
    told = world.get(run_url(run_id, "/series"))
    assert told["source"] == "log"
    assert told["cpu_percent"] == [50.0, 100.0]
    assert told["input_tokens"] == [None, 2000]
    assert told["cost_usd"] == [None, 0.75]
    assert [(act["operation"], act["message"]) for act in told["git"]] == [("commit", "First")]
    own = world.get(run_url(run_id, f"/series?agent={quote(AGENT)}"))
    assert (own["input_tokens"], own["git"]) == ([None, 1000], [])
    some = world.get(run_url(run_id, f"/series?since={START + 3}"))
    assert (some["cpu_percent"], some["input_tokens"], some["git"]) == ([100.0], [2000], [])


def test_no_peak_is_lost(world: World):
    """Few points of many samples have the extremes of all, and the sums up to their end."""
    run_id = "20261125T100000000Z-0123abcd"
    log = Log(world.runs / f"{run_id}.ndjson", team="peaks")
    log.started()
    for n in range(1000):
        cpu = {333: 900.0, 667: 0.5}.get(n, 50.0)
        log.write(ProcessMetrics(7, cpu, 10.0, 2, "running", Tree(1, cpu, 1.0, 100.0 + n % 7, 2, 0, 0)))
        if n % 10 == 0:
            log.write(TokenUsage("m", 10, 1, 11, 0.01, source="sdk", call_id=f"c{n}"))
    log.ended()
    log.release()
    until(lambda: world.server.ask(run_url(run_id)).status == 200, "the new run")
    for count in (2, 7, 300, 1000, 5000):
        told = world.get(run_url(run_id, f"/series?points={count}"))
        length = len(told["timestamp"])
        assert min(count, 1000) <= length <= count or count > length >= 1000
        lists = {name: value for name, value in told.items() if isinstance(value, list) and name != "git"}
        assert {len(value) for value in lists.values()} == {length}
        assert told["timestamp"] == sorted(told["timestamp"])
        assert (max(told["cpu_max"]), min(told["cpu_min"])) == (900.0, 0.5)
        assert (max(told["memory_max"]), min(told["memory_min"])) == (106.0, 100.0)
        assert told["input_tokens"][-1] == 1000
        assert told["cost_usd"][-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("by", "names"), [("team", {"blue", "web/2"}), ("agent", {"crew", AGENT})])
def test_history(world: World, by: str, names: set[str]):
    rows = world.get(f"/api/v1/history?by={by}")["rows"]
    assert {row[by] for row in rows} >= names
    assert all(row["runs"] for row in rows)


@pytest.mark.parametrize(("by", "of"), [("day", None), ("team", "named"), ("agent", "crew"), ("agent", AGENT)])
def test_history_has_runs_that_the_index_does_not_know(world: World, by: str, of: str | None):
    """A log that was named: its sums are those of a past run that is the same."""
    told, same = (world.get(f"/api/v1/history?by={by}&team={team}")["rows"] for team in ("named", "web%2F2"))
    (row,), (past,) = ([row for row in rows if of is None or row[by] in (of, "web/2")] for rows in (told, same))
    assert {**row, by: None, "failed": None} == {**past, by: None, "failed": None}
    assert (row["runs"], row["failed"], row["running"]) == (1, 0, 0)
    assert row["cost_usd"] == {"crew": 0.25, AGENT: 0.5}.get(of or "", 0.75)
    assert [*world.get(f"/api/v1/history?by={by}&team=named&until=1000")["rows"]] == []


def test_history_by_model_counts_a_run_once(world: World):
    rows = world.get("/api/v1/history?by=model&team=named")["rows"]
    assert [(row["model"], row["runs"], row["calls"], row["cost_usd"]) for row in rows] == [
        ("claude-sonnet-4-5", 1, 2, 0.75)
    ]


def test_history_is_chosen(world: World):
    (row,) = world.get("/api/v1/history?by=day&team=web%2F2")["rows"]
    assert (row["runs"], row["failed"], row["calls"]) == (1, 1, 2)
    assert world.get("/api/v1/history?by=model&since=2126-01-01T00:00:00Z")["rows"] == []


def test_alerts_are_newest_first(world: World):
    told = world.get("/api/v1/alerts")
    assert {alert["run_id"] for alert in told["alerts"]} == {PAST, OTHER, NAMED}
    times = [alert["timestamp"] for alert in told["alerts"]]
    assert times == sorted(times, reverse=True)
    assert [a["team_id"] for a in world.get("/api/v1/alerts?team=web%2F2")["alerts"]] == ["web/2"]
    assert len(world.get("/api/v1/alerts?limit=1")["alerts"]) == 1
    assert world.get(f"/api/v1/alerts?since={START + 1e6}")["alerts"] == []


NO_SUCH_THING = [
    "/nothing",
    "/api/v1",
    "/api/v1/nothing",
    "/api/v1/runs/nope",
    "/api/v1/runs/",
    "/api/v1/runs/nope/events",
    "/api/v1/runs/nope/series",
    "/api/v1/runs/nope/agents/crew",
    f"/api/v1/runs/{PAST}/agents/nobody",
    f"/api/v1/runs/{GONE}/agents/nobody",
    f"/api/v1/runs/{GONE}/events",
    "/api/v1/agents/nobody",
    "/api/v1/agents/crew?team=nobody",
    "/api/v1/runs/..%2F..%2F..%2F..%2Fetc%2Fpasswd/events",
    "/api/v1/runs/%2e%2e%2f%2e%2e%2f%2e%2e%2fnamed/series",
    "/api/v1/runs/%00/events",
    "/api/v1/runs/%ff%fe",
    "/api/v1/runs/%zz",
    "/api/v1/runs/" + "a" * 5000,
]
UNFIT = [
    "/api/v1/runs?limit=0",
    "/api/v1/runs?limit=1e3",
    "/api/v1/runs?limit=99999999999999999999999",
    "/api/v1/runs?limit=",
    "/api/v1/runs?limit=%FF",
    "/api/v1/runs?state=sleeping",
    "/api/v1/runs?label=x",
    "/api/v1/runs?min_cost=nan",
    "/api/v1/runs?min_cost=-1",
    "/api/v1/runs?cursor=x",
    "/api/v1/runs?since=yesterday",
    "/api/v1/runs?since=nan",
    "/api/v1/runs?since=inf",
    "/api/v1/runs?since=1e999",
    "/api/v1/runs?since=2026-13-01T00:00:00Z",
    "/api/v1/runs?since=",
    f"/api/v1/runs/{PAST}/events?after=-1",
    f"/api/v1/runs/{PAST}/events?before=1.2.3",
    f"/api/v1/runs/{PAST}/events?event=nothing",
    f"/api/v1/runs/{PAST}/events?level=loud",
    f"/api/v1/runs/{PAST}/events?order=up",
    f"/api/v1/runs/{PAST}/events?limit=5001",
    f"/api/v1/runs/{PAST}/series?points=1",
    f"/api/v1/runs/{PAST}/series?points=x",
    "/api/v1/history?by=hour",
    "/api/v1/alerts?limit=0",
    "/api/v1/agents?status=asleep",
]
PROBLEMS = [
    *((target, {}, 404) for target in NO_SUCH_THING),
    *((target, {}, 422) for target in UNFIT),
    ("/api/v1/runs", {"Accept": "text/html"}, 406),
    ("/api/v1/teams", {"Accept": "application/xml, application/json;q=0"}, 406),
    (f"/api/v1/runs/{PAST}/events", {"Accept": "image/*"}, 406),
]


@pytest.mark.parametrize(("target", "headers", "status"), PROBLEMS)
def test_problems(world: World, target: str, headers: dict[str, str], status: int):
    answer = world.server.ask(target, **headers)
    assert (answer.status, answer.type) == (status, "application/problem+json"), answer
    problem = answer.json
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == target.partition("?")[0]
    assert ("errors" in problem) == (status == 422)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("target", ["/healthz", "/metrics", "/api/v1/runs", f"/api/v1/runs/{PAST}/events"])
def test_it_only_reads(world: World, method: str, target: str):
    answer = world.server.ask(target, method)
    assert (answer.status, answer.type) == (405, "application/problem+json"), answer
    assert "GET" in answer.headers["allow"]
    assert answer.json["instance"] == target


@pytest.mark.parametrize("target", ["/healthz", "/metrics", "/api/v1/runs", f"/api/v1/runs/{PAST}/events"])
def test_head_is_get_without_a_body(world: World, target: str):
    answer = world.server.ask(target, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_a_body_too_large_is_refused(world: World):
    answer = world.server.ask("/api/v1/runs", "GET", b"x" * (1 << 20))
    assert (answer.status, answer.type) == (413, "application/problem+json")


def test_a_fault_of_ours_is_a_problem(tmp_path: Path):
    """And tells nothing of what is inside."""
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from agentmon.views.serve import rest

    app = FastAPI()
    rest.install(app)  # without a hub
    answer = TestClient(app, raise_server_exceptions=False).get("/api/v1/teams?token=secret")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["instance"] == "/api/v1/teams"
    assert "hub" not in answer.text


def test_names_are_text(world: World):
    """A slash in a name is a part of it when it is encoded, and even where a proxy has decoded it."""
    log = _finished(world.named.path.with_name("second.ndjson"), "p/q")
    server = RestServer(world.runs.parents[1], str(log.path))
    try:
        until(lambda: server.ask("/api/v1/runs/p%2Fq").status == 200, "the run")
        for target in ("/api/v1/runs/p%2Fq", "/api/v1/runs/p/q", "/api/v1/runs/%70%2f%71"):
            assert server.get(target)["run_id"] == "p/q"
            assert server.get(f"{target}/agents/{quote(AGENT, safe='')}")["agent_id"] == AGENT
            assert len(server.get(f"{target}/events?limit=3")["events"]) == 3
        assert server.ask("/api/v1/runs/p%2Fq%2Fevents").status == 404
    finally:
        server.close()


def test_below_a_prefix_names_are_text_too(world: World):
    server = RestServer(world.runs.parents[1], str(world.named.path), "--root-path", "/tele/metry")
    try:
        until(lambda: server.ask(run_url(NAMED)).status == 200, "the run")
        for prefix in ("", "/tele/metry"):  # a proxy may take it off
            url = prefix + run_url(NAMED, f"/agents/{quote(AGENT, safe='')}")
            assert server.get(url)["agent_id"] == AGENT
            assert server.ask(prefix + run_url("nope")).json["instance"] == "/tele/metry" + run_url("nope")
    finally:
        server.close()


def test_metrics_are_what_prometheus_reads(world: World):
    parser = pytest.importorskip("prometheus_client.parser")
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1"
    answer = world.server.ask("/metrics", Accept=accept)
    assert answer.type == "text/plain; version=0.0.4; charset=utf-8"
    families = [*parser.text_string_to_metric_families(answer.body.decode())]
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
    assert len(samples) == sum(len(family.samples) for family in families)

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted(labels.items()))]

    own = {"team": "web/2", "agent": AGENT, "model": "claude-sonnet-4-5"}
    assert value("gen_ai_client_token_usage_total", gen_ai_token_type="input", **own) == 1000
    assert value("gen_ai_client_token_usage_total", gen_ai_token_type="output", **own) == 200
    assert value("agentmon_cost_usd_total", **own) == 0.5
    assert value("gen_ai_client_operations_total", **own) == 1
    assert value("process_cpu_utilization_ratio", team="blue", agent="crew") == 0.5
    assert value("process_memory_usage_bytes", team="blue", agent="crew") == 200 * (1 << 20)
    assert value("agentmon_runs_running", team="blue", agent="crew") == 1
    assert value("agentmon_runs_total", team="web/2", agent="crew", state="error") == 1
    assert value("agentmon_index_up") == 1
    for family in families:
        assert family.documentation
        assert family.type in ("gauge", "counter")
        assert {s.name for s in family.samples} == {family.name + ("_total" if family.type == "counter" else "")}
        assert re.fullmatch("[a-z][a-z0-9_]*", family.name)


def test_counters_never_go_down(world: World):
    def counted() -> dict[str, float]:
        lines = world.server.ask("/metrics").body.decode().split("\n")
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if "_total{" in line}

    before = counted()
    world.live.called()
    after = until(lambda: (now := counted()) != before and now, "the call")
    assert all(after[name] >= value for name, value in before.items())


def test_the_description_is_valid(world: World):
    validator = pytest.importorskip("openapi_spec_validator")
    description = world.get("/openapi.json")
    validator.validate(description)
    for path, operations in description["paths"].items():
        assert set(operations) == {"get"}, path  # the dashboard reads
        assert operations["get"]["summary"], path
        for status, reply in operations["get"]["responses"].items():
            assert status == "200" or set(reply["content"]) == {"application/problem+json"}, (path, status)
    schemas = description["components"]["schemas"]
    for name in ("AgentTelemetry", "Runs", "Run", "Events", "Series", "History", "Alerts", "Teams", "Problem"):
        assert schemas[name]["examples"], name


def test_schemathesis_finds_nothing(world: World, tmp_path: Path):
    """Requests made from the description, fit ones and unfit ones: every answer is as described."""
    pytest.importorskip("schemathesis")
    found = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{world.server.url}/openapi.json", "--checks", "all",
         "--max-examples", "10", "--seed", "1", "--request-timeout", "60", "--generation-database", "none",
         "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "12 selected / 12 total" in found.stdout


def test_the_examples_are_of_the_models():
    from agentmon.views.serve import models

    for model in vars(models).values():
        if isinstance(model, type) and issubclass(model, models.BaseModel) and model is not models.BaseModel:
            extra = model.model_config.get("json_schema_extra")
            for example in extra["examples"] if isinstance(extra, dict) else []:
                model.model_validate(example)
                json.dumps(example)


def test_figures_beyond_all_bounds_are_answered(tmp_path: Path):
    """Of a past run and of a named one: no sum of theirs is a fault of ours."""
    for path in (tmp_path / "agentmon" / "runs" / f"{PAST}.ndjson", tmp_path / "named.ndjson"):
        log = Log(path)
        log.started()
        for n in range(3):
            log.write(TokenUsage("m", 2**63, 1, 2**63 + 1, 1e308, source="sdk", call_id=f"c{n}"))
        log.write(Gap(2**63, 2**63, "a flood", stream="stdout"))
        log.ended()
        log.release()
        os.utime(path, (START - 1e8, START - 1e8))
    server = RestServer(tmp_path, str(tmp_path / "named.ndjson"))
    try:
        until(lambda: server.ask(run_url("named")).status == 200, "the run")
        for target in ("agents", "agents/crew", "runs", "teams", "history", "alerts"):
            server.get(f"/api/v1/{target}")
        for run_id in (PAST, "named"):
            for rest in ("", "/series", "/events", "/agents/crew"):
                server.get(run_url(run_id, rest))
        assert server.ask("/metrics").status == 200
    finally:
        server.close()


def test_a_damaged_index_is_a_problem_and_not_the_end(tmp_path: Path):
    folder = tmp_path / "agentmon"
    folder.mkdir()
    (folder / "history.sqlite3").write_bytes(b"no database" * 100)
    server = RestServer(tmp_path)
    try:
        answer = server.ask("/api/v1/runs")
        assert (answer.status, answer.type) == (503, "application/problem+json")
        assert "history rebuild" in answer.json["detail"]
        assert server.get("/healthz")["status"] == "ok"
        assert server.get("/api/v1/agents") == {"agents": []}
        assert b"agentmon_index_up 0" in server.ask("/metrics").body
        (folder / "history.sqlite3").unlink()
        until(lambda: server.ask("/api/v1/runs").status == 200, "a new index")
    finally:
        server.close()


def test_an_index_that_cannot_be_written_is_read(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    _finished(tmp_path / "agentmon" / "runs" / f"{PAST}.ndjson")
    (tmp_path / "agentmon").chmod(0o500)
    server = RestServer(tmp_path)
    try:
        assert ids(until(lambda: server.get("/api/v1/runs")["runs"])) == [PAST]
    finally:
        server.close()
        (tmp_path / "agentmon").chmod(0o700)


def test_a_run_that_has_no_log_here(world: World, tmp_path: Path):
    """It comes from a socket: its last samples are its series, and it has no events to page."""
    path = str(tmp_path / "crew.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    server = RestServer(tmp_path / "state", f"unix:{path}")
    try:
        client, _ = listening.accept()
        client.sendall((world.runs / f"{PAST}.ndjson").read_bytes())
        until(lambda: ids(server.get("/api/v1/runs")["runs"]) == [PAST], "the run")
        until(lambda: server.get(run_url(PAST))["state"] == "stopped", "its end")
        told = server.get(run_url(PAST, "/series"))
        assert (told["source"], told["cpu_percent"]) == ("live", [50.0, 100.0, None])  # the last is what was used
        assert told["cost_usd"] == [None, None, 0.75]
        assert [act["message"] for act in told["git"]] == ["First"]
        assert server.ask(run_url(PAST, "/events")).status == 404
        assert server.get(run_url(PAST))["log"] is False
        assert server.get(run_url(PAST, f"/agents/{quote(AGENT, safe='')}"))["agent_id"] == AGENT
        client.close()
    finally:
        listening.close()
        server.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer wrong"}, 401),
    ],
)
def test_who_is_not_let_in_is_told_so(world: World, tmp_path: Path, headers: dict[str, str], status: int):
    """By the guard, which stands before everything, in the same form."""
    server = world.server if status == 403 else RestServer(tmp_path, "--token", "right")
    try:
        answer = server.ask("/api/v1/runs", **headers)
        assert (answer.status, answer.type) == (status, "application/problem+json"), answer
        assert (answer.json["status"], answer.json["instance"]) == (status, "/api/v1/runs")
        if status == 401:
            assert server.ask("/api/v1/runs", Authorization="Bearer right").status == 200
    finally:
        if server is not world.server:
            server.close()
