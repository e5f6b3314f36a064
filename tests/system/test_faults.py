"""Faults of the telemetry side: the child's output and exit code are as bare, and every stream keeps its contract."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from stream import Record, check_stream, lost_events, messages, only, state_of
from wrapper import Wrapper, alive, below, collector, exit_code, python, read_until, stat, until


@pytest.fixture
def small_disk(wrapper: Wrapper, tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def _ended(path: Path) -> bool:
    return b'"duration_s"' in path.read_bytes()[-2000:]


@pytest.mark.parametrize("flags", [None, os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_full_disk_and_then_room_again(wrapper: Wrapper, small_disk: Path, flags: int | None) -> None:
    """Whole lines while it is full, a gap that says how many are missing, and then the stream goes on. flags: those
    of a file that we are given open; None for one that we open."""
    ballast, events = small_disk / "ballast", small_disk / "events"
    ballast.write_bytes(b"x" * (700 << 10))
    handed = () if flags is None else (os.open(events, flags | os.O_CREAT, 0o600),)
    sink = str(events) if flags is None else f"fd:{handed[0]}"
    process = wrapper.start(["cat"], "-o", sink, "--interval", "1h", stdin=PIPE, stdout=PIPE, pass_fds=handed)
    for fd in handed:
        os.close(fd)
    assert process.stdin
    assert process.stdout
    body = "z" * 4000
    for i in range(2600):
        process.stdin.write(f"{i} {body}\n".encode())
        process.stdin.flush()
        os.read(process.stdout.fileno(), 65536)
    until(lambda: b'"2599 ' in wrapper.run_log()[-9000:])
    assert events.read_bytes().endswith(b"\n")
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    until(lambda: b'"event":"gap"' in events.read_bytes())
    process.stdin.write(b"room again\n")
    process.stdin.close()
    assert exit_code(process) == 0
    stream = check_stream(events.read_bytes())
    lost = lost_events(stream)
    assert lost > 0
    assert (len(messages(stream)), messages(stream)[-1]) == (2601 - lost, "room again")
    check_stream(wrapper.run_log())


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_into_a_file_on_a_disk_that_becomes_full(wrapper: Wrapper, small_disk: Path, stream: str) -> None:
    """A file takes a part of the last bytes; then the child hears of it, as it would bare."""
    with open(small_disk / "out", "wb") as out:
        streams = {"stdout": DEVNULL, "stderr": DEVNULL, stream: out}
        command = ["sh", "-c", f"head -c 3333333 /dev/zero >&{1 if stream == 'stdout' else 2}"]
        process = wrapper.start(command, stdin=DEVNULL, **streams)
        assert exit_code(process) != 0
    assert (small_disk / "out").stat().st_size == 1 << 20
    check_stream(wrapper.run_log())


def test_disk_that_stays_full(wrapper: Wrapper, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * (1 << 20))
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    process = wrapper.start(command, "-o", str(small_disk / "events"), stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    (log,) = until(wrapper.run_logs)
    until(lambda: _ended(log))
    assert (small_disk / "events").stat().st_size == 0
    subprocess.run(["mount", "-o", "remount,size=2m", small_disk], check=True)
    assert process.communicate(timeout=20) == (b"out\n", b"err\n")
    assert process.returncode == 3
    until(lambda: not [pid for pid in below(os.getpid()) if alive(pid)])
    assert (small_disk / "events").read_bytes() == wrapper.run_log()
    check_stream(wrapper.run_log())


def test_limit_on_the_size_of_files(wrapper: Wrapper, tmp_path: Path) -> None:
    """The child has its limit as bare; ours ends with a whole line, and goes on when the limit is lifted."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))

    command = ["sh", "-c", "ulimit -f; head -c 20000 /dev/zero | tr '\\0' '\\n'; cat; exit 3"]
    process = wrapper.start(
        command,
        "-o",
        "events",
        "--no-run-log",
        "--run-id",
        "small",
        cwd=tmp_path,
        stdin=PIPE,
        stdout=PIPE,
        preexec_fn=limit,
    )
    assert process.stdout
    events = tmp_path / "events"
    ours = collector("small")
    out = read_until(process.stdout.fileno(), b"\n{20000}$")
    until(lambda: events.stat().st_size > 0)
    assert events.stat().st_size <= 65536
    assert events.read_bytes().endswith(b"\n")
    resource.prlimit(ours, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    rest, _ = process.communicate(b"more\n", timeout=20)
    assert (process.returncode, out + rest) == (3, b"128\n" + b"\n" * 20000 + b"more\n")
    assert messages(check_stream(events.read_bytes()))[-1] == "more"


def test_collector_is_killed(wrapper: Wrapper) -> None:
    process = wrapper.start(["sh", "-c", "cat; exit 4"], "--run-id", "gone", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    victim = collector("gone")
    until(lambda: b"running" in wrapper.run_log())
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(b"a\n" * 500_000, timeout=20)
    assert (process.returncode, out) == (4, b"a\n" * 500_000)
    assert err.count(b"\n") == 1
    assert err.startswith(b"agentmon: the collector ended")
    assert state_of(check_stream(wrapper.run_log(), whole=False)[0]) == "started"


def test_collector_is_killed_when_the_child_has_ended(wrapper: Wrapper) -> None:
    """The end of the telemetry is missing then, too: that is told."""
    command = ["sh", "-c", "echo $$ >&2; exec seq 1 3000 >&2"]  # more events than the pipe takes that nobody reads
    process = wrapper.start(command, "--run-id", "gone", "-o", "-", stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    assert process.stderr
    victim = collector("gone")
    lines = read_until(process.stderr.fileno(), rb"\n3000\n").splitlines()
    until(lambda: stat(int(lines[0])) is None, "the child to be gone")
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err.count(b"\n") == 1
    assert err.startswith(b"agentmon: the collector ended")


@pytest.mark.parametrize("words", [[], ["--pty", "always"]], ids=["pipes", "session"])
def test_relay_is_killed(wrapper: Wrapper, words: list[str]) -> None:
    code = (
        "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [1, 15])\n"
        "os.write(1, b'pid %d\\n' % os.getpid())\nsignal.sigwait([15]); os.open('ended', os.O_CREAT)"
    )
    process = wrapper.start(python(code), *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=wrapper.folder)
    assert process.stdout
    child = int(read_until(process.stdout.fileno(), rb"pid \d+\r?\n").split()[1])
    until(lambda: b"pid " in wrapper.run_log())
    process.kill()
    assert exit_code(process) == 137
    until(lambda: not alive(child), "the child to end")
    assert (wrapper.folder / "ended").exists()
    (log,) = wrapper.run_logs()
    until(lambda: _ended(log))
    events = check_stream(log.read_bytes())
    assert state_of(events[-1]) == "error"
    assert "relay was killed" in only(events, "lifecycle")[-1]["reason"]


def test_collector_is_stopped_behind_a_child_that_prints_much(wrapper: Wrapper, tmp_path: Path) -> None:
    """Nothing waits for it; when it goes on it has everything, from the spool."""
    size = 24 << 20
    code = (
        "import os\n"
        "os.read(0, 1)\n"
        f"for i in range({size >> 20}): os.write(1, (b'x' * 1023 + b'\\n') * 1024)\n"
        "os._exit(3)"
    )
    with open(tmp_path / "out", "wb") as out:
        process = wrapper.start(python(code), "--run-id", "late", stdin=PIPE, stdout=out, stderr=PIPE)
        behind = collector("late")
        until(lambda: b"running" in wrapper.run_log())
        os.kill(behind, signal.SIGSTOP)
        _, err = process.communicate(b"x", timeout=20)
    assert (process.returncode, (tmp_path / "out").stat().st_size) == (3, size)
    assert err.startswith(b"agentmon: the collector is stopped")
    (log,) = wrapper.run_logs()
    assert b"exit_code" not in log.read_bytes()
    os.kill(behind, signal.SIGCONT)
    until(lambda: _ended(log))
    events = check_stream(log.read_bytes())
    end = only(events, "lifecycle")[-1]
    assert (end["exit_code"], end["sources"]) == (
        3,
        {"stdout": {"bytes": size, "lines": size // 1024, "lost_bytes": 0}},
    )
    assert len(messages(events)) == size // 1024


def test_collector_is_stopped_and_there_is_no_room_for_a_spool(wrapper: Wrapper, tmp_path: Path) -> None:
    """What is lost is counted in the stream, to the byte."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    code = "import os\nos.read(0, 1)\nfor i in range(8): os.write(1, (b'x' * 1023 + b'\\n') * 1024)\nos._exit(3)"
    process = wrapper.start(
        python(code),
        "--run-id",
        "late",
        "--no-run-log",
        "-o",
        "-",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        preexec_fn=limit,
    )
    assert process.stdout
    behind = collector("late")
    stream = read_until(process.stdout.fileno(), b'"running".*\n')
    os.kill(behind, signal.SIGSTOP)
    assert process.stdin
    assert process.stderr
    process.stdin.write(b"x")
    process.stdin.close()
    assert len(process.stderr.read()) >= 8 << 20
    assert exit_code(process) == 3
    os.kill(behind, signal.SIGCONT)
    events = check_stream(stream + process.stdout.read())
    end = only(events, "lifecycle")[-1]
    (seen,) = end["sources"].values()
    assert seen["lost_bytes"] > 0
    assert seen["bytes"] + seen["lost_bytes"] == 8 << 20
    assert sum(gap["lost_bytes"] for gap in only(events, "gap")) == seen["lost_bytes"]
    assert end["exit_code"] == 3


def test_10_mb_line(wrapper: Wrapper) -> None:
    result = wrapper.run(python("print('before'); print('x' * (10 << 20)); print('after')"))
    assert (result.code, len(result.out)) == (0, (10 << 20) + 14)
    entries = only(check_stream(wrapper.run_log()), "log_entry")
    assert [entry["message"][:6] for entry in entries] == ["before", "xxxxxx", "after"]
    assert entries[1]["truncated"]
    assert len(entries[1]["message"]) <= 4096


def test_flood_of_empty_lines(wrapper: Wrapper, tmp_path: Path) -> None:
    """One byte becomes an event of 300: a block of them is not in memory at once, and a file takes them all."""
    lines = 300_000
    process = wrapper.start(
        ["sh", "-c", f"yes '' | head -n {lines}; cat; exit 3"],
        "-o", "events", "--no-run-log", "--run-id", "empty", cwd=tmp_path, stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    assert process.stdout
    ours = collector("empty")
    out = read_until(process.stdout.fileno(), b"\n{%d}$" % lines)
    events = tmp_path / "events"
    until(lambda: events.read_bytes().count(b'"log_entry"') == lines, "all entries")
    status = Path(f"/proc/{ours}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 100_000  # type: ignore[index]
    rest, _ = process.communicate(b"", timeout=20)
    assert (process.returncode, out + rest) == (3, b"\n" * lines)
    assert b'"event":"gap"' not in events.read_bytes()


def test_hostile_bytes(wrapper: Wrapper) -> None:
    body = (
        bytes(range(256)) * 8
        + b"\xed\xa0\x80\n"
        + b'{"a":' * 30_000
        + b"\n"
        + b"\x1b[" * 5000
        + b"\n"
        + b"\xf0\x9f\n\0\n"
        + b"\r" * 5000
    )
    result = wrapper.run(["cat"], data=body)
    assert (result.code, result.out == body) == (0, True)
    assert messages(check_stream(wrapper.run_log()))


def test_200_processes(wrapper: Wrapper, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    code = (
        "import os\nfor _ in range(200):\n if not os.fork():\n  os.read(0, 1); os._exit(0)\n"
        "print('all', flush=True)\nfor _ in range(200): os.wait()\nos._exit(5)"
    )
    process = wrapper.start(python(code), "--interval", "0.05", stdin=PIPE, stdout=DEVNULL)

    def most() -> int:
        return max((m["tree"]["processes"] for m in only(_so_far(wrapper), "metrics_update")), default=0)

    until(lambda: most() == 201)
    assert process.stdin
    process.stdin.close()
    assert exit_code(process) == 5
    last = only(check_stream(wrapper.run_log()), "metrics_update")[-1]
    assert last["tree"]["processes"] == 0


def _so_far(wrapper: Wrapper) -> list[Record]:
    with contextlib.suppress(ValueError):
        data = wrapper.run_log()
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]
    return []


def test_sink_that_breaks_is_told_once_and_the_others_go_on(wrapper: Wrapper, tmp_path: Path) -> None:
    result = wrapper.run(["sh", "-c", "echo a; exit 2"], "-o", "/dev/full", "-o", "events", cwd=tmp_path)
    assert (result.code, result.out) == (2, b"a\n")
    assert result.err == b"agentmon: /dev/full: No space left on device; this sink gets no more events\n"
    assert messages(check_stream((tmp_path / "events").read_bytes())) == ["a"]


def test_folder_of_a_sink_vanishes(wrapper: Wrapper, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    process = wrapper.start(["cat"], "-o", "folder/events", stdin=PIPE, stdout=DEVNULL, stderr=PIPE, cwd=tmp_path)
    until(lambda: (tmp_path / "folder/events").exists())
    shutil.rmtree(tmp_path / "folder")
    _, err = process.communicate(b"on\n", timeout=20)
    assert (process.returncode, err) == (0, b"")
    assert messages(check_stream(wrapper.run_log())) == ["on"]


def test_unwritable_folder_of_a_sink(wrapper: Wrapper, tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "folder").mkdir(mode=0o500)
    result = wrapper.run(["touch", "ran"], "-o", "folder/events", cwd=tmp_path)
    assert (result.code, (tmp_path / "ran").exists(), result.err.count(b"\n")) == (125, False, 1)
