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
from fleet_stream import count, stored
from nats_server import NatsServer, Proxy, running
from run_logs import Log
from wrapper import Wrapper, until

from agentmon.feeds.nats import Fleet
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
        return self.path.read_bytes().splitlines()

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
        with client.connect(f"{url.replace('http', 'ws')}ws") as socket:
            agents: set[str] = set()
            while agents != expected:
                agents |= {raw["agent_id"] for raw in _messages(socket.recv(20)) if raw.get("agent_id")}
                assert agents <= expected
        process.terminate()
        process.communicate(timeout=20)
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
