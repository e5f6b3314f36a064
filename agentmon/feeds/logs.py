"""Run logs as feeds: those that were named, or all that go on on this machine."""

import os
import time
from collections.abc import Iterable

from agentmon import runs
from agentmon.feeds.feed import Feed
from agentmon.follow import BLOCK, Follower

LIMIT = 16 * BLOCK  # bytes that are read of a log at a time

_SCAN_S = 0.5
_YOUNG_S = 2.0

_Seen = tuple[int, int]  # inode and size: another inode, or less than there was, is another file


class Named:
    """Files that a person named."""

    keeps = True

    def __init__(self, paths: Iterable[str], limit: int = LIMIT) -> None:
        """limit: about so many bytes are read at a time."""
        self._paths = tuple(dict.fromkeys(paths))
        self._limit = limit

    def found(self) -> list[Feed]:
        """All of them, once."""
        paths, self._paths = self._paths, ()
        return [Follower(path, limit=self._limit) for path in paths]

    def close(self) -> None:
        """Nothing is held."""


class Going:
    """The run logs that somebody writes, taken up as the runs begin.

    recent_s: those too that were written within so many seconds. limit: about so many bytes are read at a time.
    """

    keeps = False

    def __init__(self, recent_s: float = 0.0, limit: int = LIMIT) -> None:
        self._recent_s, self._limit = recent_s, limit
        self._decided: dict[str, _Seen] = {}  # by path
        self._folder_seen: int | None = None
        self._scan_at = 0.0

    def found(self) -> list[Feed]:
        """The runs that began. The folder is read again only when something changed in it."""
        now = time.monotonic()
        if now < self._scan_at:
            return []
        self._scan_at = now + _SCAN_S
        try:
            seen = os.stat(runs.runs_dir()).st_mtime_ns
        except OSError:
            return []
        if seen == self._folder_seen:
            return []
        began: list[Feed] = []
        undecided = False
        before, self._decided = self._decided, {}  # what was removed is forgotten: its name may be used once more
        for found in runs.all_logs():
            path = str(found)
            there = _look(path)
            if there is None:
                continue
            known, now_there = before.get(path), (there.st_ino, there.st_size)
            if known is not None and now_there[0] == known[0] and now_there[1] >= known[1]:
                self._decided[path] = now_there
                continue
            if there.st_size == 0 and time.time() - there.st_mtime < _YOUNG_S:
                undecided = True  # made, and perhaps not yet locked: asking would be in the way of that
                continue
            self._decided[path] = now_there
            if runs.is_written(found) or 0 < self._recent_s > time.time() - there.st_mtime:
                began.append(Follower(path, limit=self._limit))
        # times of files are coarse: a run that began in the same moment would be overlooked for good
        if not undecided and time.time_ns() - seen > _YOUNG_S * 1e9:
            self._folder_seen = seen
        return began

    def close(self) -> None:
        """Nothing is held."""


def _look(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
