"""Past: the runs so far, from the index and their logs. Nothing here is done in the event loop's thread.

The index is brought up to date when somebody asks, by one thread, and asked by another. Logs are read when somebody
wants to see what the index does not hold, two at a time at most, and what was read is kept within bounds.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from agentmon import index, indexing, runs
from agentmon.errors import AgentmonError
from agentmon.index import Index
from agentmon.views.serve.reading import Reading

PATIENCE_S = 3.0  # after this an answer is what is known by then
_REST_S = 0.5  # between two updates
_REST_SHARE = 9  # times as long as the update took
_KEPT_BYTES = 40 << 20
_KEPT_READINGS = 24
_KEPT_ROWS = 2_000  # logs whose alerts are remembered

T = TypeVar("T")


Row = dict[str, Any]
Stamp = tuple[int, int]  # inode and size


@dataclass(frozen=True, slots=True)
class Log:
    """A file. run: the one to read, where it may hold several."""

    path: str
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many run logs of those that are new were read; total is 0 before that is known."""

    done: int
    total: int


class Past:
    """One per server. Its methods are called in the event loop, `close` from anywhere."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """say: is told what is wrong with the index or a log."""
        self._progress: Progress | None = None  # while the index is brought up to date
        self._say = say
        self._updating = ThreadPoolExecutor(1, "index-update")
        self._asking = ThreadPoolExecutor(1, "index-query")
        self._writer = _Handle(say)
        self._reader = _Handle(lambda _: None)  # the same would be said twice
        self._update: asyncio.Future[None] | None = None
        self._due = 0.0
        self._closed = False
        self._places: OrderedDict[Log, _Place] = OrderedDict()
        self._remembered: OrderedDict[str, tuple[Stamp | None, list[Row]]] = OrderedDict()
        self._limiter = anyio.CapacityLimiter(2)
        self._tasks: set[asyncio.Task[object]] = set()

    async def ask(
        self, question: Callable[[Index], T], patience_s: float = PATIENCE_S
    ) -> tuple[T, Progress | None]:  # fmt: skip
        """What the index answers, once it is up to date; where time is up before, what it knows so far, and how far
        it is. Raises AgentmonError."""
        loop = asyncio.get_running_loop()
        await self._refresh(patience_s)
        progress = self._progress
        handle, thread = (self._reader, self._asking) if self._writer.stored else (self._writer, self._updating)
        return await loop.run_in_executor(thread, handle.ask, question), progress

    async def read(self, log: Log, question: Callable[[Reading], T]) -> T:
        """What a run's log tells, read as far as it goes. Raises OSError."""
        place = self._places.setdefault(log, _Place())
        place.users += 1
        try:
            async with place.lock:
                return await anyio.to_thread.run_sync(self._read, log, place, question, limiter=self._limiter)
        finally:
            place.users -= 1
            self._places.move_to_end(log)
            self._trim()

    async def read_soon(self, log: Log, question: Callable[[Reading], T], patience_s: float) -> T | None:
        """The same, or None if that takes longer; the reading goes on meanwhile. Raises OSError."""
        task = asyncio.ensure_future(self.read(log, question))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        await asyncio.wait({task}, timeout=patience_s)
        return task.result() if task.done() else None

    async def remembered(self, log: Log, question: Callable[[str], list[Row]]) -> list[Row]:
        """The same rows that the question gave for this file when it was as large as it is now."""
        stamp = _stamp(log.path)
        known = self._remembered.get(log.path)
        if stamp is None or known is None or known[0] != stamp:
            told = await anyio.to_thread.run_sync(question, log.path, limiter=self._limiter)
            known = self._remembered[log.path] = stamp, told
            while len(self._remembered) > _KEPT_ROWS:
                self._remembered.popitem(last=False)
        return known[1]

    def reading(self, log: Log) -> Reading | None:
        """What was read of a log so far, if it is being read or kept."""
        place = self._places.get(log)
        return None if place is None else place.reading

    def close(self) -> None:
        """Let everything go: what is being read ends at the next block, an update of the index at its next log."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for place in self._places.values():
            if place.reading is not None:
                place.reading.stopped = True
        self._updating.submit(self._writer.close)
        self._asking.submit(self._reader.close)
        self._updating.shutdown(wait=False)
        self._asking.shutdown(wait=False)

    async def _refresh(self, patience_s: float) -> None:
        """Bring the index up to date, but not all the time."""
        loop = asyncio.get_running_loop()
        if (self._update is None or self._update.done()) and time.monotonic() >= self._due:
            self._progress = Progress(0, 0)
            self._update = loop.run_in_executor(self._updating, self._bring)
        if self._update is not None:
            await asyncio.wait({self._update}, timeout=patience_s)
            if self._update.done():
                self._update.result()

    def _bring(self) -> None:
        began = time.monotonic()
        try:
            self._writer.ask(lambda opened: indexing.bring_up_to_date(opened, self._say, self._note))
        except _Closed:
            pass
        finally:
            self._progress = None
            took = time.monotonic() - began
            self._due = time.monotonic() + max(_REST_S, _REST_SHARE * took)

    def _note(self, done: int, total: int) -> None:
        self._progress = Progress(done, total)
        if self._closed:
            raise _Closed

    def _read(self, log: Log, place: "_Place", question: Callable[[Reading], T]) -> T:
        if place.reading is not None and not place.reading.feed.is_current():
            place.reading.close()
            place.reading = None
        if place.reading is None:
            place.reading = Reading(log.path, log.run)
        if self._closed:
            place.reading.stopped = True
        place.reading.read_on()
        return question(place.reading)

    def _trim(self) -> None:
        """Let go of what was not asked for the longest."""
        idle = {log: place.size() for log, place in self._places.items() if not place.users}
        held, total = len(self._places), sum(idle.values())
        for log, size in idle.items():
            place = self._places[log]
            if place.reading is None or (held > 1 and (held > _KEPT_READINGS or total > _KEPT_BYTES)):
                place.close()
                del self._places[log]
                held, total = held - 1, total - size

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited was told


@dataclass(slots=True)
class _Place:
    """What was read of a log, for one reader at a time. users: those who read it or wait for that."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    reading: Reading | None = None

    def size(self) -> int:
        """About as many bytes of memory."""
        return 0 if self.reading is None else self.reading.size()

    def close(self) -> None:
        """Let the log go."""
        if self.reading is not None:
            self.reading.close()


class _Handle:
    """The index as one thread has it open. stored: it is the file, which other threads may have open too."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.stored = True
        self._say = say
        self._index: Index | None = None
        self._inode: int | None = None

    def ask(self, question: Callable[[Index], T]) -> T:
        """Raises AgentmonError."""
        path = index.index_path()
        with index.faults(path):
            return question(self._opened(path))

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _opened(self, path: str) -> Index:
        if self._index is not None and (not self.stored or _inode(path) == self._inode):
            return self._index
        self.close()  # the file was removed, or moved away because it was damaged
        self._index = index.open_index(self._say)
        self.stored, self._inode = self._index.stored, _inode(path)
        return self._index


class _Closed(Exception):
    """Nobody wants to know any more."""


def _inode(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_ino
    return None


def _stamp(path: str) -> Stamp | None:
    with suppress(OSError):
        stat = os.stat(path)
        return stat.st_ino, stat.st_size
    return None


def log_of(run_id: str) -> Log | None:
    """The log of a run that the index knows, if it is still there. Never ask this for a name from elsewhere."""
    with suppress(AgentmonError):
        path = runs.log_path(run_id)
        if os.path.isfile(path):
            return Log(path)
    return None


def log_at(name: str, run_id: str, team_id: str) -> Log | None:
    """The log of a live run, by the name of its feed; None where that is no file."""
    path = name.removesuffix(f" (run {run_id} of {team_id})")
    if not os.path.isfile(path):
        return None
    with suppress(AgentmonError):
        if path == runs.log_path(run_id):
            return Log(path)
    return Log(path, run_id)
