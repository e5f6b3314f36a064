"""tail and top over a fleet's stream: what was there once and in order, then what is new, across faults."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import orjson
import pytest
from fleet_logs import grow, log, ship, start, stop
from fleet_stream import count, stored, with_jetstream
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from nats_server import NatsServer, Proxy, running
from run_logs import Log
from wrapper import Wrapper, until

from agentmon.errors import AgentmonError
from agentmon.feeds import nats
from agentmon.feeds.nats import Fleet
from agentmon.feeds.stream import stream_records
from agentmon.fleet.jetstream import access
from agentmon.replay import fold_file
from agentmon.views.board import Board


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running(tmp_path / "nats") as started:
        yield started


def view(wrapper: Wrapper, command: str, url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "agentmon", command, "--from", url, *options]
    return subprocess.run(words, env=wrapper.env, capture_output=True, timeout=60, stdin=DEVNULL)


def shown(wrapper: Wrapper, url: str, *options: str) -> list[bytes]:
    """What tail --json prints, line by line."""
    done = view(wrapper, "tail", url, "--json", *options)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout.splitlines()


class Follower:
    """`tail -f --json`, into a file."""

    def __init__(self, wrapper: Wrapper, url: str, *options: str) -> None:
        self.path = wrapper.folder / "seen.ndjson"
        words = [sys.executable, "-m", "agentmon", "tail", "-f", "--json", "--from", url, *options]
        with self.path.open("wb") as out:
            self.process = Popen(words, env=wrapper.env, stdout=out, stderr=PIPE, stdin=DEVNULL)

    def lines(self) -> list[bytes]:
        """Those that are there to their end."""
        return self.path.read_bytes().split(b"\n")[:-1]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_tail_shows_the_stream_and_parts_of_it(wrapper, server):
    web = log(wrapper, "20260115T080000000Z-aa", 300, team="web", agent="a.1")
    ops = log(wrapper, "20260115T080001000Z-bb", 200, team="ops", agent="b", end=False)
    ops.called()
    ops.committed()
    ship(wrapper, server.url)
    everything = [message.data for message in stored(server.url)]
    of_web, of_ops = web.path.read_bytes().splitlines(), ops.path.read_bytes().splitlines()
    assert shown(wrapper, server.url) == everything
    assert shown(wrapper, server.url, "--team", "web") == of_web
    assert shown(wrapper, server.url, "--team", "nobody") == []
    assert shown(wrapper, server.url, "--agent", "b") == of_ops
    assert shown(wrapper, server.url, "--event", "llm_call", "--event", "git_activity") == of_ops[-2:]
    assert shown(wrapper, server.url, "20260115T080001000Z") == of_ops
    assert shown(wrapper, server.url, "2026011") == everything
    assert shown(wrapper, server.url, "-n", "5") == everything[-5:]
    assert shown(wrapper, server.url, "--team", "web", "-n", "5") == of_web[-5:]
    people = view(wrapper, "tail", server.url, "--event", "git_activity")
    assert b"Add it" in people.stdout


@pytest.mark.parametrize("fault", ["kill", "drop", "cut"])
def test_a_follower_sees_each_event_once(fault, wrapper, server):
    proxy = Proxy(server.port)
    made = log(wrapper, "run", 2000, end=False)
    shipper = start(wrapper, server.url, "--follow")
    until(lambda: count(server.url) == 2001, "what is there")
    tail = Follower(wrapper, proxy.url)
    until(lambda: len(tail.lines()) == 2001, "what was there")
    grow(made, 500)
    match fault:
        case "kill":
            server.kill()
            server.start()
        case "drop":
            proxy.drop()
        case "cut":
            proxy.cut()
            until(lambda: count(server.url) == 2501, "what is new")
            proxy.heal()
    grow(made, 500)
    made.ended()
    made.release()
    expected = made.path.read_bytes().splitlines()
    until(lambda: len(tail.lines()) >= len(expected), "what is new")
    tail.end()
    proxy.close()
    stop(shipper)
    assert tail.lines() == expected


def test_a_follower_finds_streams_that_are_made_meanwhile(wrapper, server):
    """A team that gets a stream of its own; and a stream that is made anew, whose numbers begin again."""

    async def part(js):
        config = (await js.stream_info("AGENTMON")).config
        await js.update_stream(config, subjects=["agentmon.v1.ops.>"])
        await js.add_stream(name="AGENTMON-web", subjects=["agentmon.v1.web.>"])

    made = [log(wrapper, f"run-{team}", 50, end=False, team=team) for team in ("ops", "web")]
    ship(wrapper, server.url)
    tail = Follower(wrapper, server.url)
    until(lambda: len(tail.lines()) == 102, "what was there")
    with_jetstream(server.url, part)
    for one in made:
        grow(one, 20)
    ship(wrapper, server.url)
    until(lambda: len(tail.lines()) == 142, "what is in both streams")
    with_jetstream(server.url, lambda js: js.delete_stream("AGENTMON-web"))
    grow(made[1], 3)
    ship(wrapper, server.url)
    until(lambda: len(tail.lines()) == 145, "what is in a stream of that name again")
    tail.end()
    assert sorted(tail.lines()) == sorted(line for one in made for line in one.path.read_bytes().splitlines())


def test_an_event_that_is_in_the_stream_twice_counts_once(wrapper, server):
    made = log(wrapper, "run-1", 3, end=False)
    made.called()
    made.release()
    ship(wrapper, server.url)

    async def again(js):
        for message in stored_:
            await js.publish(message.subject, message.data, headers={"Nats-Msg-Id": message.message_id})

    async def forget(js):
        config = (await js.stream_info("AGENTMON")).config
        await js.update_stream(config, duplicate_window=0.1)

    stored_ = stored(server.url)
    with_jetstream(server.url, forget)
    until(lambda: (with_jetstream(server.url, again), count(server.url) >= 10)[1], "all of it twice")
    shown = view(wrapper, "top", server.url, "--once")
    assert b"$0.2500" in shown.stdout


@pytest.mark.parametrize("command", ["top", "tail"])
def test_what_fails_while_it_is_looked_at_is_no_end_of_the_view(command, wrapper, server, monkeypatch):
    """A stream that goes, a server that answers with an error, a file of ours that cannot be read for a moment."""
    log(wrapper, "run", 3)
    ship(wrapper, server.url)
    errors = [NotFoundError(), APIError(code=503, description="not now"), AgentmonError("no such file")]
    real = JetStreamContext.stream_info

    async def stream_info(self, name):
        if errors:
            raise errors.pop()
        return await real(self, name)

    monkeypatch.setattr(JetStreamContext, "stream_info", stream_info)
    said: list[str] = []
    where = access(server.url)
    if command == "top":
        fleet = Fleet(where, said.append)
        until(lambda: [*fleet.found()], "the run")
        fleet.close()
    else:
        batches = stream_records(where, said.append, None, frozenset(), None, None, "", None, None, True)
        assert len(next(found for found in batches if found)) == 5
        batches.close()
    assert ["no such" in said[0], "not now" in said[1], "NotFound" in said[2], "goes on" in said[3]] == [True] * 4
    assert len(said) == 4


def test_a_late_viewer_gets_the_state_of_what_goes_on(wrapper, server, tmp_path):
    """All calls and acts since a run began, though thousands of log entries came since; and of the rest the last."""
    early = log(wrapper, "run-1", 10, end=False, team="web", agent="early")
    for _ in range(5):
        early.called()
        early.committed()
        early.used()
    ship(wrapper, server.url)
    log(wrapper, "run-2", 15_000, team="ops", agent="noisy")
    ship(wrapper, server.url)
    late = log(wrapper, "run-3", 3, end=False, team="web", agent="late")
    ship(wrapper, server.url)
    early.called()
    ship(wrapper, server.url)

    def states(team: str | None) -> dict[str, object]:
        fleet = Fleet(access(server.url), lambda text: None, team)
        board = Board(fleet, lambda text: None)
        try:
            fleet.wait()
            while board.poll():
                pass
            return {watch.state.run_id: watch.state for watch in board.watches()}
        finally:
            board.close()

    found = states("web")
    assert found.keys() == {"run-1", "run-3"}
    for made in (early, late):
        whole, state = fold_file(str(made.path), print), found[made.run_id]
        assert state.usage.totals() == whole.usage.totals()
        assert state.git_operations == whole.git_operations
        assert state.process_metrics == whole.process_metrics
        assert state.start == whole.start
        assert state.streams == 0
        said = {a: [*agent.activity_logs] for a, agent in whole.agents.items()}
        assert [*state.agents[made.agent].activity_logs][-1:] == said[made.agent][-1:]
    assert states(None).keys() == {"run-1", "run-2", "run-3"}  # run-2 has ended a moment ago


def test_runs_that_began_long_ago(wrapper, server, monkeypatch):
    """They are read from their beginning where that does not take long, unless they are lost; else it is said."""
    monkeypatch.setattr(nats, "_SINCE_S", -60.0)
    monkeypatch.setattr(nats, "_RECENT", 100)
    made = [log(wrapper, f"run-{number}", 200, end=False, agent=f"agent-{number}") for number in range(3)]
    for one in made:
        one.called()
        grow(one, 200)
    ship(wrapper, server.url)
    for one in made[:2]:
        one.called()
    ship(wrapper, server.url)

    def calls(*runs: str) -> tuple[dict[str | None, int], list[str]]:
        said: list[str] = []
        fleet = Fleet(access(server.url), said.append, runs=runs)
        board = Board(fleet, said.append)
        try:
            fleet.wait()
            while board.poll():
                pass
            return {watch.state.run_id: watch.state.usage.calls() for watch in board.watches()}, said
        finally:
            board.close()

    log(wrapper, "run-9", 200)
    ship(wrapper, server.url)
    for one in made[:2]:
        one.called()
    ship(wrapper, server.url)
    assert calls() == ({"run-0": 3, "run-1": 3, "run-9": 0}, [])
    assert calls("run-2") == ({"run-2": 1}, [])
    monkeypatch.setattr(nats, "_PAST", 5)
    found, said = calls()
    assert (found["run-0"], found["run-1"]) == (1, 1)
    assert len(said) == 1
    assert "began before what is read here" in said[0]
    monkeypatch.setattr(nats, "_LIFECYCLES", 4)
    assert calls() == (found, said)


def test_top_prints_a_team(wrapper, server):
    for team in ("web", "ops"):
        made = log(wrapper, f"run-{team}", 3, end=False, team=team, agent=f"agent-{team}")
        made.called()
    ship(wrapper, server.url)
    everything = view(wrapper, "top", server.url, "--once")
    assert everything.returncode == 0
    assert b"agent-web" in everything.stdout
    assert b"agent-ops" in everything.stdout
    web = view(wrapper, "top", server.url, "--once", "--team", "web")
    assert b"agent-web" in web.stdout
    assert b"$0.25" in web.stdout
    assert b"agent-ops" not in web.stdout
    one = view(wrapper, "top", server.url, "--once", "run-ops")
    assert b"agent-web" not in one.stdout
    assert b"agent-ops" in one.stdout


def _messages(frame: str | bytes) -> list[dict[str, Any]]:
    raw = orjson.loads(frame)
    return raw["data"]["events"] if raw.get("event") == "batch" else [raw]


def test_two_servers_of_a_dashboard_share_nothing(wrapper, server):
    client = pytest.importorskip("websockets.sync.client")
    pytest.importorskip("fastapi")
    for team in ("web", "ops"):
        log(wrapper, f"run-{team}", 3, end=False, team=team, agent=f"agent-{team}").called()
    shipper = start(wrapper, server.url, "--follow")
    elsewhere = Wrapper(wrapper.folder / "elsewhere")
    words = [sys.executable, "-m", "agentmon", "serve", "--port", "0", "--from", server.url]
    servers = [
        Popen([*words, *more], env=elsewhere.env, stdout=PIPE, stderr=DEVNULL) for more in ([], ["--team", "web"])
    ]
    for process, expected in zip(servers, ({"agent-web", "agent-ops"}, {"agent-web"}), strict=True):
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        with client.connect(f"{url.replace('http', 'ws')}ws", open_timeout=60) as socket:
            agents: set[str] = set()
            while agents != expected:
                agents |= {raw["agent_id"] for raw in _messages(socket.recv(60)) if raw.get("agent_id")}
                assert agents <= expected
        process.terminate()
        process.communicate(timeout=60)
    stop(shipper)


@pytest.mark.parametrize("command", [["tail"], ["tail", "-f"], ["top", "--once"]])
def test_a_server_that_is_not_there_is_one_line(command, wrapper):
    done = view(wrapper, command[0], "nats://me:s3cret@127.0.0.1:1", *command[1:])
    assert done.returncode == 125
    *_, last = done.stderr.decode().splitlines()
    assert "127.0.0.1:1: connection refused" in last
    assert "s3cret" not in done.stderr.decode()


def test_no_stream_yet(wrapper, server):
    assert shown(wrapper, server.url) == []
    assert view(wrapper, "top", server.url, "--once").returncode == 0
    tail = Follower(wrapper, server.url)
    made = Log(wrapper.state / "agentmon" / "runs" / "run.ndjson")
    made.started()
    ship(wrapper, server.url)
    until(lambda: [orjson.loads(line)["seq"] for line in tail.lines()] == [1], "the first event of all")
    tail.end()
