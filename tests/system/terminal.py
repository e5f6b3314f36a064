"""A terminal for a test: a command on a fresh pseudo-terminal that controls it, and the keys and the screen of it."""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import termios
from collections.abc import Mapping
from typing import Any

from wrapper import collected, read_until, until


class Terminal:
    """Our end. The far end stays open here too, so that its modes can be looked at when all is over."""

    def __init__(self, argv: list[Any], env: Mapping[str, str], size: tuple[int, int] = (24, 80)) -> None:
        self.argv = argv
        self.fd, self.far = os.openpty()
        self.resize(*size)
        self.modes_before = self.modes()
        self.seen = b""
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(self.far, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(self.far, fd)
                os.closerange(3, 512)
                for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(argv[0], argv, {**env, "TERM": "xterm"})
            finally:
                os._exit(127)

    def expect(self, what: bytes) -> bytes:
        """Read until `what` (a regular expression) shows, and consume it."""
        if not re.search(what, self.seen):
            self.seen += read_until(self.fd, what) if not self.seen else self._more(what)
        match = re.search(what, self.seen)
        assert match
        got, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return got

    def send(self, keys: bytes) -> None:
        """Type."""
        os.write(self.fd, keys)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """What tcgetattr(3) says."""
        return termios.tcgetattr(self.far)

    def wait(self) -> int:
        """The exit code, as a shell tells it. By then all that it wrote is in `seen`, and its collector has ended."""
        os.set_blocking(self.fd, False)
        until(self._ended, f"the end; screen: {self.seen[-300:]!r}")
        self._read_the_rest()
        collected(self.argv)
        assert self.code is not None
        return self.code

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.far)
        os.close(self.fd)
        self.far = self.fd = -1

    def close(self) -> None:
        """Give the descriptors back."""
        if self.fd >= 0:
            self.hang_up()

    def _more(self, what: bytes) -> bytes:
        end = self.seen
        got = b""
        while not re.search(what, end + got):
            got += read_until(self.fd, b".|\n")
        return got

    def _read_the_rest(self) -> None:
        """What is written comes here by way of a worker of the kernel: behind a mark of ours there is nothing more."""
        mark = b"\0\0the end\0\0"
        while not select.select([], [self.far], [], 0)[1]:  # full
            self._read()
        os.write(self.far, mark)
        until(lambda: self._read() or mark in self.seen, "the rest")
        self.seen = self.seen.replace(mark, b"")

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self.seen += os.read(self.fd, 65536)

    def _ended(self) -> bool:
        self._read()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            self.code = 128 - code if code < 0 else code
        return bool(pid)
