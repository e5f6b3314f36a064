"""What a late reader of a socket gets first, taken up again; and sockets as sources of lines."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_logs import Log

from agentmon import ndjson
from agentmon.collect.viewed import Viewed
from agentmon.decoder import Decoder
from agentmon.events import ActivityLog, Alert, Event, Gap, TokenUsage
from agentmon.feeds.apart import Apart, Claims, key_of
from agentmon.feeds.feed import Feed
from agentmon.feeds.logs import Named
from agentmon.feeds.socket import SocketFeed, Sockets
from agentmon.piece import Piece
from agentmon.replay import fold_file
from agentmon.snapshot import is_snapshot, restore
from agentmon.telemetry import RunTelemetry, apply, fold, telemetry_dict


def recorded(tmp_path: Path) -> list[bytes]:
    log = Log(tmp_path / "r1.ndjson")
    log.started()
    log.used()
    for number in range(3):
        log.called()
        log.called(agent="writer")
        log.committed(f"commit {number}")
        log.said(f"line {number}")
    log.write(Alert("budget", "critical", 5.0, 4.0, "stop"))
    log.write(Gap(10, 3, "the disk was full"))
    log.called()
    log.used(cpu=7.0)
    log.ended()
    return log.path.read_bytes().splitlines()


def snapshot_of(lines: list[bytes]) -> bytes:
    state = fold(map(ndjson.decode, lines))
    return ndjson.snapshot(state.last_seq, "r1", "crew", "blue", telemetry_dict(state), 5.0).rstrip()


@pytest.mark.parametrize("seen", range(1, 17))
def test_a_snapshot_and_the_rest_add_up_to_the_whole(tmp_path: Path, seen: int) -> None:
    lines = recorded(tmp_path)
    whole = fold(map(ndjson.decode, lines))
    state = RunTelemetry()
    line = snapshot_of(lines[:seen])
    assert is_snapshot(line)
    restore(state, line)
    for rest in lines[seen:]:
        apply(state, ndjson.decode(rest))
    expected, told = telemetry_dict(whole), telemetry_dict(state)
    assert told == expected


def test_a_total_that_holds_what_came_before_is_not_added_to_it(tmp_path: Path) -> None:
    lines = recorded(tmp_path)
    state = RunTelemetry()
    restore(state, snapshot_of(lines))
    before = state.usage.totals()
    assert (before.input_tokens, state.usage.calls()) == (7000, 7)
    state.usage.add("crew", TokenUsage("m", 7500, 1500, 9000, scope="session", session_id="s", tool="codex"))
    assert state.usage.totals().input_tokens == 7500
    state = RunTelemetry()
    restore(state, snapshot_of(lines))
    state.usage.add("crew", TokenUsage("m", 10, 15, 25, scope="session", session_id="s", tool="codex"))
    assert state.usage.totals().input_tokens == 7010


DAMAGED: list[Any] = [
    None,
    [],
    {"token_usage": None},
    {"token_usage": {"input_tokens": "7"}},
    {"token_usage": {}, "lifecycle": {"state": 7}},
    {"token_usage": {}, "process_metrics": {"pid": "x"}},
    {"token_usage": {}, "git_activities": [7]},
    {"token_usage": {}, "usage_by_agent": [7]},
]


@pytest.mark.parametrize("told", DAMAGED)
def test_a_damaged_snapshot_changes_nothing(tmp_path: Path, told: Any) -> None:
    lines = recorded(tmp_path)
    state = fold(map(ndjson.decode, lines))
    before = telemetry_dict(state)
    raw = orjson.loads(snapshot_of(lines))
    raw["data"]["agent_telemetry"] = told
    with pytest.raises(ndjson.NotAnEvent):
        restore(state, orjson.dumps(raw))
    assert telemetry_dict(state) == before


@given(st.binary(max_size=200))
def test_any_bytes_are_a_snapshot_or_are_not(data: bytes) -> None:
    assert is_snapshot(data) in (True, False)
    with pytest.raises(ndjson.NotAnEvent):
        restore(RunTelemetry(), data)


def test_other_views_say_that_a_file_begins_inside_a_run(tmp_path: Path) -> None:
    lines = recorded(tmp_path)
    path = tmp_path / "late.ndjson"
    path.write_bytes(snapshot_of(lines[:5]) + b"\n" + b"\n".join(lines[5:]) + b"\n")
    said: list[str] = []
    fold_file(str(path), said.append)
    assert said == [f"{path}: begins inside a run: what came before is not in its sums"]
    assert Decoder(str(path), said.append).events(lines[0])


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(tmp_path / "s"))
    server.listen()
    yield server
    server.close()


def test_a_socket_is_read_as_lines_and_again_when_it_was_gone(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    feed = SocketFeed(str(tmp_path / "s"))
    assert feed.poll() == []
    peer, _ = listener.accept()
    peer.sendall(b"one\ntw")
    assert feed.poll() == [b"one"]
    assert feed.rest == b"tw"
    peer.sendall(b"o\n")
    peer.close()
    assert feed.poll() == [b"two"]
    assert not feed.over(False)
    assert feed.over(True)
    clock[0] += 10.0
    assert feed.over(False)
    assert feed.poll() == []
    peer, _ = listener.accept()
    assert not feed.over(False)
    peer.sendall(b"three\n" * 1000)
    assert feed.poll() == [b"three"] * 1000
    feed.close()
    assert peer.recv(1) == b""
    peer.close()
    assert feed.poll() == []


def test_a_socket_need_not_be_there_and_gives_a_bounded_amount(tmp_path: Path, listener: socket.socket) -> None:
    assert SocketFeed(str(tmp_path / "none")).poll() == []
    feed = SocketFeed(str(tmp_path / "s"), limit=1000)
    feed.poll()
    peer, _ = listener.accept()
    peer.sendall(b"x\n" * 4000)
    given = len(feed.poll())
    assert given <= 1000
    while lines := feed.poll():
        given += len(lines)
    assert given == 4000
    peer.close()
    feed.close()


def test_sockets_are_named_once() -> None:
    assert len(Sockets(["a", "./a", "b"]).found()) == 2


def shared_out(tmp_path: Path, *logs: Log) -> tuple[Apart, dict[str, Feed]]:
    apart = Apart(Named([str(log.path) for log in logs]), Claims(), pytest.fail)
    return apart, {feed.name: feed for feed in apart.found()}


def test_runs_in_one_file_are_told_apart(tmp_path: Path) -> None:
    log = Log(tmp_path / "many.ndjson", "r1")
    log.started()
    log.run_id = "r2"
    log.started()
    log.team = "red"
    log.said("x")
    log.run_id, log.team = "r1", "blue"
    log.said("y")
    log.raw(b'{"run_id":"r1", "team_id":"blue", "spaces":1}\n{"no":"one"}\nnothing\n')
    apart, feeds = shared_out(tmp_path, log)
    lines = {name: [key_of(line) for line in feed.poll()] for name, feed in feeds.items()}
    assert list(lines.values()) == [
        [("r1", "blue"), ("r1", "blue"), ("r1", "blue"), None, None],
        [("r2", "blue")],
        [("r2", "red")],
    ]
    assert len({feed.name for feed in feeds.values()}) == 3
    apart.close()


def test_the_events_of_a_batch_go_to_their_own_runs(tmp_path: Path) -> None:
    log = Log(tmp_path / "frames.ndjson", "r1")
    mine = log.line(Gap(1, 1, "x")).strip()
    log.team = "red"
    theirs = log.line(Gap(2, 2, "x")).strip()
    outer = b'{"v":1,"type":"agent_telemetry","run_id":"r1","agent_id":"crew","team_id":"blue","event":"batch",'
    log.raw(outer + b'"data":{"events":[' + mine + b"," + theirs + b"]}}\n")
    log.raw(outer + b'"data":7}\n')
    _, feeds = shared_out(tmp_path, log)
    assert [(feed.poll(), feed.poll()) for feed in feeds.values()] == [
        ([mine, outer + b'"data":7}'], []),
        ([theirs], []),
    ]


def test_a_run_that_two_sources_tell_is_told_once(tmp_path: Path) -> None:
    one, other = Log(tmp_path / "one.ndjson", "r1"), Log(tmp_path / "other.ndjson", "r1")
    one.started()
    other.started()
    other.said("x")
    claims = Claims()
    first, second = (Apart(Named([str(log.path)]), claims, pytest.fail) for log in (one, other))
    (feed,) = first.found()
    assert second.found() == []
    assert len(feed.poll()) == 1
    assert feed.poll() == []
    one.said("y")
    one.release()
    other.said("y")
    assert second.found() == []
    assert len(feed.poll()) == 1
    feed.close()
    one = Log(tmp_path / "one.ndjson", "r1")
    one.said("late")
    assert first.found() == second.found() == []


def test_a_run_that_was_lost_in_one_source_may_be_told_by_another(tmp_path: Path, listener: socket.socket) -> None:
    log = Log(tmp_path / "r1.ndjson")
    claims = Claims()
    lost, other = (
        Apart(Sockets([str(tmp_path / "s")]), claims, pytest.fail),
        Apart(Named([str(log.path)]), claims, pytest.fail),
    )
    assert lost.found() == []
    peer, _ = listener.accept()
    peer.sendall(log.started())
    (feed,) = lost.found()
    assert other.found() == []
    feed.poll()
    peer.close()
    feed.poll()
    lost._sources[0].feed._gone_at -= 10.0  # type: ignore[attr-defined]
    assert feed.over(False)
    feed.close()
    log.said("on")
    assert len(other.found()) == 1


def test_what_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    apart = Apart(Named([str(tmp_path)]), Claims(), said.append)
    for _ in range(3):
        assert apart.found() == []
    assert len(said) == 1


def test_a_reader_that_looks_in_between_changes_no_sum():
    """Entries that are folded only when somebody looks come after later events: that begins no other stream, whose
    running totals would be added to those before."""
    viewed = Viewed()
    for seq in range(1, 9, 2):
        total = TokenUsage("m", 100 * seq, seq, 101 * seq, scope="session", session_id="s", tool="t")
        entry = Event("r", seq, "a", "t", ActivityLog("2026-01-01T00:00:00Z", "info", "x", "system", "stdout"), 1.0)
        viewed.add(Piece(ndjson.encode(entry), seq, 1, True))
        event = Event("r", seq + 1, "a", "t", total, 2.0)
        viewed.add(Piece(ndjson.encode(event), seq + 1, 1, False, event))
        assert viewed.telemetry()["token_usage"]["input_tokens"] == 100 * seq
    assert len(viewed.telemetry()["activity_logs"]) == 4
