"""In a terminal: what the child sees of it, keys, job control, and the modes afterwards."""

import itertools
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
from stream import check_stream, messages, only
from terminal import Terminal
from wrapper import Wrapper, alive, below, command_line, exit_code, needs, python, stopped, until

Open = Callable[..., Terminal]
READY = "import os, sys, signal, termios, tty, time\n"


@pytest.fixture
def terminal(wrapper: Wrapper) -> Iterator[Open]:
    """Open a terminal that runs a command, wrapped if not told otherwise."""
    opened: list[Terminal] = []

    def start(command: list[Any], *options: str, bare: bool = False, **more: Any) -> Terminal:
        argv = command if bare else wrapper.argv(command, *options)
        opened.append(Terminal(argv, {**wrapper.env, **more.pop("env", {})}, **more))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize("which", list(itertools.product((0, 1), repeat=3)))
def test_isatty_in_all_eight_mixes(wrapper: Wrapper, tmp_path: Path, which: tuple[int, ...]) -> None:
    near, far = os.openpty()
    streams = {
        name: far if tty else plain
        for name, tty, plain in zip(("stdin", "stdout", "stderr"), which, (DEVNULL, PIPE, PIPE), strict=True)
    }
    code = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(repr(tuple(int(os.isatty(fd)) for fd in range(3))))"
    process = wrapper.start(python(code), **streams)
    os.close(far)
    assert exit_code(process) == 0
    os.close(near)
    assert (tmp_path / "seen").read_text() == repr(which)


@pytest.mark.parametrize(("mode", "expected"), [("always", "(1, 1, 1)"), ("never", "(0, 0, 0)")])
def test_pty_overrides(wrapper: Wrapper, mode: str, expected: str) -> None:
    result = wrapper.run(python("import os; print(tuple(int(os.isatty(fd)) for fd in range(3)))"), "--pty", mode)
    assert (result.code, result.out.strip().decode()) == (0, expected)


@pytest.mark.parametrize("data", [b"", b"a\nb\n", b"a\nno newline"])
def test_the_end_of_piped_input_reaches_a_terminal(wrapper: Wrapper, data: bytes) -> None:
    result = wrapper.run(["sh", "-c", "stty -echo; wc -c; exit 4"], "--pty", "always", data=data)
    assert result.code == 4
    assert result.out.endswith(b"%d\r\n" % len(data))  # before it, what the terminal echoed


def test_modes_size_and_foreground_as_bare(terminal: Open) -> None:
    code = (
        READY + "fd = os.open('/dev/tty', os.O_RDWR)\n"
        "print(termios.tcgetattr(0), os.get_terminal_size(1), os.tcgetpgrp(fd) == os.getpgrp())\n"
        "print('END')"
    )
    screens = [terminal(python(code), bare=bare, size=(33, 117)).expect(b"END\r\n") for bare in (True, False)]
    assert screens[0] == screens[1]
    assert b"columns=117, lines=33) True" in screens[1]


def test_output_is_exact(terminal: Open, wrapper: Wrapper) -> None:
    screen = terminal(
        python(
            READY + "for i in range(2000): print('line', i, 'ż\\t')\n"
            "tty.setraw(1); os.write(1, bytes(range(256)) * 50 + b'<END>')"
        )
    )
    lines = b"".join(f"line {i} ż\t\r\n".encode() for i in range(2000))
    assert screen.expect(b"<END>") == lines + bytes(range(256)) * 50 + b"<END>"
    assert screen.wait() == 0
    assert screen.modes() == screen.modes_before
    events = check_stream(wrapper.run_log())
    assert messages(events)[:2000] == [f"line {i} ż\t" for i in range(2000)]
    assert {entry["stream"] for entry in only(events, "log_entry")} == {"tty"}


def test_window_size(terminal: Open) -> None:
    code = (
        READY + "signal.signal(2, signal.SIG_DFL); signal.pthread_sigmask(signal.SIG_BLOCK, [28])\n"
        "print('ready', flush=True)\n"
        "while signal.sigwait([28]): print(*os.get_terminal_size(0), flush=True)"
    )
    screen = terminal(python(code))
    screen.expect(b"ready")
    for rows, columns in ((50, 132), (10, 40)):
        screen.resize(rows, columns)
        screen.expect(b"%d %d\r\n" % (columns, rows))
    screen.send(b"\x03")
    assert screen.wait() == 130


@pytest.mark.parametrize(("key", "number"), [(b"\x03", 2), (b"\x1c", 3)])
def test_keys_that_signal_do_so_once(terminal: Open, key: bytes, number: int) -> None:
    code = (
        READY + "signal.pthread_sigmask(signal.SIG_BLOCK, [2, 3])\n"
        "print('ready', flush=True)\n"
        "print('got', signal.sigwait([2, 3]))\n"
        "print(signal.sigtimedwait([2, 3], 0.2), 'END')"
    )
    screen = terminal(python(code))
    screen.expect(b"ready")
    screen.send(key)
    assert b"got %d\r\n" % number in screen.expect(b"None END")
    assert screen.wait() == 0


def test_ctrl_c_ends_the_child_and_the_script_around_us(terminal: Open, wrapper: Wrapper) -> None:
    screen = terminal(["sh", "-c", "echo ready; exec sleep 600"])
    screen.expect(b"ready")
    screen.send(b"\x03")
    assert screen.wait() == 130
    assert screen.modes() == screen.modes_before
    check_stream(wrapper.run_log())


def test_raw_keys_and_type_ahead(terminal: Open) -> None:
    screen = terminal(
        python(
            READY + "tty.setraw(0); os.write(1, b'ready')\n"
            "for i in range(6): os.write(1, b' %02x' % os.read(0, 1)[0])\n"
            "os.write(1, b'END')"
        )
    )
    screen.expect(b"ready")
    screen.send(b"\x03\x1a\x04\r\xff\x00")
    assert screen.expect(b"END") == b" 03 1a 04 0d ff 00END"
    assert screen.wait() == 0


def test_end_of_file_key(terminal: Open) -> None:
    screen = terminal(["sh", "-c", "stty -echo; echo ready; cat; echo end"])
    screen.expect(b"ready\r\n")
    screen.send(b"hello\n\x04")
    assert screen.expect(b"end") == b"hello\r\nend"
    assert screen.wait() == 0


def test_password_prompt(terminal: Open, wrapper: Wrapper) -> None:
    screen = terminal([sys.executable, "-I", "-c", "import getpass; print('len', len(getpass.getpass('Password: ')))"])
    screen.expect(b"Password: ")
    screen.send(b"s3cret-w0rd\n")
    assert b"s3cret" not in screen.expect(b"len 11")
    assert screen.wait() == 0
    assert b"s3cret" not in wrapper.run_log()


ENDS = {
    "exits": ("exit 3", None, 3),
    "crashes": ("kill -SEGV $$", None, 139),
    "is killed": ("kill -KILL $$", None, 137),
    "we get SIGTERM": ("exec sleep 600", signal.SIGTERM, 143),
    "we get SIGHUP": ("exec sleep 600", signal.SIGHUP, 129),
    "we are killed": ("exec sleep 600", signal.SIGKILL, 137),
}


@pytest.mark.parametrize("how", ENDS)
def test_modes_are_restored_when(terminal: Open, wrapper: Wrapper, how: str) -> None:
    command, number, code = ENDS[how]
    screen = terminal(["sh", "-c", f"ulimit -c 0; echo ready $$; {command}"])
    child = int(screen.expect(rb"ready \d+\r\n").split()[1])
    if number is not None:
        os.kill(screen.pid, number)
    assert screen.wait() == code
    until(lambda: screen.modes() == screen.modes_before, "the modes as they were")
    until(lambda: not alive(child))
    check_stream(wrapper.run_log())


def test_hang_up_reaches_the_child(terminal: Open) -> None:
    screen = terminal(["sh", "-c", "echo ready $$; exec sleep 600"])
    child = int(screen.expect(rb"ready \d+\r\n").split()[1])
    screen.hang_up()
    until(lambda: not alive(child) and os.waitpid(screen.pid, os.WNOHANG)[0])


# ------------------------------------------------------------------ job control

PROMPT = rb"P> $"


@pytest.fixture
def shell(terminal: Open) -> Terminal:
    """A bare interactive shell that does not echo; what it starts is up to the test."""
    screen = terminal([needs("bash"), "--norc", "--noprofile", "-i"], bare=True, env={"PS1": "P> "})
    screen.expect(PROMPT)
    screen.send(b"stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null\n")
    screen.expect(PROMPT)
    return screen


def _wrapped(wrapper: Wrapper, command: str | list[str], after: str = "") -> bytes:
    words = ["sh", "-c", command] if isinstance(command, str) else command
    return shlex.join(wrapper.argv(words)).encode() + after.encode() + b"\n"


def test_stop_and_go_on_in_the_background(shell: Terminal, wrapper: Wrapper, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    shell.send(_wrapped(wrapper, f"echo on; read x < {tmp_path}/go; echo over; exit 9"))
    shell.expect(b"on\r\n")
    jobs = [pid for pid in below(shell.pid) if alive(pid)]
    (command,) = [pid for pid in jobs if command_line(pid).startswith("sh -c echo on;")]
    shell.send(b"\x1a")
    shell.expect(b"Stopped")
    shell.expect(PROMPT)
    until(lambda: all(map(stopped, [command, jobs[0]])), "the job to be stopped")
    shell.send(b"bg\n")
    shell.expect(PROMPT)
    until(lambda: not any(map(stopped, jobs)))
    (tmp_path / "go").write_text("x\n")
    shell.expect(b"over\r\n")
    shell.send(b"wait %1; echo rc=$?\n")
    shell.expect(b"rc=9")


def test_stop_bring_back_and_interrupt(shell: Terminal, wrapper: Wrapper) -> None:
    code = (
        "signal.signal(2, signal.SIG_DFL); signal.pthread_sigmask(signal.SIG_BLOCK, [18])\n"
        "print('on', flush=True)\n"
        "while signal.sigwait([18]): print('again', flush=True)"
    )
    shell.send(_wrapped(wrapper, python(READY + code)))
    shell.expect(b"on\r\n")
    for _ in range(2):
        shell.send(b"\x1a")
        shell.expect(b"Stopped")
        shell.expect(PROMPT)
        shell.send(b"fg\n")
        shell.expect(b"again\r\n")
    shell.send(b"\x03")
    shell.expect(PROMPT)
    shell.send(b"echo rc=$?\n")
    shell.expect(b"rc=130")


def test_a_background_job_writes_to_the_terminal(shell: Terminal, wrapper: Wrapper) -> None:
    shell.send(_wrapped(wrapper, "echo from the back", " & wait; echo rc=$?"))
    shell.expect(b"from the back\r\n")
    shell.expect(b"rc=0")


def test_what_is_typed_ahead_is_for_the_shell(terminal: Open, shell: Terminal, wrapper: Wrapper) -> None:
    push = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')"
    if terminal(python(push), bare=True).wait():
        pytest.skip("the kernel lets nobody give a terminal back what was read of it (dev.tty.legacy_tiocsti)")
    shell.send(_wrapped(wrapper, "echo on; exec sleep 600"))
    shell.expect(b"on\r\n")
    shell.send(b"\x03echo ahead=$?\n")
    shell.expect(b"ahead=130")


def test_a_shell_under_us_has_job_control(terminal: Open) -> None:
    screen = terminal([needs("bash"), "--norc", "--noprofile", "-i"], env={"PS1": "P> "})
    assert not re.search(b"no job control|cannot set terminal", screen.expect(PROMPT))
    screen.send(b"sh -c 'echo o''n; exec sleep 600'\n")
    screen.expect(b"on\r\n")
    screen.send(b"\x1a")
    screen.expect(b"Stopped")
    screen.expect(PROMPT)
    screen.send(b"kill -9 %1\n")
    screen.expect(PROMPT)
    screen.send(b"fg\n")  # it has ended, or bash gets to know now
    screen.expect(PROMPT)
    screen.send(b"exit 4\n")
    assert screen.wait() == 4
