"""Descriptors that were handed to us (`-`, fd:N), devices, and named pipes whose readers come and go."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
import termios
from typing import TYPE_CHECKING

from agentmon.descriptors import Writer
from agentmon.errors import AgentmonError
from agentmon.sinks import Sink, SinkBroken
from agentmon.sinks.backlog import Backlog, GapLine

if TYPE_CHECKING:
    from agentmon.piece import Piece

_REOPEN_S = 0.05
_RECENT = 128 << 10


class FdSink:
    """An open descriptor: `-`, `fd:N`, or a device such as /dev/null."""

    must = True

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self._writer: Writer | None = None
        self._backlog: Backlog
        self._rest = memoryview(b"")

    def attach(self, gap_line: GapLine) -> None:
        self._backlog = Backlog(self.name, gap_line)
        self._writer = Writer(self._fd)

    def descriptors(self) -> set[int]:
        return {self._fd}

    def offer(self, piece: Piece) -> None:
        self._backlog.add(piece)

    def pump(self, now: float) -> bool:
        moved = False
        while self._rest or self._backlog:
            if not self._rest:
                self._backlog.close_hole()
                self._rest = memoryview(self._backlog.take())
            assert self._writer is not None
            try:
                done = self._writer.write(self._rest)
            except OSError as error:
                raise SinkBroken(f"{self.name}: {error.strerror}") from None
            if not done:
                break
            self._rest = self._rest[done:]
            moved = True
        return moved

    def interests(self) -> dict[int, int]:
        writer = self._writer
        return {writer.poll_fd: select.POLLOUT} if writer is not None and self._rest and writer.waits else {}

    @property
    def idle(self) -> bool:
        return not self._rest and not self._backlog

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._fd > 2:
            os.close(self._fd)


class FifoSink:
    """A named pipe. Nobody need read it yet; the next reader begins with a whole line, and what one left unread is
    written again for the next."""

    must = False

    def __init__(self, path: str) -> None:
        self.name = path
        self._path = os.path.abspath(path)  # the collector leaves the caller's directory
        self._fd: int | None = None
        self._backlog: Backlog
        self._rest = b""
        self._recent = bytearray()
        self._open_at = 0.0

    def attach(self, gap_line: GapLine) -> None:
        self._backlog = Backlog(self.name, gap_line)

    def descriptors(self) -> set[int]:
        return set()

    def offer(self, piece: Piece) -> None:
        self._backlog.add(piece, "nobody reads the pipe, or too slowly")

    def pump(self, now: float) -> bool:
        if self._fd is not None and self.idle and _hung_up(self._fd):
            self._reader_left()  # poll(2) would tell it again and again
        if self._fd is None and not self._open(now):
            return False
        moved = False
        while self._rest or self._backlog:
            if not self._rest:
                self._backlog.close_hole()
                self._rest = self._backlog.take(64 << 10)
            assert self._fd is not None
            try:
                done = os.write(self._fd, self._rest)
            except BlockingIOError:
                break
            except OSError:
                self._reader_left()
                break
            self._remember(self._rest[:done])
            self._rest = self._rest[done:]
            moved = True
        return moved

    def interests(self) -> dict[int, int]:
        if self._fd is None:
            return {}
        return {self._fd: select.POLLOUT if self._rest or self._backlog else 0}

    @property
    def idle(self) -> bool:
        return not self._rest and not self._backlog

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _open(self, now: float) -> bool:
        if now < self._open_at:
            return False
        self._open_at = now + _REOPEN_S
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody has it open for reading
                return False
            raise SinkBroken(f"{self.name}: {error.strerror}") from None
        return True

    def _remember(self, data: bytes) -> None:
        self._recent += data
        if len(self._recent) > 2 * _RECENT:
            cut = self._recent.find(b"\n", len(self._recent) - _RECENT) + 1
            del self._recent[: cut or len(self._recent) - _RECENT]

    def _reader_left(self) -> None:
        assert self._fd is not None
        unread = int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)
        os.close(self._fd)
        self._fd = None
        start = max(0, len(self._recent) - unread)
        start = self._recent.rfind(b"\n", 0, start) + 1
        self._rest = bytes(self._recent[start:]) + self._rest
        self._recent.clear()


def _hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def open_fd(number: int) -> Sink:
    """The sink of `fd:N`. Raises AgentmonError where it is not open for writing."""
    try:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, OverflowError):
        raise AgentmonError(f"fd:{number}: not open; pass it on, as in `{number}>file`") from None
    if mode == os.O_RDONLY:
        raise AgentmonError(f"fd:{number}: open for reading only")
    name = f"fd:{number}" if number != 1 else "-"
    if stat.S_ISREG(os.fstat(number).st_mode):
        from agentmon.sinks.file import HandedFile

        return HandedFile(number, name)
    return FdSink(number, name)
