"""Files: appended in whole lines, also by several writers, also while logrotate moves them; and the run log."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from agentmon.errors import AgentmonError
from agentmon.sinks import SinkBroken
from agentmon.sinks.backlog import Backlog, GapLine

if TYPE_CHECKING:
    from agentmon.piece import Piece

LOG_LIMIT = 1 << 30
FREE_FLOOR = 256 << 20
_CHECK_S = 0.25
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FREE_EVERY = 16 << 20
_GIVEN_UP_S = 60.0  # a run that has ended waits no longer for room on a disk


class FileSink:
    """Appends to a regular file. A full disk is waited out: the lines stay in the backlog, then become a gap."""

    must = True

    def __init__(self, path: str, fd: int | None = None) -> None:
        self.name = path
        self._fd = _open(path) if fd is None else fd
        self._path = os.path.abspath(path) if fd is None else None  # the collector leaves the caller's directory
        self._locks = fd is None
        self._backlog: Backlog
        self._checked = 0.0
        self._retry_at = 0.0
        self._stuck_since: float | None = None

    def attach(self, gap_line: GapLine) -> None:
        self._backlog = Backlog(self.name, gap_line)

    def descriptors(self) -> set[int]:
        return {self._fd}

    def offer(self, piece: Piece) -> None:
        self._backlog.add(piece, "the file could not be written")

    def pump(self, now: float) -> bool:
        if not self._backlog or now < self._retry_at:
            return False
        if now - self._checked >= _CHECK_S:
            self._checked = now
            self._reopen_if_moved()
        moved = False
        while self._backlog:
            self._backlog.close_hole()
            if not self._append(now):
                break
            moved = True
        if moved:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        self.must = self._stuck_since is None or now - self._stuck_since < _GIVEN_UP_S
        return moved

    def interests(self) -> dict[int, int]:
        return {}

    @property
    def idle(self) -> bool:
        return not self._backlog

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, now: float) -> bool:
        """One batch: whole, or not at all."""
        if self._locks and not self._lock():
            self._retry_at = now + 0.005
            return False
        parts = self._backlog.take_parts()
        done = 0
        try:
            done = os.writev(self._fd, parts)
            if done < sum(map(len, parts)):
                data = b"".join(parts)
                while done < len(data):
                    done += os.write(self._fd, memoryview(data)[done:])
        except OSError as error:
            if done:  # nobody is to read half a line
                self._take_back(done)
            self._backlog.put_back(*parts)
            if error.errno not in _FULL:
                raise SinkBroken(f"{self.name}: {error.strerror}") from None
            self._retry_at = now + 0.1
            return False
        finally:
            if self._locks:
                self._unlock()
        return True

    def _take_back(self, done: int) -> None:
        """Cut the last `done` bytes off, which we have just written."""
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        os.ftruncate(self._fd, end - done)
        os.lseek(self._fd, end - done, os.SEEK_SET)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            self._locks = False
        return True

    def _unlock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _reopen_if_moved(self) -> None:
        """logrotate renames or removes the file: go on in a new one of the same name, unless we were given it open."""
        if self._path is None:
            return
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        try:
            fd = _open(self._path)
        except AgentmonError:
            return
        os.close(self._fd)
        self._fd = fd


class HandedFile(FileSink):
    """A regular file that we were given open (`-`, fd:N). Whose it is and how it is called is not known: it is neither
    locked nor opened anew."""

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(name, fd)

    def close(self) -> None:
        if self._fd > 2:
            super().close()


class RunLog(FileSink):
    """The log that every run has. Its lock says that the run goes on.

    Past its limit, or where the disk has less free than its floor, log entries stop and the rest goes on.
    """

    def __init__(self, path: str, fd: int, limit: int = LOG_LIMIT, floor: int = FREE_FLOOR) -> None:
        super().__init__(path, fd)
        self.name = "run log"
        self._limit, self._floor = limit, floor
        self._written = 0
        self._look_at = 0
        self._low = False

    def offer(self, piece: Piece) -> None:
        if self._written >= self._look_at:
            self._look_at = self._written + _FREE_EVERY
            free = os.fstatvfs(self._fd)
            self._low = free.f_bavail * free.f_frsize < self._floor
        if piece.logs and (self._written >= self._limit or self._low):
            why = "the disk is almost full" if self._low else "the run log has reached its limit"
            self._backlog.lose(piece, f"{why}: log entries are left out")
            return
        self._written += len(piece.data)
        super().offer(piece)


def _open(path: str) -> int:
    try:  # O_NONBLOCK is for a named pipe, which the path may have become since somebody looked: nobody waits for it
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}; choose another file for -o") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise AgentmonError(f"{path}: neither a regular file nor a named pipe")
    return fd
