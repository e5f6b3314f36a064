"""The live half of the dashboard on a clock of the test's own: what a second is brought down to, and who is told."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from live_hub import Stage, events_of, logs_of
from run_logs import START, Log

from agentmon import checked, ndjson
from agentmon.events import Alert, Gap, GitActivity, TokenUsage
from agentmon.feeds.logs import Going
from agentmon.follow import Follower
from agentmon.telemetry import fold, telemetry_dict
from agentmon.views.serve.changes import Frame, Journal
from agentmon.views.serve.clients import Refused, Subscription
from agentmon.views.serve.hub import Hub


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["event"] if message["type"] == "agent_telemetry" else message["type"] for message in messages]


def test_a_client_gets_a_snapshot_and_then_what_changed(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    (snapshot,) = reader.read()
    telemetry = snapshot["data"]["agent_telemetry"]
    assert (snapshot["event"], snapshot["team_id"], snapshot["stream"]) == ("snapshot", "blue", stage.hub.stream)
    assert (telemetry["status"], telemetry["argv"], telemetry["is_main"]) == ("running", ["python", "crew.py"], True)
    assert telemetry["process_metrics"] is None
    assert telemetry["token_usage"]["input_tokens"] is None
    log.called()
    log.said("hm")
    stage.pass_time(1.0)
    (frame,) = reader.read()
    assert (frame["event"], kinds(frame["data"]["events"])) == ("batch", ["llm_call", "log_entry"])
    assert frame["data"]["token_usage"]["total_tokens"] == 1200
    assert frame["data"]["token_usage"]["calls"] == 1
    assert frame["data"]["status"] == "running"
    assert frame["data"]["omitted_logs"] == 0
    assert frame["seq"] > snapshot["seq"]
    assert [event["seq"] for event in frame["data"]["events"]] == [2, 3]
    assert all("stream" not in event for event in frame["data"]["events"])
    assert reader.read() == []


def test_whoever_looks_on_is_told_every_event_of_a_run_from_its_beginning(stage: Stage, tmp_path: Path) -> None:
    reader = stage.client()
    log = Log(tmp_path / "new.ndjson")
    log.started()
    log.committed()
    log.called()
    log.said("x")
    log.ended()
    stage._named._paths = (str(log.path),)
    messages = stage.read_for(reader, 3.0)
    assert [message["event"] for message in messages] == ["snapshot", "batch"]
    assert messages[0]["data"]["agent_telemetry"]["git_activities"] == []
    assert kinds(events_of(messages)) == ["git_activity", "llm_call", "log_entry", "lifecycle"]
    assert messages[1]["data"]["status"] == "stopped"


def test_one_event_alone_is_its_own_frame(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    log.said("hm")
    stage.pass_time(1.0)
    (frame,) = reader.read()
    assert (frame["event"], frame["data"]["activity_log"]["message"]) == ("log_entry", "hm")
    assert (frame["seq"], frame["stream"]) == (stage.hub.journal.head, stage.hub.stream)


def test_a_second_is_brought_down_to_what_matters(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    for number in range(70):
        log.said(f"line {number}")
        log.used(cpu=float(number))
    for number in range(60):
        log.write(GitActivity("commit", "main", f"commit {number}", sha=f"{number:07x}"))
        log.called()
    log.write(Alert("budget", "critical", 5.0, 4.0, "stop"))
    log.write(Gap(10, 3, "the disk was full"))
    stage.pass_time(1.0)
    (frame,) = reader.read()
    events = frame["data"]["events"]
    counts = {kind: kinds(events).count(kind) for kind in set(kinds(events))}
    assert counts == {
        "log_entry": 50, "metrics_update": 1, "git_activity": 60, "llm_call": 60, "alert": 1, "gap": 1,
    }  # fmt: skip
    assert frame["data"]["omitted_logs"] == 20
    assert logs_of([frame])[0] == "line 20"
    assert [e["data"]["process_metrics"]["cpu_percent"] for e in events if e["event"] == "metrics_update"] == [69.0]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert frame["data"]["token_usage"]["calls"] == 60
    (snapshot,) = stage.client().read()
    telemetry = snapshot["data"]["agent_telemetry"]
    assert telemetry["git_operations"] == {"commit": 60}
    assert [act["message"] for act in telemetry["git_activities"]] == [f"commit {n}" for n in range(50, 60)]
    assert all(act["timestamp"] > 0 for act in telemetry["git_activities"])
    assert telemetry["alerts"][0]["rule"] == "budget"
    assert telemetry["lost_events"] == 3
    assert telemetry["samples"]["cpu_percent"] == [float(n) for n in range(70)]
    assert telemetry["samples"]["interval_s"] == pytest.approx(1.0)


def test_an_agent_has_at_most_one_frame_a_second_and_none_comes_late(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    stage.pass_time(2.0)
    assert reader.read() == []
    times: list[float] = []
    waited: list[float] = []
    written: list[float] = []
    for number in range(200):
        written.append(stage.clock.now)
        log.said(f"{number}")
        stage.pass_time()
        for frame in reader.read():
            times.append(stage.clock.now)
            waited += [stage.clock.now - written.pop(0) for _ in events_of([frame])]
    apart = [after - before for before, after in pairwise(times)]
    assert min(apart) >= 0.95
    assert 9 <= len(times) <= 11
    assert max(waited) <= 1.2 + 1e-6


def test_frames_that_are_too_large_are_parted_and_lose_nothing(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    for number in range(2000):
        log.write(GitActivity("commit", "main", f"{number} " + "x" * 1000))
    stage.pass_time(1.0)
    frames = reader.read()
    assert len(frames) == 1
    frames += stage.read_for(reader, 10.0)
    assert max(len(str(frame)) for frame in frames) < 900_000
    messages = [event["data"]["git_activity"]["message"].split()[0] for event in events_of(frames)]
    assert messages == [str(number) for number in range(2000)]


def test_the_end_of_a_run_is_told(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    log.ended(3)
    stage.pass_time(1.0)
    (frame,) = reader.read()
    assert frame["data"]["status"] == "error"
    (snapshot,) = stage.client().read()
    telemetry = snapshot["data"]["agent_telemetry"]
    assert (telemetry["exit_code"], telemetry["duration_s"], telemetry["ended_at"]) == (3, 12.0, log.now)


def test_a_run_that_stalls_is_told_without_an_event(stage: Stage) -> None:
    log = stage.log()
    log.now = stage.hub._wall()
    log.said("x")
    stage.pass_time(1.0)
    reader = stage.client()
    reader.read()
    frames = stage.read_for(reader, 200.0)
    assert [frame["data"]["status"] for frame in frames] == ["stalled"]


def test_each_agent_of_a_run_is_told_its_own_and_the_metrics(stage: Stage) -> None:
    log = stage.log()
    log.said("hello", agent="writer")
    stage.pass_time(1.0)
    reader = stage.client(agents=["writer"])
    reader.read()
    log.used()
    log.called(agent="writer")
    log.called(agent="crew")
    stage.pass_time(1.0)
    (frame,) = reader.read()
    assert frame["agent_id"] == "writer"
    assert kinds(frame["data"]["events"]) == ["metrics_update", "llm_call"]
    assert frame["data"]["token_usage"]["calls"] == 1
    (snapshot,) = stage.client(agents=["crew"]).read()
    usage = snapshot["data"]["agent_telemetry"]["token_usage"]
    assert (usage["calls"], usage["total_tokens"]) == (2, 2400)


def test_what_was_only_printed_goes_once_git_itself_speaks(stage: Stage) -> None:
    log = stage.log()
    log.committed("printed")
    stage.pass_time(1.0)
    reader = stage.client()
    reader.read()
    log.write(GitActivity("commit", "main", "exact", source="trace2"))
    log.committed("printed")
    stage.pass_time(1.0)
    (snapshot,) = reader.read()
    telemetry = snapshot["data"]["agent_telemetry"]
    assert [act["message"] for act in telemetry["git_activities"]] == ["exact"]
    assert telemetry["git_operations"] == {"commit": 1}


WANTED: list[tuple[dict[str, list[str]], set[str]]] = [
    ({}, {"crew", "writer", "other"}),
    ({"teams": ["blue"]}, {"crew", "writer"}),
    ({"teams": ["red"]}, {"other"}),
    ({"agents": ["writer"]}, {"writer"}),
    ({"runs": ["r2"]}, {"other"}),
    ({"teams": ["red"], "agents": ["crew"]}, {"crew", "other"}),
    ({"teams": ["none"]}, set()),
]


@pytest.mark.parametrize(("wanted", "expected"), WANTED)
def test_a_client_is_told_what_it_subscribed_to(stage: Stage, wanted: Any, expected: set[str]) -> None:
    blue, red = stage.log(), stage.log("r2", "other", "red")
    blue.said("x", agent="writer")
    stage.pass_time(1.0)
    reader = stage.client(**wanted)
    assert {message["agent_id"] for message in reader.read()} == expected
    for log in (blue, red):
        log.said("y")
    blue.said("y", agent="writer")
    stage.pass_time(1.0)
    assert {message["agent_id"] for message in reader.read()} == expected


def test_one_file_with_runs_of_two_teams_is_told_apart(stage: Stage) -> None:
    log = stage.log()
    log.team, log.run_id = "red", "r9"
    log.said("secret")
    log.team, log.run_id = "blue", "r1"
    log.said("open")
    stage.pass_time(1.0)
    reader = stage.client("blue")
    assert logs_of(reader.read()) == ["open"]
    assert b"red" not in reader.bytes


def test_a_line_that_claims_two_teams_goes_to_none_that_it_should_not(stage: Stage) -> None:
    log = stage.log()
    for line in (log.line(GitActivity("commit", "main", "m")), log.line(TokenUsage("m", 1, 2, 3))):
        log.raw(line.replace(b',"event":', b',"team_id":"red","event":'))
    entry = b'{"v":1,"type":"agent_telemetry","run_id":"r1","seq":9,"agent_id":"crew","team_id":"blue"'
    text = b'"data":{"activity_log":{"timestamp":"2027-01-15T08:00:00.000000Z","level":"info","message":"m","source":'
    log.raw(entry + b',"event":"log_entry",' + text + b'"llm","stream":"stdout"}},"team_id":"red","timestamp":1.5}\n')
    batch = entry + b',"event":"batch","data":{"events":[%s]},"timestamp":1.5}\n'
    log.raw(batch % log.line(GitActivity("commit", "main", "m")).strip().replace(b'"blue"', b'"red"'))
    stage.pass_time(1.0)
    reader = stage.client("blue")
    reader.read()
    log.said("on")
    stage.pass_time(1.0)
    reader.read()
    assert b"red" not in reader.bytes


TEAMS = {"azure": ("r-azure", "a-azure"), "crimson": ("r-crimson", "a-crimson")}
STEPS = st.lists(
    st.tuples(st.sampled_from(["azure", "crimson"]), st.sampled_from(["said", "used", "called", "end", "ask", "wait"])),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans())
def test_no_byte_of_another_team(tmp_path_factory: pytest.TempPathFactory, steps: Any, by_path: bool) -> None:
    from agentmon.views.serve.ws import _error, _hello, answer

    stage = Stage(tmp_path_factory.mktemp("teams"))
    logs = {team: stage.log(run, agent, team) for team, (run, agent) in TEAMS.items()}
    reader = stage.client("azure") if by_path else stage.client(teams=["azure"])
    seen = _hello(stage.hub, reader.client.subscription, reader.resumed)
    for team, what in steps:
        log = logs[team]
        if what == "said":
            log.said(f"text of {team}")
        elif what == "used":
            log.used()
        elif what == "called":
            log.called()
        elif what == "end":
            stage.hub.board.drop(run := stage.hub.watch(log.run_id)) if stage.hub.watch(log.run_id) else None  # type: ignore[arg-type]
            if run := stage.hub.watch(log.run_id):
                stage.hub._remove(run)
        elif what == "ask" and by_path:
            for asked in (
                b'{"action":"subscribe","teams":["%s"]}' % team.encode(),
                b'{"action":"subscribe","all":true}',
            ):
                try:
                    seen += answer(reader.client, asked)
                except Refused as error:
                    seen += _error(error)
        else:
            stage.pass_time(0.6)
            reader.read()
    stage.pass_time(2.0)
    reader.read()
    assert b"crimson" not in reader.bytes + seen


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["said", "called", "tick", "second", "join", "resubscribe"]), max_size=40))
def test_a_snapshot_and_what_comes_after_it_tell_each_thing_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    stage = Stage(tmp_path_factory.mktemp("once"))
    log = stage.log()
    readers = [(stage.client(), 0)]
    got: dict[int, list[str]] = {0: []}
    said = 0
    for step in [*steps, "second", "second"]:
        if step == "said":
            log.said(f"{said}")
            said += 1
        elif step == "called":
            log.called()
        elif step == "join":
            got[len(readers)] = []
            readers.append((stage.client(), len(readers)))
        elif step == "resubscribe":
            reader, number = readers[-1]
            got[number] = []
            reader.client.subscription.remove(True, (), (), ())
            reader.client.resubscribed(set())
            reader.client.subscription.add(True, (), (), ())
            reader.client.resubscribed(set())
        else:
            stage.pass_time(0.2 if step == "tick" else 1.2)
        for reader, number in readers:
            got[number] += logs_of(reader.read())
    for texts in got.values():
        assert texts == [str(number) for number in range(said)][-len(texts) :] if texts else said == 0 or said <= 0
        assert len(texts) == said


def test_a_client_that_does_not_read_costs_no_memory_and_gets_a_snapshot(stage: Stage) -> None:
    log = stage.log()
    slow, quick = stage.client(), stage.client()
    slow.read()
    quick.read()
    seen: list[Any] = []
    for number in range(300):
        log.said(f"{number} " + "x" * 2000)
        stage.pass_time()
        seen += quick.read()
    seen += stage.read_for(quick, 1.2)
    assert logs_of(seen)[-1].startswith("299 ")
    assert stage.hub.journal._held <= 17 << 20
    (snapshot,) = slow.read()
    assert snapshot["event"] == "snapshot"
    assert logs_of([snapshot])[-1].startswith("299 ")
    log.said("again")
    stage.pass_time(1.0)
    assert logs_of(slow.read()) == ["again"]


def test_a_client_that_is_a_little_late_misses_nothing(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    for number in range(20):
        log.said(f"{number}")
        stage.pass_time()
    messages = reader.read()
    assert "snapshot" not in kinds(messages)
    assert logs_of(messages) == [str(number) for number in range(len(logs_of(messages)))]


def test_a_reconnect_goes_on_where_it_was(stage: Stage) -> None:
    log, other = stage.log(), stage.log("r2", "other")
    first = stage.client().read()
    log.said("one")
    stage.pass_time(20.0)
    reader = stage.client(since=first[-1]["seq"])
    assert reader.resumed
    assert logs_of(reader.read()) == ["one"]
    other.said("two")
    stage.pass_time(1.0)
    assert logs_of(reader.read()) == ["two"]


@pytest.mark.parametrize("since", [None, 10**9, -1])
def test_a_reconnect_from_nowhere_begins_anew(stage: Stage, since: int | None) -> None:
    stage.log()
    reader = stage.client(since=since)
    assert not reader.resumed
    assert kinds(reader.read()) == ["snapshot"]


def test_whoever_has_one_snapshot_has_all_that_changed_before(stage: Stage) -> None:
    logs = [stage.log(f"r{number}", f"a{number}") for number in range(5)]
    for log in reversed(logs):
        log.said("x")
        stage.pass_time(1.0)
    snapshots = stage.client().read()
    assert [message["agent_id"] for message in snapshots] == ["a4", "a3", "a2", "a1", "a0"]
    resumed = stage.client(since=snapshots[2]["seq"])
    assert {message["agent_id"] for message in resumed.read()} == {"a1", "a0"}


def test_an_agent_that_leaves_is_told_to_those_who_knew_it(stage: Stage) -> None:
    stage.log("r1", "crew", "blue")
    stage.log("r2", "other", "red")
    blue, red, late = stage.client("blue"), stage.client("red"), stage.client("blue")
    blue.read(), red.read(), late.read()
    run = stage.hub.watch("r1")
    assert run is not None
    stage.hub.board.drop(run)
    stage.hub._remove(run)
    (message,) = blue.read()
    assert (message["type"], message["run_id"], message["agent_id"]) == ("removed", "r1", "crew")
    assert red.read() == []
    stage.clock.now += 100
    stage.hub.journal._frames.clear()
    stage.hub.journal.dropped = stage.hub.journal.head
    assert kinds(late.read()) == ["removed"]
    assert [agent.agent_id for agent in stage.hub.agents()] == ["other"]


def test_a_log_of_many_events_is_one_snapshot_and_no_burst(stage: Stage, tmp_path: Path) -> None:
    log = Log(tmp_path / "big.ndjson")
    log.started()
    for number in range(3000):
        log.said(f"{number} " + "x" * 100)
    log.committed()
    stage._named._paths = (str(log.path),)
    stage._named._limit = 64 << 10
    reader = stage.client()
    passes = 0
    while stage.hub.tick() or not stage.hub.agents():
        passes += 1
        assert passes < 1000
    messages = reader.read()
    assert kinds(messages) == ["snapshot"]
    assert logs_of(messages)[-1].startswith("2999 ")
    assert messages[0]["data"]["agent_telemetry"]["git_operations"] == {"commit": 1}


def test_log_entries_that_nobody_sees_are_not_decoded(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "mixed.ndjson")
    log.started()
    for number in range(500):
        log.said(str(number))
        log.committed() if number % 100 == 0 else log.used()
    entries = 0
    plain = checked.decode

    def decode(line: bytes) -> Any:
        nonlocal entries
        entries += b"log_entry" in line
        return plain(line)

    monkeypatch.setattr(checked, "decode", decode)
    stage._named._paths = (str(log.path),)
    stage.pass_time(1.0)
    (agent,) = stage.hub.agents()
    assert agent.telemetry(START)["activity_logs"][-1]["message"] == "499"
    assert entries <= 150


def test_a_damaged_or_endless_log_entry_spoils_no_frame(stage: Stage) -> None:
    log = stage.log()
    reader = stage.client()
    reader.read()
    whole = log.said("whole")
    log.raw(whole.replace(b"whole", b"bro\x01\xffken"))
    log.raw(whole.replace(b"whole", b'bro"ken'))
    log.raw(whole.replace(b"whole", b"y" * 100_000))
    stage.pass_time(1.0)
    (frame,) = reader.read()
    assert [text[:5] for text in logs_of([frame])] == ["whole", "yyyyy"]
    assert len(logs_of([frame])[1]) == 4096


SUBSCRIPTIONS = [
    ((False, ["a"], [], []), None, ("a", "x", "r"), True),
    ((False, ["a"], [], []), None, ("b", "x", "r"), False),
    ((False, [], ["x"], []), "a", ("a", "x", "r"), True),
    ((False, [], ["x"], []), "a", ("b", "x", "r"), False),
    ((True, [], [], []), "a", ("b", "x", "r"), False),
    ((False, [], [], []), None, ("a", "x", "r"), False),
]


@pytest.mark.parametrize(("asked", "only", "who", "expected"), SUBSCRIPTIONS)
def test_subscriptions(asked: Any, only: str | None, who: tuple[str, str, str], expected: bool) -> None:
    subscription = Subscription(only)
    assert subscription.wants(("r", only or "a", "x"))
    subscription.add(*asked)
    team, agent, run = who
    assert subscription.wants((run, team, agent)) is expected


@pytest.mark.parametrize(
    "names", [[f"team {number}" for number in range(257)], ["x" * 257]], ids=["too many", "too long"]
)
def test_subscriptions_have_limits(names: list[str]) -> None:
    subscription = Subscription()
    with pytest.raises(Refused):
        subscription.add(False, names, (), ())
    assert subscription.implied


@given(st.lists(st.integers(1, 400), max_size=60), st.integers(0, 70))
def test_a_journal_gives_what_it_holds_in_order(sizes: list[int], since: int) -> None:
    journal = Journal(1000)
    for number, size in enumerate(sizes, 1):
        journal.add(Frame(number, ("r", "t", "a"), b"x" * size, 0.0))
    found = [frame.seq for frame in journal.after(since)]
    assert found == [*range(max(since, journal.dropped) + 1, len(sizes) + 1)]
    assert journal.covers(since) == (journal.dropped <= since <= len(sizes))
    assert sum(len(frame.payload) for frame in journal.after(0)) <= max(1000, max(sizes, default=0))


def test_what_no_sum_can_hold_stops_nothing(stage: Stage) -> None:
    log, other = stage.log(), stage.log("r2", "other")
    reader = stage.client()
    reader.read()
    for number in range(3):
        log.write(TokenUsage("m", 2**63, 1, 2**63 + 1, call_id=f"c{number}", source="sdk"))
    other.said("on")
    messages = stage.read_for(reader, 1.2)
    usage = next(m["data"]["token_usage"] for m in messages if m["event"] == "batch")
    assert usage["input_tokens"] == 3 * 2**63
    assert logs_of(messages) == ["on"]
    assert {message["run_id"] for message in stage.client().read()} == {"r1", "r2"}
    assert stage.said == []


def test_a_fault_in_one_run_takes_no_other_with_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log, other = stage.log(), stage.log("r2", "other")
    reader = stage.client()
    reader.read()
    run = stage.hub.watch("r1")
    monkeypatch.setattr(run, "lasted", lambda now: 1 / 0)
    stage.pass_time()
    assert {message["run_id"] for message in stage.client().read()} == {"r2"}
    log.said("x")
    other.said("on")
    messages = stage.read_for(reader, 1.2)
    assert kinds(messages) == ["removed", "log_entry"]
    (said,) = stage.said
    assert "ZeroDivisionError" in said


def test_a_run_that_had_ended_when_its_socket_was_found_is_not_lost(stage: Stage, tmp_path: Path) -> None:
    log = Log(tmp_path / "r1.ndjson", lock=False)
    log.started()
    log.called()
    log.ended(3)
    state = fold(map(ndjson.decode, log.path.read_bytes().splitlines()))
    late = tmp_path / "late.ndjson"
    late.write_bytes(ndjson.snapshot(state.last_seq, "r1", "crew", "blue", telemetry_dict(state), log.now))

    class Gone(Follower):
        def over(self, closed: bool) -> bool:
            return True

    stage._named.found = lambda: [Gone(str(late))] if not stage.hub.agents() else []  # type: ignore[method-assign]
    stage.pass_time(1.0)
    (message,) = stage.client().read()
    telemetry = message["data"]["agent_telemetry"]
    assert (telemetry["status"], telemetry["exit_code"], telemetry["token_usage"]["calls"]) == ("error", 3, 1)
    assert telemetry["ended_at"] is not None


def test_a_line_beyond_what_is_read_at_a_time_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    log = Log(tmp_path / "agentmon" / "runs" / "long.ndjson")
    log.started()
    log.raw(b"x" * (20 << 20) + b"\n")
    log.said("after it")
    log.ended()
    log.release()
    monkeypatch.setattr("agentmon.follow._LOCK_CHECK_S", 0.0)
    said: list[str] = []
    hub = Hub([Going(300.0, 64 << 10)], said.append)
    for _ in range(20):
        hub.tick()
    (agent,) = hub.agents()
    told = agent.telemetry(START)
    assert (told["status"], [entry["message"] for entry in told["activity_logs"]]) == ("stopped", ["after it"])
    assert len(said) == 1  # that it is no event
    hub.close()


@pytest.mark.parametrize("pause", [0.0, 400.0])
def test_a_run_id_that_is_used_once_more_is_another_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pause: float
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("agentmon.feeds.logs._SCAN_S", 0.0)
    monkeypatch.setattr("agentmon.feeds.logs._YOUNG_S", 0.0)
    monkeypatch.setattr("agentmon.follow._LOCK_CHECK_S", 0.0)
    path = tmp_path / "agentmon" / "runs" / "again.ndjson"
    said: list[str] = []
    hub = Hub([Going(300.0)], said.append)

    def until_told(text: str, status: str) -> None:
        for _ in range(50):
            hub.tick()
            told = [agent.telemetry(START) for agent in hub.agents()]
            if [(t["status"], [log["message"] for log in t["activity_logs"]]) for t in told] == [(status, [text])]:
                return
        pytest.fail(str(told))

    for text in ("first", "second"):
        log = Log(path, agent=text)
        log.started()
        log.said(text)
        until_told(text, "running")
        log.ended()
        log.release()
        until_told(text, "stopped")
        if pause:  # it has left the board
            monkeypatch.setattr("agentmon.views.board._ENDED_KEPT_S", -1.0)
            assert any(hub.tick() or not hub.agents() for _ in range(50))
            assert hub.agents() == []
            monkeypatch.setattr("agentmon.views.board._ENDED_KEPT_S", 300.0)
        path.unlink()
        path.with_suffix(".other").touch()  # the inode is not to be the same by chance
    assert said == []
    hub.close()
