"""File descriptors that belong to others: written to without waiting, and without touching their flags.

O_NONBLOCK is a flag of the open file description, which the caller and other processes share: setting it there would
break them. So a pipe or a terminal is opened anew through /proc/self/fd (Linux gives a description of our own on the
same pipe), a socket takes MSG_DONTWAIT, and where neither works poll(2) says when a small write cannot wait.
"""

import os
import select
import stat
import sys
from collections.abc import Callable, Sequence

PIPE_BUF = 4096  # poll(2) says writable when this much fits (Linux: one page)
TTY_BUF = 256  # n_tty's WAKEUP_CHARS


class Writer:
    """Writes to `fd` without ever waiting; `poll_fd` is what to wait on for POLLOUT."""

    def __init__(self, fd: int) -> None:
        self.fd = self.poll_fd = fd
        mode = os.fstat(fd).st_mode
        self.is_pipe = stat.S_ISFIFO(mode)
        self.is_anonymous_pipe = self.is_pipe and _link(fd).startswith("pipe:")
        self.waits = self.is_pipe or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(fd))
        self._own: int | None = None
        self.write: Callable[[bytes | memoryview], int] = self._plain
        if stat.S_ISSOCK(mode):
            import socket

            self._socket = socket.socket(fileno=os.dup(fd))
            self.write = self._send
        elif self.waits:
            try:
                if not sys.platform.startswith("linux"):
                    raise OSError
                self._own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
                self.poll_fd = self._own
                self.write = self._nonblocking
            except OSError:
                self._ready = select.poll()
                self._ready.register(fd, select.POLLOUT)
                self.write = self._small

    def _plain(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def _nonblocking(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self.poll_fd, data)
        except BlockingIOError:
            return 0

    def _send(self, data: bytes | memoryview) -> int:
        import socket

        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _small(self, data: bytes | memoryview) -> int:
        events = self._ready.poll(0)
        if not events or not events[0][1] & (select.POLLOUT | select.POLLERR | select.POLLHUP):
            return 0
        return self._plain(data[: PIPE_BUF if self.is_pipe else TTY_BUF])

    def descriptors(self) -> set[int]:
        """All that it writes through."""
        return {self.fd, self.poll_fd} | ({self._socket.fileno()} if self.write == self._send else set())

    def close(self) -> None:
        """Close what is our own; the descriptor itself stays open."""
        if self._own is not None:
            os.close(self._own)
            self._own = None
        if self.write == self._send:
            self._socket.close()


def same_file(a: int, b: int) -> bool:
    """Whether two descriptors are one pipe, one terminal, or one open file (`2>&1`)."""
    one, two = os.fstat(a), os.fstat(b)
    if (one.st_dev, one.st_ino, one.st_rdev) != (two.st_dev, two.st_ino, two.st_rdev):
        return False
    if not stat.S_ISREG(one.st_mode):
        return True
    # `>log 2>log` opens a file twice: two offsets, which overwrite each other
    described = _kcmp(a, b)
    return os.lseek(a, 0, os.SEEK_CUR) == os.lseek(b, 0, os.SEEK_CUR) if described is None else described


def closed_standard(ways: Sequence[int] = (os.O_RDWR, os.O_RDWR, os.O_RDWR)) -> frozenset[int]:
    """Which of 0, 1 and 2 are closed. They are then held by /dev/null, opened in these ways, so that no file of ours
    gets their number."""
    closed = set()
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            got = os.open(os.devnull, ways[fd])
            if got != fd:
                os.dup2(got, fd)
                os.close(got)
    return frozenset(closed)


def let_go(fd: int) -> None:
    """Close a standard descriptor. /dev/null holds its number, so that no file of ours gets it."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)


def close_others(keep: set[int]) -> None:
    """Close every descriptor that is not in `keep`."""
    last = -1
    for fd in sorted(keep):
        if fd > last + 1:  # an empty range would reach the end of the table
            os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else 2**31 - 1)


def _link(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _kcmp(a: int, b: int) -> bool | None:
    """Whether both are one open file description; None where the kernel does not tell (kcmp(2), KCMP_FILE)."""
    number = {"x86_64": 312, "aarch64": 272, "riscv64": 272}.get(os.uname().machine)
    if number is None or not sys.platform.startswith("linux"):
        return None
    syscall = libc("syscall")
    answer = syscall(number, os.getpid(), os.getpid(), 0, a, b)
    return None if answer < 0 else bool(answer == 0)


def libc(name: str) -> Callable[..., int]:
    """A function of the C library that takes numbers and gives an int. Raises ImportError, OSError, AttributeError.

    Not by way of ctypes where that can be: the package takes 7 ms to load, a sixth of our start, its core none.
    """
    try:
        from _ctypes import call_function, dlopen, dlsym

        address = dlsym(dlopen(None, 0), name)  # type: ignore[arg-type]
    except ImportError:
        from ctypes import CDLL

        return getattr(CDLL(None), name)  # type: ignore[no-any-return]
    return lambda *arguments: call_function(address, arguments)
