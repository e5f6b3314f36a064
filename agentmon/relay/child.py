"""Child: how its descriptors are wired, and how it becomes the command."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

from agentmon.descriptors import Writer, libc, same_file
from agentmon.errors import NOT_EXECUTABLE_EXIT, NOT_FOUND_EXIT
from agentmon.relay.signals import Inherited
from agentmon.relay.terminal import open_pty

PtyMode = Literal["auto", "always", "never"]
_PR_SET_PDEATHSIG = 1


class Tap:
    """One stream of the child: what we read, and where it goes on to. pending: read, but not yet written."""

    def __init__(self, stream: str, read_fd: int, writer: Writer, is_pty: bool) -> None:
        self.stream, self.read_fd, self.writer, self.is_pty = stream, read_fd, writer, is_pty
        self.pending = memoryview(b"")
        self.open = True
        self.left = 1  # once the child has ended: how many bytes of its own are still to come


class Wiring:
    """What the child gets for 0, 1 and 2, and what we read of it.

    fds: number of the child -> descriptor to duplicate (absent: inherited as is). session: the child gets a terminal
    session of its own, led by the monitor. input_fd: where bytes for its terminal come from.
    """

    def __init__(self, fds: dict[int, int], taps: list[Tap], closed: frozenset[int], session: bool = False) -> None:
        self.fds, self.taps, self.closed, self.session = fds, taps, closed, session
        self.master: int | None = None
        self.slave: int | None = None
        self.input_fd: int | None = None


def wire(pty: PtyMode, stdout_fd: int, closed: frozenset[int]) -> Wiring:
    """Decide how the child is connected. stdout_fd is where its stdout goes on to (2 under `-o -`).

    stdin and stdout both terminals: a session with a pseudo-terminal. Otherwise stdin is inherited, and an output that
    is a terminal gets a pseudo-terminal of its own, which controls nothing. Raises OSError.
    """
    out_closed, err_closed = stdout_fd in closed, 2 in closed
    out_tty = not out_closed and os.isatty(stdout_fd)
    err_tty = not err_closed and os.isatty(2)
    merged = not out_closed and not err_closed and (stdout_fd == 2 or same_file(stdout_fd, 2))
    wiring = Wiring({}, [], closed | ({1} if out_closed else frozenset()))
    # under `-o -` another program has our stdout, and may write to the same terminal: that must not become raw
    whole = stdout_fd == 1 and out_tty and 0 not in closed and os.isatty(0)
    if not out_closed and (pty == "always" or (pty == "auto" and whole)):
        like = next((fd for fd in (0, stdout_fd, 2) if fd not in closed and os.isatty(fd)), None)
        master, slave = open_pty(like, process_output=True)
        wiring.session, wiring.master, wiring.slave, wiring.input_fd = True, master, slave, 0
        wiring.fds = {0: slave, 1: slave}
        wiring.taps.append(Tap("tty", master, Writer(stdout_fd), True))
        if not err_closed:
            if merged or pty == "always":
                wiring.fds[2] = slave
            else:
                _tap(wiring, "stderr", (2,), 2, err_tty)
        return wiring
    ptys = pty != "never"
    if merged:
        _tap(wiring, "tty" if out_tty and ptys else "merged", (1, 2), stdout_fd, out_tty and ptys)
        return wiring
    if not out_closed:
        _tap(wiring, "stdout", (1,), stdout_fd, out_tty and ptys)
    if not err_closed:
        _tap(wiring, "stderr", (2,), 2, err_tty and ptys)
    return wiring


def _tap(wiring: Wiring, stream: str, numbers: tuple[int, ...], target: int, pty: bool) -> None:
    if pty:
        read_fd, write_fd = open_pty(target, process_output=False)
    else:
        read_fd, write_fd = os.pipe()
        os.set_blocking(read_fd, False)
    wiring.fds.update(dict.fromkeys(numbers, write_fd))
    wiring.taps.append(Tap(stream, read_fd, Writer(target), pty))


class Command(NamedTuple):
    """What to execute, byte for byte."""

    argv: tuple[bytes, ...]
    environment: Mapping[bytes, bytes]

    def execute(self) -> NoReturn:
        """Become the command, as a shell's `exec` would. Raises OSError."""
        program = self.argv[0]
        try:
            os.execvpe(program, self.argv, self.environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # a script without `#!`: POSIX has execvp(3) hand it to the shell
            os.execve(b"/bin/sh", (b"/bin/sh", _found(program, self.environment), *self.argv[1:]), self.environment)
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


def _found(program: bytes, environment: Mapping[bytes, bytes]) -> bytes:
    if b"/" in program:
        return program
    for folder in (environment.get(b"PATH") or os.defpath.encode()).split(b":"):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK):
            return path
    return program


def own_environment() -> dict[bytes, bytes]:
    """The environment that we were started with, without what Python's start adds to it (LC_CTYPE, PEP 538)."""
    environment = dict(os.environb)
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as file:
        start = file.read()
        if b"LC_CTYPE" in environment and b"\0LC_CTYPE=" not in b"\0" + start:
            del environment[b"LC_CTYPE"]
    return environment


class DeathSignal:
    """Ask the kernel to send SIGTERM to this process when its parent dies (Linux prctl(2), PR_SET_PDEATHSIG).

    Made in the parent, because the look-up takes time that a child between fork and exec should not spend.
    """

    def __init__(self) -> None:
        self._parent = os.getpid()
        self._prctl: Callable[..., int] | None = None
        if sys.platform.startswith("linux"):
            with contextlib.suppress(ImportError, OSError, AttributeError):
                self._prctl = libc("prctl")

    def arm(self, parent: int | None = None) -> None:
        """In the child of `parent` (the process that made this, if not given)."""
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() not in (
                parent or self._parent,
                0,
            ):  # it died before the call; 0: a parent in another namespace
                os.kill(os.getpid(), signal.SIGTERM)


def become(
    command: Command, wiring: Wiring, inherited: Inherited, error_fd: int, death: DeathSignal, parent: int | None = None
) -> NoReturn:
    """In the forked child: descriptors, signals, exec. What fails is told as an errno through `error_fd`."""
    try:
        death.arm(parent)
        for number, fd in wiring.fds.items():
            os.dup2(fd, number)
        for number in wiring.closed:
            os.close(number)
        inherited.restore()
        command.execute()
    except OSError as error:
        os.write(error_fd, str(error.errno or errno.ENOENT).encode())
    except BaseException:
        os.write(error_fd, str(errno.EINVAL).encode())
    os._exit(NOT_FOUND_EXIT)


def failure(program: bytes, number: int) -> tuple[str, int]:
    """The line and the exit status for a command that could not be executed, as shells have them."""
    name = os.fsdecode(program)
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG) or not program:
        return (
            f"{name or repr(name)}: {'command not found' if '/' not in name else os.strerror(number)}",
            NOT_FOUND_EXIT,
        )
    return f"{name}: {os.strerror(number)}", NOT_EXECUTABLE_EXIT


def spawn(command: Command, wiring: Wiring, inherited: Inherited, death: DeathSignal) -> tuple[int, int]:
    """Fork the child in our own session and process group; its pid, and where exec's failure can be read."""
    error_read, error_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(command, wiring, inherited, error_write, death)
    os.close(error_write)
    return pid, error_read


def close_childs_ends(wiring: Wiring) -> None:
    """In the relay, once the child is forked."""
    for fd in set(wiring.fds.values()) | ({wiring.slave} if wiring.slave is not None else set()):
        os.close(fd)


def argv_of(words: Sequence[str]) -> tuple[bytes, ...]:
    """Command-line words as the bytes that they were."""
    return tuple(os.fsencode(word) for word in words)
