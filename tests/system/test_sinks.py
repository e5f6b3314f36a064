"""Where events go: every kind of sink, with the readers that real life has."""

import fcntl
import os
import re
import socket
import stat
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest
from stream import check_file_of_many, check_stream, lost_events, messages, state_of
from wrapper import RELAY_WAITS_S, Wrapper, collector, communicate, exit_code, python, read_until, until

LINES = "for i in range({}): print('line', i)"


def _paced(wrapper: Wrapper, *options: str) -> Popen[bytes]:
    """A child that echoes each line of its stdin: the test says when there is output."""
    return wrapper.start(["cat"], *options, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, cwd=wrapper.folder)


def _say(process: Popen[bytes], *words: str) -> None:
    assert process.stdin
    process.stdin.write("".join(word + "\n" for word in words).encode())
    process.stdin.flush()


def _end(process: Popen[bytes]) -> bytes:
    _, err = communicate(process)
    assert process.returncode == 0
    return err


# ------------------------------------------------------------------ files


def test_file_is_appended_to(wrapper: Wrapper, tmp_path: Path) -> None:
    for word in ("one", "two"):
        assert wrapper.run(["echo", word], "-o", "events", cwd=tmp_path).err == b""
    first, second = check_file_of_many((tmp_path / "events").read_bytes()).values()
    assert (messages(first), messages(second)) == (["one"], ["two"])
    assert stat.S_IMODE((tmp_path / "events").stat().st_mode) == 0o600


def test_every_sink_gets_the_same(wrapper: Wrapper, tmp_path: Path) -> None:
    with open(tmp_path / "fd", "wb") as file:
        words = ("-o", "a", "-o", "b", "-o", f"fd:{file.fileno()}", "-o", "-", "-o", "/dev/null")
        result = wrapper.run(["echo", "hi"], *words, cwd=tmp_path, pass_fds=(file.fileno(),))
    assert (result.code, result.err) == (0, b"hi\n")
    check_stream(result.out)
    assert (
        len(
            {
                (tmp_path / "a").read_bytes(),
                (tmp_path / "b").read_bytes(),
                (tmp_path / "fd").read_bytes(),
                result.out,
                wrapper.run_log(),
            }
        )
        == 1
    )


def test_several_writers_of_one_file(wrapper: Wrapper, tmp_path: Path) -> None:
    processes = [
        wrapper.start(
            python(LINES.format(3000)),
            "--run-id",
            f"run{i}",
            "-o",
            "shared",
            cwd=tmp_path,
            stdin=DEVNULL,
            stdout=DEVNULL,
        )
        for i in range(3)
    ]
    assert [exit_code(process) for process in processes] == [0, 0, 0]
    runs = check_file_of_many((tmp_path / "shared").read_bytes())
    assert {
        run: messages(events) == [f"line {i}" for i in range(3000)] for run, events in runs.items()
    } == dict.fromkeys(("run0", "run1", "run2"), True)


def test_logrotate(wrapper: Wrapper, tmp_path: Path) -> None:
    """It goes on in a new file of the same name; between both files nothing is lost or cut."""
    process = _paced(wrapper, "-o", "events")
    path, old = tmp_path / "events", tmp_path / "events.1"
    _say(process, "before")
    until(lambda: path.exists() and b"before" in path.read_bytes())
    path.rename(old)
    written = iter(range(10_000))

    def goes_on() -> bool:
        _say(process, f"after {next(written)}")
        return path.exists() and path.stat().st_size > 0

    until(goes_on)
    _end(process)
    assert messages(check_stream(old.read_bytes() + path.read_bytes()))[0] == "before"


def test_a_named_pipe_in_place_of_the_file_is_not_waited_for(wrapper: Wrapper, tmp_path: Path) -> None:
    path, old = tmp_path / "events", tmp_path / "events.1"
    process = _paced(wrapper, "-o", str(path))
    _say(process, "before")
    until(lambda: path.exists() and b"before" in path.read_bytes())
    path.rename(old)
    os.mkfifo(path)
    end = time.monotonic() + 0.6  # the path is looked at four times a second
    until(lambda: _say(process, "more") or time.monotonic() > end)
    _say(process, "after")
    _end(process)
    assert messages(check_stream(old.read_bytes()))[-1] == "after"


# ------------------------------------------------------------------ descriptors


def test_dash_moves_stdout_to_stderr(wrapper: Wrapper) -> None:
    result = wrapper.run(["sh", "-c", "echo out; exit 3"], "-o", "-")
    assert (result.code, result.err) == (3, b"out\n")
    assert messages(check_stream(result.out)) == ["out"]


@pytest.mark.parametrize("path", ["/dev/fd/%d", "/proc/self/fd/%d"])
def test_a_path_that_means_a_descriptor(wrapper: Wrapper, path: str) -> None:
    """What a shell makes of `-o >(jq)`: the descriptor is ours alone, and gone with us."""
    read_fd, write_fd = os.pipe()
    process = wrapper.start(["echo", "out"], "-o", path % write_fd, pass_fds=(write_fd,), stdout=PIPE, stderr=PIPE)
    os.close(write_fd)
    with open(read_fd, "rb") as reader:
        data = reader.read()
    out, err = communicate(process)
    assert (process.returncode, out, err) == (0, b"out\n", b"")
    assert messages(check_stream(data)) == ["out"]


def test_dev_stdout_is_dash(wrapper: Wrapper) -> None:
    result = wrapper.run(["echo", "out"], "-o", "/dev/stdout")
    assert (result.code, result.err) == (0, b"out\n")
    assert messages(check_stream(result.out)) == ["out"]


def test_dash_is_refused_where_both_are_one(wrapper: Wrapper, tmp_path: Path) -> None:
    result = wrapper.bare(["sh", "-c", 'exec "$@" 2>&1', "sh", *wrapper.argv(["touch", tmp_path / "ran"], "-o", "-")])
    assert result.code == 125
    assert re.fullmatch(rb"agentmon: -o -: [^\n]+\n", result.out)
    assert not (tmp_path / "ran").exists()


def test_dash_whose_reader_leaves(wrapper: Wrapper) -> None:
    process = wrapper.start(["cat"], "-o", "-", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdout
    assert process.stderr
    read_until(process.stdout.fileno(), b"started")
    process.stdout.close()
    _say(process, "on")
    assert read_until(process.stderr.fileno(), b"no more events\n").count(b"agentmon: ") == 1
    assert process.stdin
    process.stdin.close()
    assert exit_code(process) == 0


# ------------------------------------------------------------------ named pipes


def test_fifo_whose_reader_comes_later(wrapper: Wrapper, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = _paced(wrapper, "-o", "pipe")
    _say(process, "early")
    until(lambda: any(b"early" in log.read_bytes() for log in wrapper.run_logs()))
    fd = os.open(tmp_path / "pipe", os.O_RDONLY)
    seen = read_until(fd, b"early.*\n")
    _end(process)
    while data := os.read(fd, 65536):
        seen += data
    os.close(fd)
    assert seen == wrapper.run_log()
    check_stream(seen)


def test_fifo_whose_reader_is_replaced(wrapper: Wrapper, tmp_path: Path) -> None:
    """No event is lost; the second reader begins with a whole line, and sees again what the first one left unread."""
    os.mkfifo(tmp_path / "pipe")
    process = _paced(wrapper, "-o", "pipe")
    first = os.open(tmp_path / "pipe", os.O_RDONLY)
    _say(process, "one")
    seen = read_until(first, b'"one"')
    _say(process, *(f"unread {i}" for i in range(200)))
    until(lambda: b"unread 199" in wrapper.run_log())
    seen += os.read(first, 100)  # in the middle of a line
    os.close(first)
    _say(process, "two")
    until(lambda: b'"two"' in wrapper.run_log())
    second = os.open(tmp_path / "pipe", os.O_RDONLY)
    rest = read_until(second, b'"two"')
    _end(process)
    while data := os.read(second, 65536):
        rest += data
    os.close(second)
    whole = wrapper.run_log()
    again = check_stream(rest, whole=False)
    assert state_of(again[-1]) == "stopped"
    assert whole.endswith(rest)
    assert len(whole) - len(rest) <= len(seen)


def test_fifo_reader_that_left_costs_nothing(wrapper: Wrapper, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = _paced(wrapper, "-o", "pipe", "--interval", "1h", "--run-id", "idle")
    fd = os.open(tmp_path / "pipe", os.O_RDONLY)
    read_until(fd, b"metrics_update.*\n")
    os.close(fd)
    _rests(collector("idle"))
    _end(process)


# ------------------------------------------------------------------ sockets


def _connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)

    def connected() -> bool:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True

    until(connected)
    return client


def _rest(client: socket.socket) -> bytes:
    seen = b""
    while data := client.recv(1 << 20):
        seen += data
    return seen


def test_socket_serves_several_clients(wrapper: Wrapper, tmp_path: Path) -> None:
    process = _paced(wrapper, "-o", "unix:socket")
    clients = [_connect(tmp_path / "socket") for _ in range(3)]
    assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
    seen = []
    for client in clients:
        _say(process, "ping")
        seen.append(read_until(client.fileno(), b'"ping".*\n'))
    clients[0].close()
    clients[1].shutdown(socket.SHUT_WR)  # as `nc -U` does at the end of its input
    _say(process, "last")
    _end(process)
    for client, begun in list(zip(clients, seen, strict=True))[1:]:
        lines = (begun + _rest(client)).split(b"\n")
        own = b"\n".join(line for line in lines if b'"event":"snapshot"' not in line)
        events = check_stream(own, whole=False)
        assert messages(events)[-1] == "last"
        assert state_of(events[-1]) == "stopped"
    assert not (tmp_path / "socket").exists()


def test_client_that_left_costs_nothing(wrapper: Wrapper, tmp_path: Path) -> None:
    process = _paced(wrapper, "-o", "unix:socket", "--interval", "1h", "--run-id", "idle")
    client = _connect(tmp_path / "socket")
    _say(process, "on")
    read_until(client.fileno(), b'"on"')
    client.close()
    _rests(collector("idle"))
    _end(process)


def test_client_that_stops_reading_gets_a_gap_and_harms_nobody(wrapper: Wrapper, tmp_path: Path) -> None:
    process = _paced(wrapper, "-o", "unix:socket", "--interval", "1h")
    slow, quick = _connect(tmp_path / "socket"), _connect(tmp_path / "socket")
    _say(process, "both")
    for client in (slow, quick):
        seen = read_until(client.fileno(), b'"both".*\n')
    body = "y" * 4000
    for i in range(2400):  # more than the backlog of a client holds
        _say(process, f"{i} {body}")
        if i % 200 == 199:
            seen += read_until(quick.fileno(), rf'"{i} y+".*\n'.encode())
    late = read_until(slow.fileno(), rb'"event":"gap".*\n')
    _say(process, "last")
    late += read_until(slow.fileno(), rb'"last".*\n')
    _end(process)
    assert messages(check_stream(seen + _rest(quick), whole=False))[-1] == "last"
    events = check_stream(late + _rest(slow), whole=False)
    lost = lost_events(events)
    assert lost > 0
    assert len(messages(events)) == 2401 - lost
    check_stream(wrapper.run_log())


def test_stale_socket_is_replaced_and_a_live_one_refused(wrapper: Wrapper, tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "socket"))
    stale.close()
    process = _paced(wrapper, "-o", "unix:socket")
    client = _connect(tmp_path / "socket")
    result = wrapper.run(["touch", "ran"], "-o", "unix:socket", cwd=tmp_path)
    assert (result.code, (tmp_path / "ran").exists()) == (125, False)
    assert re.fullmatch(rb"agentmon: socket: [^\n]+\n", result.err)
    _say(process, "still here")
    read_until(client.fileno(), b"still here")
    _end(process)


def test_connecting_to_a_socket(wrapper: Wrapper, tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    server.listen()
    assert wrapper.run(["echo", "hi"], "-o", "unix-connect:socket", cwd=tmp_path).err == b""
    connection, _ = server.accept()
    assert messages(check_stream(_rest(connection))) == ["hi"]
    server.close()
    assert wrapper.run(["echo", "hi"], "-o", "unix-connect:socket", cwd=tmp_path).code == 125


def _rests(pid: int) -> None:
    """Fails for a process that spins: in the time that we take here it would use all of it."""

    def ticks() -> int:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[11:13]))

    before, end = ticks(), time.monotonic() + 0.4
    until(lambda: time.monotonic() > end)
    assert ticks() - before < 15


# ------------------------------------------------------------------ refused before the child starts

REFUSED = [
    "missing/file",
    "folder",
    "fd:99",
    "fd:99999999999999999999",
    "/dev/fd/99",
    "fd:x",
    "unix:",
    "unix:missing/socket",
    "unix:plain",
    "unix-connect:missing",
    "unix:" + "x" * 200,
]


@pytest.mark.parametrize("word", REFUSED)
def test_bad_sink_is_refused(wrapper: Wrapper, tmp_path: Path, word: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("mine")
    result = wrapper.run(["touch", "ran"], "-q", "-o", word, cwd=tmp_path)
    assert (result.code, result.out, (tmp_path / "ran").exists()) == (125, b"", False)
    assert re.fullmatch(rb"agentmon: [^\n]+\n", result.err)
    assert (tmp_path / "plain").read_text() == "mine"
    assert not wrapper.run_logs()


# ------------------------------------------------------------------ the run log


def test_run_log_is_private_and_locked_while_the_run_goes_on(wrapper: Wrapper) -> None:
    process = _paced(wrapper)
    (path,) = until(wrapper.run_logs)
    until(lambda: path.stat().st_size)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    with open(path, "rb") as log:
        with pytest.raises(BlockingIOError):
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert _end(process) == b""
        fcntl.flock(log, fcntl.LOCK_SH)
    check_stream(path.read_bytes())


def test_a_run_is_over_when_its_files_are_whole(wrapper: Wrapper, tmp_path: Path) -> None:
    began = time.monotonic()
    process = wrapper.start(["sh", "-c", "echo hi; exit 2"], "-o", "events", cwd=tmp_path, stdout=DEVNULL)
    assert process.wait() == 2
    files = [(tmp_path / "events").read_bytes(), wrapper.run_log()]
    late = time.monotonic() - began > RELAY_WAITS_S  # then it waits no longer
    assert late or [messages(check_stream(data)) for data in files] == [["hi"], ["hi"]]


def test_no_run_log(wrapper: Wrapper) -> None:
    assert wrapper.run(["sh", "-c", "echo hi; exit 2"], "--no-run-log").code == 2
    assert not wrapper.state.exists()


@pytest.mark.parametrize("how", ["the state directory is a file", "no home"])
def test_without_a_place_for_the_run_log_the_run_goes_on(wrapper: Wrapper, tmp_path: Path, how: str) -> None:
    env = dict(wrapper.env)
    if how == "no home":
        del env["XDG_STATE_HOME"]
        env["HOME"] = str(tmp_path / "nobody")
    else:
        wrapper.state.write_text("in the way")
    result = wrapper.run(["sh", "-c", "echo hi; exit 2"], "-o", "events", cwd=tmp_path, env=env)
    assert (result.code, result.out) == (2, b"hi\n")
    assert re.fullmatch(rb"agentmon: [^\n]+the run goes on without\n", result.err)
    check_stream((tmp_path / "events").read_bytes())
    assert wrapper.run(["true"], "-q", env=env).err == b""


def test_a_run_id_is_used_once(wrapper: Wrapper) -> None:
    assert wrapper.run(["true"], "--run-id", "mine").code == 0
    assert [path.name for path in wrapper.run_logs()] == ["mine.ndjson"]
    assert wrapper.run(["true"], "--run-id", "mine").code == 125
    assert wrapper.run(["true"], "--run-id", "../mine").code == 125


def test_unread_pipe_does_not_keep_us(wrapper: Wrapper, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = wrapper.start(["sh", "-c", "exit 6"], "-o", "pipe", "--run-id", "unread", cwd=tmp_path)
    assert exit_code(process) == 6
    check_stream(wrapper.run_log())
