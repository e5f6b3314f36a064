"""Follow: the lines of a file as they come, across rotation, removal and truncation; and when it is over."""

import os
import stat
import time
from collections.abc import Iterator

from agentmon import runs
from agentmon.errors import AgentmonError

BLOCK = 1 << 20
LONGEST = 32 << 20  # a line beyond this is no event of ours (a batch of the largest ones stays below)
_SEARCHED = 16 * BLOCK  # bytes of a line without its end that are read at a time
_LOCK_CHECK_S = 0.25
_YOUNG_S = 2.0  # a run log is made, and locked a moment later
_RETIRED_S = 1.0  # a writer notices within 0.25 s that its file was moved


class Lines:
    """Bytes to whole lines, without their ends. What is too long to be one comes as far as it was kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` ends."""
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._parts:
                lines[0] = b"".join([*self._parts, lines[0]])
            self._parts, self._held = [], 0
        if rest and self._held < LONGEST:
            self._parts.append(rest)
            self._held += len(rest)
        return lines

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""
        return b"".join(self._parts)


class Follower:
    """One file, read as far as it goes whenever it is polled. It need not exist yet, nor any more.

    Polling raises AgentmonError for what cannot be read at all.
    """

    def __init__(self, path: str, offset: int = 0, limit: int = 16 * BLOCK) -> None:
        """offset: where reading begins. limit: about so many bytes at a time."""
        self.path = path
        self._limit = limit
        self._lines = Lines()
        self._fd: int | None = None
        self._offset = 0
        self._first_offset = offset  # of the file that is there at first
        self._retired: list[tuple[int, Lines, float]] = []
        self._locked = False
        self._checked = 0.0
        self._released = False
        self._at_end = False  # there was nothing more at the last poll
        self._is_run_log = _is_run_log(path)

    @property
    def name(self) -> str:
        """What a person is told of it."""
        return self.path

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""
        return self._lines.rest

    def poll(self) -> list[bytes]:
        """The lines that have come, at most about as much as was asked for."""
        self._reopen_if_moved()
        lines = self._of_retired()
        if self._fd is None:
            return lines
        size = os.fstat(self._fd).st_size
        if size < self._offset:  # truncated: what is there now is new
            self._offset, self._lines = 0, Lines()
        taken, most = 0, max(self._limit, _SEARCHED)
        while taken < most and (data := _read(self._fd, self._offset, min(BLOCK, self._limit))):
            self._offset += len(data)
            taken += len(data)
            lines += self._lines.feed(data)
            if lines:
                most = self._limit
        self._at_end = not taken
        return lines

    def over(self, closed: bool) -> bool:
        """Whether nothing more will come, once poll gave nothing. closed: the closing event was read.

        A run log nobody locks is over in any case (the run was lost); any other file is where its runs are closed.
        """
        if self._fd is None or not self._at_end:
            return False
        if self.written():
            self._released = False
            return False
        if not self._released:  # what was written just before the lock went may not have been read
            self._released = True
            return False
        return closed or (self._is_run_log and not self._young())

    def written(self) -> bool:
        """Whether somebody holds the lock of the run log; asked of the system a few times a second."""
        now = time.monotonic()
        if self._fd is not None and now - self._checked >= _LOCK_CHECK_S:
            self._checked = now
            self._locked = _is_locked(self._fd)
        return self._locked

    def close(self) -> None:
        """Let the files go."""
        for fd in [self._fd, *(fd for fd, _, _ in self._retired)]:
            if fd is not None:
                os.close(fd)
        self._fd, self._retired = None, []

    def _young(self) -> bool:
        assert self._fd is not None
        seen = os.fstat(self._fd)
        return seen.st_size == 0 and time.time() - seen.st_mtime < _YOUNG_S

    def _reopen_if_moved(self) -> None:
        try:
            there = os.stat(self.path)
        except OSError:
            return  # removed: its writer may go on in the file that we have
        if self._fd is not None:
            ours = os.fstat(self._fd)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if self._fd is None and not isinstance(error, FileNotFoundError):
                raise AgentmonError(f"{self.path}: {error.strerror}") from None
            return
        if not stat.S_ISREG(there.st_mode):
            os.close(fd)
            raise AgentmonError(f"{self.path}: not a regular file; only those can be followed")
        if self._fd is not None:
            self._retired.append((self._fd, self._lines, time.monotonic() + _RETIRED_S))
            os.lseek(self._fd, self._offset, os.SEEK_SET)
        self._fd, self._lines, self._offset, self._first_offset = fd, Lines(), self._first_offset, 0
        self._checked, self._released = 0.0, False  # what was known of the lock was of the other file

    def _of_retired(self) -> list[bytes]:
        """What was still written to files that were moved away."""
        lines: list[bytes] = []
        kept = []
        for fd, splitter, until in self._retired:
            while data := os.read(fd, BLOCK):
                lines += splitter.feed(data)
            if time.monotonic() < until:
                kept.append((fd, splitter, until))
            else:
                os.close(fd)
        self._retired = kept
        return lines


def last_lines(path: str, count: int) -> tuple[int, int]:
    """Where the last `count` lines of a file begin, and how many lines are before them; 0, 0 for what is no file."""
    if not os.path.isfile(path):  # opening a pipe, and leaving it, is something that its writer notices
        return 0, 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return 0, 0
    try:
        begins = end = os.fstat(fd).st_size
        ended = os.pread(fd, 1, max(0, end - 1)) == b"\n"
        sought = max(1, count + ended)  # newlines; a line that is still being written is always taken whole
        while begins > 0 and sought > 0:
            begins = max(0, begins - BLOCK)
            data = os.pread(fd, min(BLOCK, end - begins), begins)
            end = begins
            found = len(data)
            while sought > 0 and (found := data.rfind(b"\n", 0, found)) >= 0:
                sought -= 1
            if sought == 0:
                begins += found + 1
        before = sum(data.count(b"\n") for data in _blocks_before(fd, begins))
        return begins, before
    except OSError:
        return 0, 0
    finally:
        os.close(fd)


def _blocks_before(fd: int, end: int) -> Iterator[bytes]:
    at = 0
    while at < end and (data := os.pread(fd, min(BLOCK, end - at), at)):
        yield data
        at += len(data)


def _read(fd: int, offset: int, size: int) -> bytes:
    try:
        return os.pread(fd, size, offset)
    except OSError:  # a folder, or a disk that fails: there is nothing to read
        return b""


def _is_locked(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_run_log(path: str) -> bool:
    try:
        return os.path.dirname(os.path.abspath(path)) == os.path.realpath(runs.runs_dir())
    except AgentmonError:
        return False
