"""ship: run logs to a real nats-server, each event once and in order, whatever is killed or cut in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE

import nats
import orjson
import pytest
from fleet_logs import argv, grow, kill, log, ship, start, stop
from fleet_stream import count, same, stored, with_jetstream
from nats.js import api
from nats_server import NatsServer, Proxy, running
from wrapper import Wrapper, python, until

from agentmon import ndjson
from agentmon.events import ActivityLog
from agentmon.fleet import subjects
from agentmon.fleet.jetstream import Limits, access
from agentmon.fleet.outlet import Record
from agentmon.fleet.publishing import JetStreamOutlet

_WINDOW = "100ms"  # of the server's own memory for repeats: it is to help nobody here


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running(tmp_path / "nats") as started:
        yield started


@pytest.fixture
def proxy(server: NatsServer) -> Iterator[Proxy]:
    made = Proxy(server.port)
    yield made
    made.close()


# ------------------------------------------------------------------ what arrives, and where


def test_past_runs_arrive_once_and_in_order(wrapper, server):
    for number in range(3):
        log(wrapper, f"run-{number}", 500, team="a.b", agent="crew *> é")
    said = ship(wrapper, server.url)
    found = stored(server.url)
    same(found, wrapper.run_logs())
    assert f"1,506 events shipped to {server.url}" in said
    for message in found:
        raw = orjson.loads(message.data)
        assert subjects.parse(message.subject) == ("a.b", "crew *> é", raw["event"])
        assert message.message_id == f"{raw['run_id']}-{raw['seq']}"
        assert message.subject.isascii()
        assert message.subject.count(".") == 4
    assert "\nagentmon: 0 events shipped" in "\n" + ship(wrapper, server.url)
    assert len(stored(server.url)) == 1506


def test_a_live_run_is_followed(wrapper, server):
    shipper = start(wrapper, server.url, "--follow")
    child = python("import sys\nfor i in range(300): print('line', i)\nsys.stdout.flush(); sys.stdin.read()")
    run = wrapper.start(child, "--team", "live", stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
    until(lambda: count(server.url) > 300, "the lines of a run that goes on")
    run.communicate(b"")
    until(lambda: b'"state":"stopped"' in wrapper.run_log(), "the end of the run")
    until(lambda: count(server.url) == len(wrapper.run_log().splitlines()), "all of it")
    stop(shipper)
    same(stored(server.url), wrapper.run_logs())


def test_what_else_lies_beside_the_run_logs(wrapper, server):
    made = log(wrapper, "run-1", 3)
    elsewhere = wrapper.folder / "elsewhere.ndjson"
    elsewhere.write_bytes(made.path.read_bytes().replace(b"run-1", b"run-2"))
    made.path.with_name("run-2.ndjson").symlink_to(elsewhere)
    made.path.with_name("folder.ndjson").mkdir()
    made.path.with_name("notes.txt").write_text("none")
    made.path.with_name("empty.ndjson").touch()
    made.path.with_name("nowhere.ndjson").symlink_to("/nowhere")
    os.mkfifo(made.path.with_name("pipe.ndjson"))
    assert "10 events shipped" in ship(wrapper, server.url)
    same(stored(server.url), [made.path, made.path.with_name("run-2.ndjson")])


def test_one_shipper_for_a_destination(wrapper, server):
    shipper = start(wrapper, server.url, "--follow")
    assert shipper.stderr is not None
    assert b"shipping to" in shipper.stderr.readline()
    second = subprocess.run(argv(server.url), env=wrapper.env, capture_output=True, timeout=30)
    assert second.returncode == 125
    assert f"process {shipper.pid}" in second.stderr.decode()
    stop(shipper)
    ship(wrapper, server.url)


def test_a_server_by_another_name_is_the_same(wrapper, server):
    other = server.url.replace("127.0.0.1", "localhost")
    made = log(wrapper, "run", 100, end=False)
    ship(wrapper, server.url, "--duplicate-window", _WINDOW)
    grow(made, 100)
    until(lambda: _forgotten(server.url), "the window to pass")
    assert "100 events shipped" in ship(wrapper, other)
    grow(made, 100)
    shipper = start(wrapper, server.url, "--follow")
    until(lambda: count(server.url) == 301, "the rest")
    second = subprocess.run(argv(other), env=wrapper.env, capture_output=True, timeout=30)
    assert second.returncode == 125
    assert f"process {shipper.pid}" in second.stderr.decode()
    stop(shipper)
    same(stored(server.url), wrapper.run_logs())


def test_the_stream_is_made_with_limits(wrapper, server):
    log(wrapper, "run", 5)
    ship(
        wrapper, server.url, "--max-age", "2h", "--max-bytes", "64MB", "--max-msgs", "1000", "--duplicate-window", "5m"
    )
    config = with_jetstream(server.url, lambda js: js.stream_info("AGENTMON")).config
    assert config.subjects == ["agentmon.v1.>"]
    assert (config.max_age, config.max_bytes, config.max_msgs) == (7200, 64 << 20, 1000)
    assert (config.duplicate_window, config.num_replicas, config.storage) == (300, 1, "file")


def test_a_stream_that_is_there_is_never_altered(wrapper, server):
    async def make(js):
        await js.add_stream(name="EVENTS", subjects=["agentmon.>"], max_age=3600, max_msgs=700)

    async def config(js):
        return (await js.stream_info("EVENTS")).config, [info.config.name for info in await js.streams_info()]

    with_jetstream(server.url, make)
    before = with_jetstream(server.url, config)
    log(wrapper, "run", 500)
    ship(wrapper, server.url, "--max-age", "1h", "--max-msgs", "5")
    assert with_jetstream(server.url, config) == before
    same(stored(server.url, "EVENTS"), wrapper.run_logs())


def test_teams_with_streams_of_their_own(wrapper, server):
    async def make(js):
        await js.add_stream(name="WEB", subjects=["agentmon.v1.web.>"])

    with_jetstream(server.url, make)
    web, other = log(wrapper, "run-1", 50, team="web"), log(wrapper, "run-2", 60, team="ops")
    ship(wrapper, server.url)
    same(stored(server.url, "WEB"), [web.path])
    same(stored(server.url, "AGENTMON-ops"), [other.path])


def test_lines_that_are_no_events_are_counted_and_newer_ones_passed_on(wrapper, server):
    made = log(wrapper, "run", 2, end=False)
    newer = b'{"v":2,"run_id":"run","seq":9,"agent_id":"a","team_id":"t","event":"thought","x":[1]}'
    again = made.line(ActivityLog("2027-01-15T08:00:00.000000Z", "info", "after", "orchestrator", "stdout"))
    good = made.path.read_bytes()
    bad = [
        b"garbage",
        b'{"v":1}',
        b"[1]",
        b"\xff\xfe",
        b'{"v":1,"event":"log_entry","data":{"activity_log":{}}}',
        b"x" * 9_000_000,
    ]
    made.raw(b"\n".join([*bad, newer, b"", again.strip(), good.splitlines()[1], b'{"v":1,"cut']))
    made.release()
    os.utime(made.path, (1, 1))
    said = ship(wrapper, server.url)
    found = stored(server.url)
    assert [m.data for m in found] == [*good.splitlines(), newer, again.strip(), good.splitlines()[1]]
    assert [m.message_id for m in found] == ["run-1", "run-2", "run-3", "run-9", "run-4~1", "run-2~2"]
    assert "7 lines were no events" in said
    assert f"{made.path}:4: not an event" in said
    assert said.count("newer version") == 1


def test_what_the_server_never_takes_is_left_out_and_said(wrapper, tmp_path):
    with running(tmp_path / "small", "max_payload: 65536") as server:
        made = log(wrapper, "run", 30, end=False)
        before = made.path.read_bytes().splitlines()
        made.said("x" * 70_000)
        size = made.path.stat().st_size
        grow(made, 30)
        made.release()
        said = ship(wrapper, server.url)
        assert "event 32 (log_entry) is left out" in said
        assert "1 events were left out" in said
        assert f"{len(stored(server.url))} events shipped" in said
        rest = made.path.read_bytes()[size:].splitlines()
        assert [m.data for m in stored(server.url)] == before + rest


def test_a_log_that_was_removed_before_it_was_shipped_is_said(wrapper, server):
    gone, there = log(wrapper, "run-1", 10), log(wrapper, "run-2", 10)
    server.kill()
    failed = subprocess.run(argv(server.url, "--patience", "1s"), env=wrapper.env, capture_output=True, timeout=30)
    assert failed.returncode == 125
    size = gone.path.stat().st_size
    gone.path.unlink()
    server.start()
    said = ship(wrapper, server.url)
    assert f"{gone.path}: removed before it was shipped: at least {size:,} bytes" in said
    assert "1 logs were removed before they were shipped" in said
    same(stored(server.url), [there.path])


def test_what_is_still_to_be_shipped_is_not_pruned(wrapper, server):
    def prune() -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "agentmon", "history", "prune", "--older-than", "2m", "--yes"]
        return subprocess.run(words, env=wrapper.env, capture_output=True, timeout=60)

    def made(name: str) -> Path:
        path = log(wrapper, name, 5).path
        os.utime(path, (1.7e9, 1.7e9))
        return path

    before = made("run-1")
    ship(wrapper, server.url)
    late = made("run-2")
    done = prune()
    assert done.returncode == 0, done.stderr
    assert (before.exists(), late.exists()) == (False, True)
    assert f"1 run logs stay: {server.url} does not have them yet" in done.stderr.decode()
    ship(wrapper, server.url)
    done = prune()
    assert done.stderr == b""
    assert not late.exists()


def test_a_log_that_is_removed_while_the_server_is_down_is_shipped_all_the_same(wrapper, server):
    made = log(wrapper, "run-1", 10)
    lines = made.path.read_bytes().splitlines()
    server.kill()
    shipper = start(wrapper, server.url, "--follow")
    assert shipper.stderr is not None
    until(lambda: b"trying again" in shipper.stderr.readline(), "a server that is down is said")
    made.path.unlink()
    server.start()
    until(lambda: count(server.url) == len(lines), "the log that was open already")
    stop(shipper)
    assert [message.data for message in stored(server.url)] == lines


# ------------------------------------------------------------------ faults


@pytest.mark.parametrize("after", [0, 1, 4000, 9000])
def test_a_killed_shipper(after, wrapper, server):
    """Killed between publishing and the cursor, started again when the server knows no repeats any more."""
    for number in range(2):
        log(wrapper, f"run-{number}", 6000)
    shipper = start(wrapper, server.url, "--follow", "--duplicate-window", _WINDOW)
    until(lambda: count(server.url) >= after, "some events")
    kill(shipper)
    log(wrapper, "run-2", 1000)
    until(lambda: _forgotten(server.url), "the window to pass")
    ship(wrapper, server.url)
    same(stored(server.url), wrapper.run_logs())


def _forgotten(url: str) -> bool:
    """Whether what arrived last is older than the server's memory for repeats."""

    async def ask(js):
        info = await js.stream_info("AGENTMON")
        if not info.state.messages:
            return True
        last = await js.get_msg("AGENTMON", info.state.last_seq)
        return (api.datetime.datetime.now(api.datetime.timezone.utc) - last.time).total_seconds() > 0.5

    return bool(with_jetstream(url, ask)) if count(url) else True


def test_a_shipper_killed_again_and_again(wrapper, server):
    made = log(wrapper, "run", 5000, end=False)
    for _ in range(6):
        sent = count(server.url)
        shipper = start(wrapper, server.url, "--follow", "--duplicate-window", _WINDOW)
        until(lambda before=sent: count(server.url) > before, "more events")
        kill(shipper)
        grow(made, 1000)
    made.ended()
    made.release()
    ship(wrapper, server.url)
    same(stored(server.url), wrapper.run_logs())


def test_a_server_killed_and_started_again(wrapper, server):
    made = log(wrapper, "run", 5000, end=False)
    shipper = start(wrapper, server.url, "--follow", "--duplicate-window", _WINDOW)
    for times in range(1, 4):
        until(lambda least=2500 * times: count(server.url) >= least, "some events")
        grow(made, 5000)
        server.kill()
        grow(made, 500)
        server.start()
    made.ended()
    made.release()
    total = len(made.path.read_bytes().splitlines())
    until(lambda: count(server.url) >= total, "all events")
    said = stop(shipper)
    assert "goes on" in said
    same(stored(server.url), wrapper.run_logs())


@pytest.mark.parametrize("how", ["cut", "drop", "stopped"])
def test_a_network_that_fails(how, wrapper, server, proxy):
    made = log(wrapper, "run", 20_000, end=False)
    shipper = start(wrapper, proxy.url, "--follow", "--duplicate-window", _WINDOW)
    until(lambda: count(server.url) >= 1000, "some events")
    match how:
        case "cut":
            proxy.cut()
        case "drop":
            proxy.drop()
        case "stopped":
            server.signal(signal.SIGSTOP)
    grow(made, 1000)
    assert shipper.stderr is not None
    until(lambda: b"trying again" in shipper.stderr.readline(), "the fault is said")
    proxy.heal()
    server.signal(signal.SIGCONT)
    made.ended()
    made.release()
    until(lambda: count(server.url) >= 21_002, "all events")
    stop(shipper)
    same(stored(server.url), wrapper.run_logs())


@pytest.mark.parametrize("size", [1, 5_000, 333_333, 1_000_000])
def test_a_connection_that_breaks_after_so_many_bytes(size, wrapper, server):
    proxy = Proxy(server.port, breaks=(size, size // 2, 3 * size))
    log(wrapper, "run-1", 4000)
    log(wrapper, "run-2", 400)
    ship(wrapper, proxy.url, "--duplicate-window", _WINDOW)
    proxy.close()
    same(stored(server.url), wrapper.run_logs())


def test_other_publishers_in_between(wrapper, server):
    """The shippers of many machines write into one stream at the same time."""
    log(wrapper, "run", 6000)
    others = []
    for number in range(3):
        other = Wrapper(wrapper.folder / f"machine-{number}")
        log(other, f"run-{number}", 4000)
        others.append(other)
    ship(wrapper, server.url, "--duplicate-window", _WINDOW)
    log(wrapper, "run-b", 6000)
    shippers = [start(machine, server.url) for machine in [*others, wrapper]]
    for shipper in shippers:
        _, err = shipper.communicate(timeout=60)
        assert shipper.returncode == 0, err
    same(stored(server.url), [path for machine in [*others, wrapper] for path in machine.run_logs()])


def test_what_stood_before_another_s_message_is_not_sent_again(wrapper, server):
    """Though the server has forgotten by then that it has it."""
    made = log(wrapper, "run", 98)
    outlet = JetStreamOutlet(access(server.url), Limits(duplicates=0.1), print)
    records = [
        Record("run", 0, event.seq, event.team_id, event.agent_id, event.payload.event, line)
        for line in made.path.read_bytes().splitlines()
        for event in [ndjson.decode(line)]
    ]
    outlet.send(records[:1])  # the stream is there
    connection = outlet._conn.nc
    publish, published = connection.publish, 0

    async def other(message_id: str) -> bool:
        theirs = await nats.connect(server.url, connect_timeout=60)
        headers = {"Nats-Msg-Id": message_id}
        told = await theirs.jetstream(timeout=60).publish("agentmon.v1.x.x.x", b"{}", headers=headers)
        await theirs.close()
        return not told.duplicate

    async def disturbed(subject, *words, **named):
        nonlocal published
        if not subject.startswith("$JS."):  # else it is a question
            if published == 6:
                await connection.flush()
                await other("theirs")
            if published == 99:  # the first that goes again
                while not await other("theirs"):
                    pass
            published += 1
        await publish(subject, *words, **named)

    connection.publish = disturbed
    outlet.send(records[1:])
    outlet.close()
    assert published > 99
    assert [m.data for m in stored(server.url) if m.data != b"{}"] == [record.line for record in records]


def test_a_full_stream_is_waited_for(wrapper, server):
    """Refused in the middle of what is on its way: nothing may overtake what was refused."""

    async def make(js):
        await js.add_stream(name="EVENTS", subjects=["agentmon.v1.>"], max_bytes=100_000, discard=api.DiscardPolicy.NEW)

    async def widen(js):
        config = (await js.stream_info("EVENTS")).config
        await js.update_stream(config, max_bytes=64 << 20)

    with_jetstream(server.url, make)
    made = log(wrapper, "run", 0, end=False)
    for number in range(600):  # small ones fit where a large one did not
        made.said("x" * (3000 if number % 7 == 0 else 3))
    made.release()
    shipper = start(wrapper, server.url)
    assert shipper.stderr is not None
    until(lambda: b"maximum bytes exceeded" in shipper.stderr.readline(), "that it is full")
    with_jetstream(server.url, widen)
    shipper.communicate(timeout=60)
    assert shipper.returncode == 0
    same(stored(server.url, "EVENTS"), wrapper.run_logs())


def test_too_large_for_the_stream_alone(wrapper, server):
    async def make(js):
        await js.add_stream(name="EVENTS", subjects=["agentmon.v1.>"], max_msg_size=2000)

    with_jetstream(server.url, make)
    made = log(wrapper, "run", 100, end=False)
    made.said("x" * 3000)
    grow(made, 100)
    made.release()
    said = ship(wrapper, server.url)
    assert "event 102 (log_entry) is left out: message size exceeds maximum allowed" in said
    lines = made.path.read_bytes().splitlines()
    assert [m.data for m in stored(server.url, "EVENTS")] == lines[:101] + lines[102:]


def test_anew_ships_what_the_stream_does_not_have(wrapper, server):
    """Nothing twice where it is all there, whatever the server remembers; all where the stream is empty or new."""
    for number in range(3):
        log(wrapper, f"run-{number}", 50)
    there, localhost = server.url, server.url.replace("127.0.0.1", "localhost")
    ship(wrapper, there, "--duplicate-window", _WINDOW)
    ship(wrapper, localhost)
    grow(log(wrapper, "run-3", 10, end=False), 5)
    until(lambda: _is_forgotten(server.url, "run-2-52"), "the server to forget")
    assert "16 events shipped" in ship(wrapper, there, "--anew")
    same(stored(server.url), wrapper.run_logs())
    for empty in (lambda js: js.purge_stream("AGENTMON"), lambda js: js.delete_stream("AGENTMON")):
        with_jetstream(server.url, empty)
        assert "\nagentmon: 0 events shipped" in "\n" + ship(wrapper, localhost)
        assert "172 events shipped" in ship(wrapper, there, "--anew")
        same(stored(server.url), wrapper.run_logs())
    assert "\nagentmon: 0 events shipped" in "\n" + ship(wrapper, there)


def _is_forgotten(url: str, message_id: str) -> bool:
    """Whether the server would take it again; then it has, and the second one is removed."""

    async def send(js):
        sent = await js.publish("agentmon.v1.x.x.x", b"{}", headers={"Nats-Msg-Id": message_id})
        if not sent.duplicate:
            await js.delete_msg("AGENTMON", sent.seq)
        return not sent.duplicate

    return with_jetstream(url, send)
