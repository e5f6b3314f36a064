"""What the page makes of frames, and how it finds its server again: a real browser, and sockets that the test plays."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from dashboard import Server, needed
from wrapper import WAIT_S, until

pytestmark = needed()
pytest_plugins = ["dashboard_fixtures"]
expect = pytest.importorskip("playwright.sync_api").expect

FOLD = """async (messages) => {
  const { Stream } = await import(new URL('static/stream.js', document.baseURI));
  const stream = new Stream('ws://127.0.0.1:9/ws');
  const told = [];
  stream.listen((kind, what) => kind === 'omitted' && told.push(what));
  for (const message of messages) stream._take(message);
  return { agents: [...stream.agents.values()], told };
}"""


def frame(event: str, data: Any, seq: int = 1, agent: str = "crew", at: float = 100.0, **more: Any) -> dict[str, Any]:
    """A message of the server."""
    return {
        "type": "agent_telemetry", "run_id": "r1", "agent_id": agent, "team_id": "web", "event": event, "data": data,
        "timestamp": at, "seq": seq, "stream": "s1", **more,
    }  # fmt: skip


def snapshot(agent: str = "crew", **fields: Any) -> dict[str, Any]:
    """The whole of an agent."""
    telemetry = {
        "run_id": "r1", "agent_id": agent, "team_id": "web", "status": "running", "started_at": 90.0, "is_main": True,
        "process_metrics": None, "git_activities": [], "git_operations": {}, "token_usage": {"input_tokens": 1},
        "activity_logs": [], "alerts": [], "lost_events": 0, "samples": {"cpu_percent": [], "memory_mb": []},
        "last_updated": 99.0, **fields,
    }  # fmt: skip
    return frame("snapshot", {"agent_telemetry": telemetry}, agent=agent)


def metrics(cpu: float, status: str = "running") -> dict[str, Any]:
    """One sample."""
    return {"process_metrics": {"pid": 1, "status": status, "tree": {"cpu_percent": cpu, "memory_mb": 10.0}}}


def act(source: str, sha: str) -> dict[str, Any]:
    """A commit."""
    return {"git_activity": {"operation": "commit", "sha": sha, "source": source}}


def said(text: str) -> dict[str, Any]:
    """A log entry."""
    return {"activity_log": {"timestamp": "2026-11-22T10:00:00Z", "level": "info", "message": text}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: it has nothing to tell."""
    one = Server(tmp_path_factory.mktemp("server"))
    yield one
    one.stop()


@pytest.fixture
def folded(server, opened):
    page = opened(server.base)
    return lambda *messages: page.evaluate(FOLD, list(messages))


def test_a_sample_is_of_all_agents_of_its_run_and_counts_once(folded):
    told = folded(
        snapshot(), snapshot("second", is_main=False), frame("metrics_update", metrics(5.0), at=101.0),
        frame("metrics_update", metrics(5.0), agent="second", at=101.0),
        frame("metrics_update", metrics(7.0), at=102.0), frame("metrics_update", metrics(0.0, "dead"), at=103.0),
    )["agents"]  # fmt: skip
    assert [agent["samples"]["cpu_percent"] for agent in told] == [[5.0, 7.0], [5.0, 7.0]]
    assert [agent["process_metrics"]["status"] for agent in told] == ["dead", "dead"]


def test_samples_go_on_where_the_clock_was_set_back(folded):
    (agent,) = folded(
        snapshot(), *(frame("metrics_update", metrics(cpu), at=at) for cpu, at in [(5.0, 9e3), (7.0, 2e3)])
    )["agents"]
    assert agent["samples"]["cpu_percent"] == [5.0, 7.0]


def test_a_batch_brings_the_sums_and_the_badge(folded):
    inner = [frame("log_entry", said("a")), frame("llm_call", {"token_usage": {"model": "m", "input_tokens": 9}})]
    sums = {"input_tokens": 10, "cost_usd": 0.5, "model": "m"}
    told = folded(
        snapshot(),
        frame("batch", {"events": inner, "omitted_logs": 7, "status": "stalled", "token_usage": sums}, 2),
    )
    (agent,) = told["agents"]
    assert (agent["status"], agent["token_usage"]) == ("stalled", sums)
    assert [log["message"] for log in agent["activity_logs"]] == ["a"]
    assert told["told"] == [{"key": "r1\ncrew", "logs": 7}]


def test_where_git_itself_speaks_prints_do_not_count(folded):
    acts = [act("output", "a"), act("trace2", "b"), act("output", "c"), act("trace2", "d")]
    (agent,) = folded(snapshot(), *(frame("git_activity", one) for one in acts))["agents"]
    assert [one["sha"] for one in agent["git_activities"]] == ["b", "d"]
    assert agent["git_operations"] == {"commit": 2}


def test_what_is_kept_is_bounded(folded):
    many = [frame("log_entry", said(str(n))) for n in range(120)]
    many += [frame("git_activity", act("trace2", str(n))) for n in range(30)]
    many += [frame("metrics_update", metrics(float(n)), at=200.0 + n) for n in range(300)]
    (agent,) = folded(snapshot(), *many)["agents"]
    assert [log["message"] for log in agent["activity_logs"]] == [str(n) for n in range(70, 120)]
    assert [one["sha"] for one in agent["git_activities"]] == [str(n) for n in range(20, 30)]
    assert agent["samples"]["cpu_percent"] == [float(n) for n in range(60, 300)]


def test_an_end_and_a_removal(folded):
    end = {"lifecycle": {"state": "error", "exit_code": None, "signal": "SIGKILL", "duration_s": 3.5}}
    (agent,) = folded(snapshot(), frame("lifecycle", end, at=105.0))["agents"]
    assert (agent["status"], agent["signal"], agent["duration_s"], agent["ended_at"]) == ("error", "SIGKILL", 3.5, 105)
    assert folded(snapshot(), {"type": "removed", "run_id": "r1", "agent_id": "crew"})["agents"] == []


def test_what_is_not_understood_is_passed_over(folded):
    odd = [{}, {"type": "x"}, frame("batch", {}), frame("batch", None), frame("metrics_update", {}), frame("new", {})]
    odd += [frame("log_entry", None), frame("git_activity", {"git_activity": None}), frame("snapshot", {})]
    (agent,) = folded(snapshot(), *odd, frame("log_entry", said("still there")))["agents"]
    assert [log["message"] for log in agent["activity_logs"]] == ["still there"]


class Played:
    """A server's side of the page's sockets, as the test says."""

    def __init__(self, page: Any) -> None:
        self.sockets: list[Any] = []
        self.received: list[dict[str, Any]] = []
        page.route_web_socket(lambda url: url.split("?")[0].endswith("/ws"), self._opened)

    def _opened(self, socket: Any) -> None:
        socket.on_message(lambda text: self.received.append(json.loads(text)))
        self.sockets.append(socket)

    def tell(self, *messages: dict[str, Any]) -> None:
        """On the newest socket."""
        for message in messages:
            self.sockets[-1].send(json.dumps(message))


def hello(stream: str, **more: Any) -> dict[str, Any]:
    """A server's first words."""
    return {"type": "hello", "stream": stream, "seq": 0, "version": "1", "server_time": 100.0, "teams": [], **more}


@pytest.fixture
def played(server, browser):
    page = browser.new_page()
    page.set_default_timeout(WAIT_S * 1000)
    page.clock.install()
    server_side = Played(page)
    page.goto(server.base)
    until(lambda: page.evaluate("1") and server_side.sockets, "the first connection")
    yield page, server_side
    page.close()


def connections(page: Any, played: Played, number: int) -> None:
    """Let time pass until there were so many."""
    until(lambda: page.clock.run_for(500) or len(played.sockets) >= number, f"{number} connections")


def test_it_goes_on_where_it_was(played):
    page, server = played
    server.tell(hello("s1"), snapshot(), frame("log_entry", said("one"), seq=41))
    cards = page.locator("agent-telemetry-card")
    until(lambda: page.clock.run_for(200) or cards.count() == 1, "the card")
    server.sockets[-1].close()
    connections(page, server, 2)
    assert server.sockets[0].url.endswith("/ws")
    assert server.sockets[1].url.endswith("/ws?since=41&stream=s1")
    server.tell(hello("s1", resumed=True))
    page.clock.run_for(10_000)
    expect(cards).to_have_count(1)


@pytest.mark.parametrize("words", [{"stream": "s2"}, {"stream": "s1", "resumed": False}])
def test_what_another_server_does_not_know_goes(played, words):
    page, server = played
    server.tell(hello("s1"), snapshot(), snapshot("second"))
    cards = page.locator("agent-telemetry-card")
    until(lambda: page.clock.run_for(200) or cards.count() == 2, "the cards")
    server.sockets[-1].close()
    connections(page, server, 2)
    server.tell(hello(**words), snapshot())
    until(lambda: page.clock.run_for(500) or cards.count() == 1, "the other card to go")


def test_a_silent_server_is_asked_and_then_left(played):
    page, server = played
    server.tell(hello("s1"))
    until(lambda: page.clock.run_for(1000) or server.received, "a ping")
    assert server.received[0] == {"action": "ping"}
    server.tell({"type": "pong"})
    page.evaluate("1")  # the page has it before its clock goes on
    page.clock.run_for(15_000)
    assert len(server.sockets) == 1
    connections(page, server, 2)


def test_pauses_between_attempts_grow(played):
    page, server = played
    server.sockets[-1].close()
    pauses = []
    for number in range(2, 8):
        steps = 0
        while len(server.sockets) < number:
            page.clock.run_for(100)
            page.evaluate("1")
            steps += 1
            assert steps < 400
        pauses.append(steps)
        server.sockets[-1].close()
    assert max(pauses[:2]) < min(pauses[-2:])
