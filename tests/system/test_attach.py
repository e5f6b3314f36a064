"""`agentmon attach`: a process that already runs, until it ends or we are asked to."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from stream import check_stream, only, state_of
from wrapper import WAIT_S, Wrapper, exit_code, read_until, until


def attach(wrapper: Wrapper, *words: str, **popen: Any) -> Popen[bytes]:
    return Popen([sys.executable, "-m", "agentmon", "attach", *words], **{"env": wrapper.env, **popen})


@pytest.fixture
def sleeper() -> Any:
    process = Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_until_the_process_ends(wrapper: Wrapper, sleeper: Popen[bytes], tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    attached = attach(wrapper, "--interval", "50ms", "-o", str(out), str(sleeper.pid))
    until(lambda: out.exists() and out.read_bytes().count(b"metrics_update") >= 3, "three samples")
    sleeper.kill()
    assert exit_code(attached) == 0
    for data in (out.read_bytes(), wrapper.run_log()):
        events = check_stream(data)
        assert [state_of(e) for e in events if e["event"] == "lifecycle"] == ["started", "stopped"]
        assert {m["pid"] for m in only(events, "metrics_update")} == {sleeper.pid}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("interval", ["10m", "1000h"])  # poll(2) takes 596 hours at most
def test_a_signal_ends_it_at_once(wrapper: Wrapper, sleeper: Popen[bytes], number: int, interval: str) -> None:
    attached = attach(wrapper, "--interval", interval, str(sleeper.pid), stdout=PIPE)
    assert attached.stdout is not None
    data = read_until(attached.stdout.fileno(), rb"metrics_update.*\n")
    attached.send_signal(number)
    assert exit_code(attached) == 0
    events = check_stream(data + attached.stdout.read())
    assert events[-1]["data"]["lifecycle"]["reason"] == "detached"
    check_stream(wrapper.run_log())


def test_a_reader_that_leaves_ends_it(wrapper: Wrapper, sleeper: Popen[bytes]) -> None:
    attached = attach(wrapper, "--interval", "50ms", str(sleeper.pid), stdout=PIPE, stderr=PIPE)
    assert attached.stdout is not None
    assert attached.stderr is not None
    read_until(attached.stdout.fileno(), rb"\n")
    attached.stdout.close()
    assert exit_code(attached) == 1
    assert b"Traceback" not in attached.stderr.read()
    check_stream(wrapper.run_log())


@pytest.mark.parametrize("blocking", [False, True])
def test_a_reader_that_is_slow_gets_all(wrapper: Wrapper, sleeper: Popen[bytes], blocking: bool) -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    filled = 0
    while True:
        try:
            filled += os.write(write_fd, b"\n" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write_fd, blocking)
    attached = attach(wrapper, "--interval", "50ms", str(sleeper.pid), stdout=write_fd)
    os.close(write_fd)
    until(lambda: any(b"metrics_update" in path.read_bytes() for path in wrapper.run_logs()), "a sample")
    began = time.monotonic()
    attached.terminate()
    with open(read_fd, "rb") as reader:
        data = reader.read()
    late = time.monotonic() - began > 5  # it waits no longer
    assert exit_code(attached) == 0
    assert data.startswith(b"\n" * filled)
    assert late or check_stream(data[filled:])


def test_a_client_is_served_between_two_samples(wrapper: Wrapper, sleeper: Popen[bytes], tmp_path: Path) -> None:
    path = tmp_path / "s"
    attached = attach(wrapper, "--interval", "10m", "-o", f"unix:{path}", str(sleeper.pid))
    until(lambda: any(b"metrics_update" in log.read_bytes() for log in wrapper.run_logs()), "the first sample")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert select.select([client], [], [], WAIT_S)[0], "no snapshot"
        first = read_until(client.fileno(), rb"\n")
        attached.terminate()
        rest = b"".join(iter(lambda: client.recv(65536), b""))
    assert exit_code(attached) == 0
    assert b'"event":"snapshot"' in first
    (last,) = check_stream(first + rest, whole=False)
    assert state_of(last) == "stopped"


@pytest.mark.parametrize("pid", ["0", "-5", "4194304", "99999999999999999999"])
def test_no_such_process(wrapper: Wrapper, pid: str) -> None:
    attached = attach(wrapper, "--", pid, stdout=DEVNULL, stderr=PIPE)
    assert attached.stderr is not None
    said = attached.stderr.read()
    assert (exit_code(attached), said.count(b"\n"), said[:10]) == (125, 1, b"agentmon: ")


def test_a_refused_sink_leaves_nothing_behind(wrapper: Wrapper, sleeper: Popen[bytes], tmp_path: Path) -> None:
    words = ["-o", f"unix:{tmp_path}/s", "-o", f"{tmp_path}/none/x", str(sleeper.pid)]
    assert exit_code(attach(wrapper, *words, stderr=subprocess.DEVNULL)) == 125
    assert list(tmp_path.glob("s")) == []
    assert wrapper.run_logs() == []
