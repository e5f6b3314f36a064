"""The child never notices: bytes, exit codes, signals, descriptors and environment are as bare."""

import concurrent.futures
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen

import pytest
from stream import check_stream, only
from wrapper import (
    Result,
    Wrapper,
    alive,
    below,
    command_line,
    communicate,
    exit_code,
    needs,
    python,
    read_until,
    stat,
    until,
)

BODIES = {
    "nothing": b"",
    "no newline": b"one\ntwo",
    "every byte": bytes(range(256)) * 300,
    "NUL": b"a\0b\0\n\0",
    "invalid UTF-8": b"ok \xff\xfe \xc3\x28 \xed\xa0\x80 \xf8\x88 \xe2\x82\n",
    "line ends": b"a\r\nb\rc\n\r\n\n\r",
    "escapes": b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\x0c\x08\x7f\x9b1m\x1b[?1049h",
    "looks like ours": b'{"v":1,"type":"agent_telemetry","seq":7,"event":"gap"}\n{"a":\n',
    "10 MB without a newline": b"0123456789" * (1 << 20),
    "only newlines": b"\n" * 40_000,
}


@pytest.mark.parametrize("fd", [1, 2])
@pytest.mark.parametrize("name", BODIES)
def test_bytes(wrapper: Wrapper, tmp_path: Path, name: str, fd: int) -> None:
    (tmp_path / "body").write_bytes(BODIES[name])
    result = wrapper.run(["sh", "-c", f"exec cat body >&{fd}"], cwd=tmp_path)
    expected = (BODIES[name], b"") if fd == 1 else (b"", BODIES[name])
    assert (result.code, (result.out, result.err) == expected) == (0, True)
    check_stream(wrapper.run_log())


def test_both_streams_into_one_file_keep_their_order(wrapper: Wrapper, tmp_path: Path) -> None:
    code = "import os\nfor i in range(3000): os.write(1 + i % 2, b'%d\\n' % i)"
    with open(tmp_path / "log", "wb") as log:
        assert exit_code(wrapper.start(python(code), stdin=DEVNULL, stdout=log, stderr=STDOUT)) == 0
    assert (tmp_path / "log").read_bytes() == b"".join(b"%d\n" % i for i in range(3000))
    assert {e["stream"] for e in only(check_stream(wrapper.run_log()), "log_entry")} == {"merged"}


def test_output_comes_at_once(wrapper: Wrapper) -> None:
    """Half a character and a prompt without a newline are there before the child goes on."""
    code = r"import os; os.write(1, b'\xe2\x82'); os.read(0, 1); os.write(1, b'\xacname? '); os.write(1, os.read(0, 9))"
    process = wrapper.start(python(code), stdin=PIPE, stdout=PIPE)
    assert process.stdin
    assert process.stdout
    for expected, answer in ((b"\xe2\x82", b"x"), (b"\xacname. ", b"bob\n"), (b"bob\n", b"")):
        read_until(process.stdout.fileno(), expected)
        process.stdin.write(answer)
        process.stdin.flush()
    process.stdin.close()
    assert exit_code(process) == 0


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_standard_descriptor_is_closed(wrapper: Wrapper, closed: int) -> None:
    shell = f'exec "$@" {"<" if closed == 0 else f"{closed}>"}&-'
    report = 2 if closed == 1 else 1
    code = (
        "import os\ndef there(fd):\n try: os.fstat(fd); return 1\n except OSError: return 0\n"
        f"os.write({report}, bytes(str([there(fd) for fd in range(3)]), 'ascii')); os._exit(7)"
    )
    expected = wrapper.bare(["sh", "-c", shell, "sh", *python(code)])
    assert wrapper.bare(["sh", "-c", shell, "sh", *wrapper.argv(python(code))]) == expected
    assert expected.code == 7


def test_exit_codes(wrapper: Wrapper) -> None:
    codes = (0, 1, 2, 42, 125, 126, 127, 128, 130, 255)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda code: wrapper.run(["sh", "-c", f"exit {code}"]).code, codes)
        assert tuple(results) == codes


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "SEGV", "PIPE", "TERM", "USR1", "RTMIN+3"])
def test_death_by_signal(wrapper: Wrapper, name: str) -> None:
    number = signal.SIGRTMIN + 3 if "+" in name else signal.Signals["SIG" + name]
    code = (
        "import os, resource, signal\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        f"{number} in (9,) or signal.signal({number}, signal.SIG_DFL)\nos.kill(os.getpid(), {number})"
    )
    assert wrapper.run(python(code)) == Result(128 + number, b"", b"")
    end = only(check_stream(wrapper.run_log()), "lifecycle")[-1]
    assert (end["state"], end["exit_code"]) == ("error", 128 + number)
    assert end.get("signal") == "SIG" + name


UNUSABLE = {
    "no such command": ("no-such-command-xyz", 127),
    "no such path": ("./missing", 127),
    "no such interpreter": ("./lost", 127),
    "empty name": ("", 127),
    "no permission": ("./plain", 126),
    "a directory": ("./folder", 126),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_command_that_cannot_be_executed(wrapper: Wrapper, tmp_path: Path, name: str) -> None:
    (tmp_path / "lost").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "lost").chmod(0o755)
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    word, code = UNUSABLE[name]
    result = wrapper.run([word], "-q", cwd=tmp_path)
    assert (result.code, result.out) == (code, b"")
    assert re.fullmatch(rb"agentmon: [^\n]+\n", result.err)
    end = only(check_stream(wrapper.run_log()), "lifecycle")[-1]
    assert (end["state"], end["exit_code"]) == ("error", code)
    assert end["reason"].startswith("exec: ")


def test_a_script_without_a_first_line_goes_to_the_shell(wrapper: Wrapper, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo shell $1; exit 6\n")
    (tmp_path / "script").chmod(0o755)
    assert wrapper.run(["./script", "x"], cwd=tmp_path) == Result(6, b"shell x\n", b"")


# ------------------------------------------------------------------ signals

CATCH = """
import os, signal, sys
got = []
caught = [n for n in range(1, 32) if n not in (9, 17, 19)]
signal.pthread_sigmask(signal.SIG_BLOCK, caught)
os.write(1, b'ready\\n')
while True:
    n = signal.sigwait(caught)
    if n == 15: os._exit(42)
    os.write(1, b'got %d\\n' % n)
"""


def _catcher(wrapper: Wrapper) -> tuple[Popen[bytes], int]:
    process = wrapper.start(python(CATCH), stdin=DEVNULL, stdout=PIPE)
    assert process.stdout
    read_until(process.stdout.fileno(), b"ready\n")
    return process, process.stdout.fileno()


def test_a_directed_signal_arrives_once(wrapper: Wrapper) -> None:
    process, out = _catcher(wrapper)
    numbers = (1, 2, 3, 10, 12, 14, 28, 4, 5, 6, 7, 8, 11, 13, 16, 23, 24, 25, 26, 27, 29, 30, 31)
    for number in numbers:
        process.send_signal(number)
        assert read_until(out, b"\n") == b"got %d\n" % number
    process.send_signal(15)
    assert os.read(out, 100) == b""  # nothing came twice
    assert exit_code(process) == 42


def test_a_signal_to_the_group_arrives_once(wrapper: Wrapper) -> None:
    process, out = _catcher(wrapper)
    for number in (2, 1, 10, 3):
        os.killpg(process.pid, number)
        assert read_until(out, b"\n") == b"got %d\n" % number
    process.send_signal(12)  # and one to us alone still counts
    assert read_until(out, b"\n") == b"got 12\n"
    os.killpg(process.pid, 15)
    assert os.read(out, 100) == b""
    assert exit_code(process) == 42


def test_a_signal_at_any_moment_of_the_start(wrapper: Wrapper) -> None:
    """From our own exec(2) on: a signal never goes to nobody, and nobody is left."""
    for step in range(12):
        process = wrapper.start(["sleep", "600"], stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        seen: set[int] = set()

        def grown(process: Popen[bytes] = process, seen: set[int] = seen, step: int = step) -> bool:
            seen.update(below(process.pid))
            ticks = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()
            used = int(Path(f"/proc/{process.pid}/io").read_bytes().split()[1])  # bytes read: imports go on
            return used >= step * 130_000 or ticks[0] == b"Z" or bool(seen)

        until(grown)
        process.send_signal(signal.SIGTERM)
        _, err = communicate(process)
        assert (process.returncode, err) in ((-15, b""), (143, b"")), step
        assert until(lambda seen=seen: not any(map(alive, seen)))


def test_stop_and_continue(wrapper: Wrapper) -> None:
    process = wrapper.start(python("import os\nos.write(1, b'%d\\n' % os.getpid()); os.read(0, 1)"), stdin=PIPE,
                            stdout=PIPE, start_new_session=False, process_group=0)  # fmt: skip
    assert process.stdout
    child = int(read_until(process.stdout.fileno(), b"\n"))

    def states() -> list[str]:
        return [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in (process.pid, child)]

    process.send_signal(signal.SIGTSTP)
    until(lambda: states() == ["T", "T"])
    process.send_signal(signal.SIGCONT)
    until(lambda: "T" not in states())
    assert communicate(process, b"x")
    assert process.returncode == 0


@pytest.mark.parametrize("how", ["as usual", "ignored", "blocked"])
def test_dispositions_and_mask_are_inherited(wrapper: Wrapper, how: str) -> None:
    def prepare() -> None:
        if how == "ignored":
            for number in (1, 2, 3, 10, 17):
                signal.signal(number, signal.SIG_IGN)
        if how == "blocked":
            signal.pthread_sigmask(signal.SIG_BLOCK, {10, 14, 15, 17})

    command = ["sh", "-c", "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; exit 5"]
    expected = wrapper.bare(command, preexec_fn=prepare)
    assert wrapper.run(command, preexec_fn=prepare) == expected
    assert expected.code == 5


# ------------------------------------------------------------------ stdin and back-pressure


def _bytes(path: str) -> bytes:
    return Path(path).read_bytes()


def test_stdin(wrapper: Wrapper) -> None:
    body = bytes(range(256)) * 20_000
    assert wrapper.run(["cat"], data=body).out == body
    assert wrapper.run(["wc", "-c"], data=b"").out.strip() == b"0"


def test_stdin_is_left_for_who_comes_after(wrapper: Wrapper) -> None:
    words = ["sh", "-c", '"$@"; exec cat', "sh", *wrapper.argv(["sh", "-c", "read a; echo got $a"])]
    assert wrapper.bare(words, data=b"one\ntwo\nthree\n").out == b"got one\ntwo\nthree\n"


def test_a_reader_that_leaves_ends_the_child(wrapper: Wrapper) -> None:
    process = wrapper.start(["yes"], stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    assert process.stdout
    assert process.stderr
    assert os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert (exit_code(process), process.stderr.read()) == (141, b"")


def test_in_pipelines(wrapper: Wrapper) -> None:
    line = '"$@" printf "b\\na\\n" | "$@" sort | "$@" tr a-z A-Z; "$@" yes | head -1; echo ${PIPESTATUS[0]}'
    result = wrapper.bare([needs("bash"), "-c", line, "bash", *wrapper.argv([])[:-1], "--"])
    assert (result.out, result.err) == (b"A\nB\ny\n141\n", b"")


def test_a_reader_that_stalls_holds_the_child_back(wrapper: Wrapper) -> None:
    process = wrapper.start(python("import os\nwhile True: os.write(1, b'z' * 4096)"), stdin=DEVNULL, stdout=PIPE)
    assert process.stdout
    (child,) = until(  # a process that is just ending has no command line
        lambda: [
            pid for pid in below(process.pid) if "os.write" in (line := command_line(pid)) and "agentmon" not in line
        ]
    )

    def written() -> int:
        return int(_bytes(f"/proc/{child}/io").split()[3])

    def waits() -> bool:
        found = stat(child)
        return found is not None and found.state == "S"

    until(lambda: waits() and written() == written(), "the child to wait")
    before = written()
    assert before < 4 << 20
    for _ in range(8):
        assert os.read(process.stdout.fileno(), 65536)
    until(lambda: written() > before, "the child to go on")


# ------------------------------------------------------------------ what outlives the child


def test_a_grandchild_that_keeps_the_pipe_does_not_keep_us(wrapper: Wrapper, tmp_path: Path) -> None:
    """We end with the child; what the grandchild writes later still comes through, and then the pipe ends."""
    os.mkfifo(tmp_path / "go")
    process = wrapper.start(
        ["sh", "-c", "(cat go >/dev/null; echo late) & echo early; exit 3"], stdin=DEVNULL, stdout=PIPE, cwd=tmp_path
    )
    assert exit_code(process) == 3
    assert process.stdout
    (tmp_path / "go").write_text("now")
    assert process.stdout.read() == b"early\nlate\n"


def test_the_other_stream_ends_where_only_one_is_kept(wrapper: Wrapper) -> None:
    """`x=$(cmd)` does not wait for a process that has only our stderr."""
    process = wrapper.start(["sh", "-c", "echo out; sleep 600 >&2 & exit 4"], stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    assert process.stdout
    assert process.stdout.read() == b"out\n"
    assert exit_code(process) == 4


def test_the_child_closes_its_stdout_and_goes_on(wrapper: Wrapper) -> None:
    process = wrapper.start(
        ["sh", "-c", "echo a; exec >&-; read line; exit 11"], stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.read() == b"a\n"
    process.stdin.write(b"go on\n")
    process.stdin.close()
    assert exit_code(process) == 11


# ------------------------------------------------------------------ what the child inherits


def test_the_child_sees_its_own_descriptors_only(wrapper: Wrapper) -> None:
    code = (
        "import os; print([fd for fd in sorted(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd/' + fd)])"
    )
    assert wrapper.run(python(code), "-o", "/dev/null") == wrapper.bare(python(code))


def test_an_extra_descriptor_is_passed_on(wrapper: Wrapper) -> None:
    ours, its = os.pipe()
    assert wrapper.run([needs("bash"), "-c", f"echo through >&{its}"], pass_fds=(its,)).code == 0
    os.close(its)
    assert os.read(ours, 100) == b"through\n"
    assert os.read(ours, 100) == b""
    os.close(ours)


def test_flags_of_what_we_were_given_stay(wrapper: Wrapper) -> None:
    pipes = [os.pipe() for _ in range(3)]
    given = [pipes[0][0], pipes[1][1], pipes[2][1]]
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in given]
    process = wrapper.start(["cat"], stdin=given[0], stdout=given[1], stderr=given[2])
    os.write(pipes[0][1], b"x")
    read_until(pipes[1][0], b"x")
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in given] == before
    os.close(pipes[0][1])
    assert exit_code(process) == 0
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in given] == before
    for fd in (*given, pipes[1][0], pipes[2][0]):
        os.close(fd)


def test_stdout_is_a_socket(wrapper: Wrapper) -> None:
    ours, its = socket.socketpair()
    process = wrapper.start(["head", "-c", "300000", "/dev/zero"], stdin=DEVNULL, stdout=its)
    its.close()
    size = 0
    while data := ours.recv(65536):
        size += len(data)
    ours.close()
    assert (exit_code(process), size) == (0, 300_000)


def test_environment(wrapper: Wrapper) -> None:
    env = {
        **{os.fsencode(k): os.fsencode(v) for k, v in wrapper.env.items()},
        b"EMPTY": b"", b"BYTES": b"\xff\xfe\x80", b"LINES_": b"a\nb=c", b"\xc3(": b"1", b"LC_ALL": b"C",
        b"COLUMNS": b"1",
        b"_": b"/bin/x",
    }  # fmt: skip
    command = python("import os; print(sorted(p for p in os.environb.items() if not p[0].startswith(b'AGENTMON_')))")
    expected = wrapper.bare(command, env=env)
    assert wrapper.run(command, "--meter", "output", env=env) == expected
    assert b"BYTES" in expected.out


def test_all_that_is_added_to_the_environment_is_told(wrapper: Wrapper) -> None:
    command = python("import os, sys; print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\0')")
    bare, wrapped = (set(run(command).out.rstrip().split(b"\0")) for run in (wrapper.bare, wrapper.run))
    told = wrapper.run(command, "--dry-run").out.splitlines()
    names = {line.split()[1].split(b"=")[0] for line in told if line.startswith(b"environment")}
    assert {pair.split(b"=")[0] for pair in wrapped - bare} == names


def test_argv(wrapper: Wrapper) -> None:
    words = [
        b"",
        b" ",
        b"a b",
        b"\xff\xfe",
        b"\n",
        b"*",
        b"--",
        b"-o",
        b"-h",
        b"--version",
        b"'\"\\",
        b"x" * 100_000,
        "ż".encode(),
        b"-",
    ]
    command = [*python("import os, sys; print([os.fsencode(w) for w in sys.argv[1:]])"), *words]
    assert wrapper.run(command) == wrapper.bare(command)
    check_stream(wrapper.run_log())


def test_limits_umask_nice_and_affinity(wrapper: Wrapper) -> None:
    def prepare() -> None:
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    command = [
        "sh",
        "-c",
        "umask; nice; cat /proc/self/limits; grep -E '^(Uid|Gid|Umask|Cap|Cpus_allowed):' /proc/self/status",
    ]
    assert wrapper.run(command, preexec_fn=prepare) == wrapper.bare(command, preexec_fn=prepare)


def test_few_descriptors(wrapper: Wrapper) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))  # noqa: E731
    assert wrapper.run(["sh", "-c", "echo ok; exit 5"], preexec_fn=limit) == Result(5, b"ok\n", b"")


def test_working_directory(wrapper: Wrapper, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/odd \xff\n"
    os.mkdir(odd)
    assert wrapper.run(["pwd", "-P"], cwd=odd) == wrapper.bare(["pwd", "-P"], cwd=odd)
    check_stream(wrapper.run_log())


def test_working_directory_that_is_gone(wrapper: Wrapper, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = 'cd "$0" && rmdir "$0" && exec "$@"'
    result = wrapper.bare(["sh", "-c", line, tmp_path / "gone", *wrapper.argv(["sh", "-c", "echo here; exit 8"])])
    assert (result.code, result.out) == (8, b"here\n")
    assert only(check_stream(wrapper.run_log()), "lifecycle")[0].get("cwd") is None


def test_session_and_group_are_the_callers(wrapper: Wrapper) -> None:
    code = "import os; print(os.getsid(0), os.getpgrp())"
    result = wrapper.run(python(code), start_new_session=False)
    assert result.out.split() == [str(os.getsid(0)).encode(), str(os.getpgrp()).encode()]


# ------------------------------------------------------------------ switches


def test_disabled_is_a_plain_exec(wrapper: Wrapper) -> None:
    env = {**wrapper.env, "AGENTMON_DISABLE": "1"}
    process = wrapper.start(["sh", "-c", "echo $$ $PPID; exit 9"], stdin=DEVNULL, stdout=PIPE, env=env)
    assert process.stdout
    assert process.stdout.read().split() == [b"%d" % process.pid, b"%d" % os.getpid()]
    assert exit_code(process) == 9
    assert not wrapper.run_logs()
    assert wrapper.run(["no-such-command-xyz"], env=env).code == 127


def test_a_run_in_a_run_names_its_parent(wrapper: Wrapper) -> None:
    inner = wrapper.argv(["sh", "-c", "echo in; echo err >&2; exit 21"], "--run-id", "b-inner")
    assert wrapper.run(inner, "--run-id", "a-outer") == Result(21, b"in\n", b"err\n")
    outer, nested = (only(check_stream(path.read_bytes()), "lifecycle")[0] for path in wrapper.run_logs())
    assert (outer.get("parent_run_id"), nested["parent_run_id"]) == (None, "a-outer")


def test_unbuffered(wrapper: Wrapper) -> None:
    command = ["sh", "-c", "echo $PYTHONUNBUFFERED"]
    assert wrapper.run(command, "--unbuffered").out == b"1\n"
    assert wrapper.run(command).out == b"\n"


def test_pid_1(wrapper: Wrapper) -> None:
    """As a container's entry point: what is orphaned is reaped, signals end it, the telemetry is whole."""
    space = [needs("unshare"), "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*space, "true"], capture_output=True).returncode:
        pytest.skip("no rights to make a pid namespace")
    orphan = "orphan=$(sleep 0.01 >/dev/null & echo $!); while kill -0 $orphan 2>/dev/null; do sleep 0.01; done"
    command = ["sh", "-c", f"{orphan}; ps -eo stat= | grep -c Z; echo $PPID; exit 12"]
    result = wrapper.bare([*space, *wrapper.argv(command)])
    assert (result.code, result.out) == (12, b"0\n1\n")
    assert result.late or check_stream(wrapper.run_log())  # nothing outlives process 1


def test_what_comes_from_the_interpreter_does_not_reach_the_child(wrapper: Wrapper) -> None:
    """A locale that Python replaces for itself (PEP 538) is the child's as it was."""
    env = {k: v for k, v in wrapper.env.items() if not k.startswith("LC_") and k != "LANG"}
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import os; print(os.open('/proc/self/environ', 0) and open('/proc/self/environ').read())",
    ]
    bare = wrapper.bare(command, env=env).out.split(b"\0")
    wrapped = wrapper.run(command, "--meter", "output", env=env).out.split(b"\0")
    assert [w for w in wrapped if not w.startswith(b"AGENTMON_")] == bare
