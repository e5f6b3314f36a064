"""A fleet as feeds: runs in the streams of a NATS server, those that go on with what they were, and then what is new.

A late viewer gets what its views are made of and not more: of runs that go on all calls, acts, alerts and ends since
they began; of samples and log entries, which are nearly all there is, only the last. Everybody reads for themselves.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

import orjson

from agentmon.errors import AgentmonError
from agentmon.events import ActivityLog, Alert, Gap, GitActivity, Lifecycle, ProcessMetrics, TokenUsage
from agentmon.feeds.feed import Feed
from agentmon.fleet import jetstream, subjects
from agentmon.fleet.jetstream import Access, Connection
from agentmon.fleet.loop import Loop
from agentmon.fleet.outlet import Place, Unreachable
from agentmon.fleet.reading import Message, Reader, Start

Say = Callable[[str], None]

_EXACT = (Lifecycle, TokenUsage, GitActivity, Alert, Gap)
_FREQUENT = (ProcessMetrics, ActivityLog)
_RECENT = 10_000  # messages that are read whole
_SINCE_S = 24 * 3600.0  # runs that began before are found where that is no more to read than this:
_LIFECYCLES = 100_000
_PAST = 500_000
_ENDED_S = 300.0
_LOST_S = 3600.0  # without any event, not even a sample
_HELD = 32 << 20  # bytes that nobody has taken yet
_TAKEN = 1 << 20
_STREAMS_S = 10.0
_RETRY_S = 0.5
_RETRY_MOST_S = 5.0
_KNOWN = 20_000
_READY_S = 30.0


class RunFeed:
    """The lines of one run, as the network brings them."""

    def __init__(self, fleet: "Fleet", run_id: str) -> None:
        self.name = f"{fleet.name} {run_id}"
        self.rest = b""
        self.run_id = run_id
        self.heard = 0.0  # when its last event was stored
        self.places: dict[str, Place] = {}  # of the last event, by the team's token
        self._fleet = fleet
        self._lines: deque[bytes] = deque()

    def poll(self) -> list[bytes]:
        """The lines that have come, about 1 MiB at a time."""
        lines = []
        size = 0
        while self._lines and size < _TAKEN:
            line = self._lines.popleft()
            size += len(line)
            lines.append(line)
        self._fleet.taken(size)
        return lines

    def over(self, closed: bool) -> bool:
        """Whether its end was read, or it was silent for an hour: no machine tells from afar whether it still runs."""
        return closed or self._fleet.now() - self.heard > _LOST_S

    def close(self) -> None:
        """Nobody looks at it any more."""
        self._fleet.leave(self)
        self._fleet.taken(sum(map(len, self._lines)))
        self._lines.clear()

    def put(self, line: bytes) -> None:
        """A line that came."""
        self._lines.append(line)


class Fleet:
    """The runs of a fleet, or of a team of it, that go on or ended a moment ago; or those whose ids begin so."""

    def __init__(self, where: Access, say: Say, team: str | None = None, runs: tuple[str, ...] = ()) -> None:
        self.keeps = bool(runs)
        self._runs = runs
        self.name = where.name
        self._where, self._say, self._team = where, say, team
        self._feeds: dict[str, RunFeed] = {}
        self._new: deque[RunFeed] = deque()
        self._ended: OrderedDict[str, None] = OrderedDict()  # runs of which no more is to be shown
        self._held = 0
        self._lock = threading.Lock()
        self._ahead = 0.0  # the server's clock before ours
        self._next: dict[str, tuple[str, int]] = {}  # by stream: when it was made, and the number to read next
        self._ready = threading.Event()
        self._waiting: set[str] = set()  # streams whose past is still being read
        self._said_old = False
        self._trouble = ""
        self._retry = _RETRY_S
        self._loop = Loop("fleet")
        self._work = self._loop.start(self._run())

    def found(self) -> list[Feed]:
        """The runs that are new since the last call."""
        found: list[Feed] = []
        while self._new:
            found.append(self._new.popleft())
        return found

    def wait(self) -> None:
        """Until everything that was there is read. Raises AgentmonError where the server cannot be had."""
        end = time.monotonic() + _READY_S
        while not self._ready.wait(0.05):
            if self._held > _HELD // 2:
                return
            if self._work.done():
                self._work.result()
            if time.monotonic() > end or (self._trouble and time.monotonic() > end - _READY_S + 3):
                raise AgentmonError(self._trouble or f"{self.name}: no answer in time")

    def close(self) -> None:
        """Let the connection and the thread go."""
        self._loop.close()

    # ------------------------------------------------------------------ what feeds ask

    def taken(self, size: int) -> None:
        """So many bytes are not held any more."""
        with self._lock:
            self._held -= size

    def now(self) -> float:
        """Unix seconds by the server's clock."""
        return time.time() + self._ahead

    def leave(self, feed: RunFeed) -> None:
        """A run is not looked at any more; if it was lost and comes back, it is a new feed."""
        self._feeds.pop(feed.run_id, None)

    # ------------------------------------------------------------------ in the loop

    async def _run(self) -> None:
        while True:
            try:
                conn = await jetstream.connect(self._where, "agentmon view")
                try:
                    await self._read(conn)
                finally:
                    await conn.abort()
            except (Unreachable, AgentmonError) as error:
                if self._trouble != str(error):
                    self._trouble = str(error)
                    self._say(f"{error}; trying again")
            await asyncio.sleep(self._retry)
            self._retry = min(_RETRY_MOST_S, self._retry * 2)

    def _well(self) -> None:
        """The server gives what was asked for."""
        self._retry = _RETRY_S
        if self._trouble:
            self._trouble = ""
            self._say(f"{self.name}: goes on")

    async def _read(self, conn: Connection) -> None:
        """Read all streams that there are, and those that are made meanwhile. Raises Unreachable."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for stream in await jetstream.streams(conn, subjects.matching(self._team)):
                    if stream not in tasks:
                        self._waiting.add(stream)
                        tasks[stream] = asyncio.create_task(self._stream(conn, stream))
                if not tasks:
                    self._well()
                    self._ready.set()
                done, _ = await asyncio.wait(tasks.values(), timeout=_STREAMS_S if tasks else 0) if tasks else ((), ())
                for task in done:
                    task.result()
                if not tasks:
                    await asyncio.sleep(1)
        finally:
            for task in tasks.values():
                task.cancel()

    async def _stream(self, conn: Connection, stream: str) -> None:
        made, last, first = await jetstream.state(conn, stream)
        known = self._next.get(stream)
        if known is not None and known[0] == made:
            begin = known[1]
        else:
            begin = max(first, last + 1 - _RECENT)
            await self._past(conn, stream, begin)
        reader = await Reader.open(conn, stream, [subjects.matching(self._team)], Start(at=begin))
        self._well()
        self._see_clock(reader)
        left = reader.pending
        if not left:
            self._is_read(stream)
        async for messages in reader.batches(wait=True):
            for message in messages:
                self._put(message)
                self._next[stream] = (made, message.at + 1)
            left -= len(messages)
            if left <= 0:
                self._is_read(stream)
            while self._held > _HELD:
                await asyncio.sleep(0.05)

    async def _past(self, conn: Connection, stream: str, begin: int) -> None:
        """What came before `begin` of the runs that go on, as far as it matters."""
        starts = await self._starts(conn, stream, begin)
        first = min((start.at for start in starts.values()), default=begin)
        if first >= begin:
            return
        exact = await self._open(conn, stream, _EXACT, Start(at=first))
        if exact.pending > _PAST:
            await exact.close()
            starts = {run_id: start for run_id, start in starts.items() if not self._is_old(start)}
            first = min((start.at for start in starts.values()), default=begin)
            exact = await self._open(conn, stream, _EXACT, Start(at=first))
        frequent: list[Message] = []
        reader = await self._open(conn, stream, _FREQUENT, Start(last_of_each=True))
        async for messages in reader.batches(wait=False):
            frequent += [m for m in messages if m.at < begin and run_of(m) in starts]
        await reader.close()
        frequent.sort(key=lambda message: -message.at)
        async for messages in exact.batches(wait=False):
            for message in messages:
                if message.at >= begin:
                    break
                while frequent and frequent[-1].at < message.at:
                    self._put(frequent.pop())
                if run_of(message) in starts:
                    self._put(message)
            while self._held > _HELD:
                await asyncio.sleep(0.05)
            if messages and messages[-1].at >= begin:
                break
        await exact.close()
        while frequent:
            self._put(frequent.pop())

    async def _starts(self, conn: Connection, stream: str, begin: int) -> dict[str, Message]:
        """With what the runs began that may go on. Of those of long ago only the ones of which something came lately:
        nobody tells that a run was lost."""
        starts: dict[str, Message] = {}
        reader = await self._open(conn, stream, (Lifecycle,), Start())
        if reader.pending > _LIFECYCLES:
            await reader.close()
            reader = await self._open(conn, stream, (Lifecycle,), Start(time=rfc3339(self.now() - _SINCE_S)))
        self._see_clock(reader)
        async for messages in reader.batches(wait=False):
            for message in messages:
                run_id, state = _state(message)
                if not run_id.startswith(self._runs or ""):
                    continue
                if state == "started":
                    starts[run_id] = message
                elif not self._runs and state in ("stopped", "error") and self.now() - message.time > _ENDED_S:
                    starts.pop(run_id, None)
                    self._forget(run_id)
        await reader.close()
        old = {run_id for run_id, start in starts.items() if self._is_old(start)}
        if old and not self._runs:
            reader = await Reader.open(conn, stream, [subjects.matching(self._team)], Start(at=begin), True)
            async for messages in reader.batches(wait=False):
                old -= {*map(run_of, messages)}
            await reader.close()
            for run_id in old:
                del starts[run_id]
        return starts

    def _is_old(self, start: Message) -> bool:
        return start.time < self.now() - _SINCE_S

    async def _open(self, conn: Connection, stream: str, kinds: tuple[type, ...], start: Start) -> Reader:
        filters = [subjects.matching(self._team, None, kind.event) for kind in kinds]  # type: ignore[attr-defined]
        return await Reader.open(conn, stream, filters, start)

    def _put(self, message: Message) -> None:
        run_id = run_of(message)
        if run_id is None or run_id in self._ended or not run_id.startswith(self._runs or ""):
            return
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = RunFeed(self, run_id)
            self._new.append(feed)
        feed.heard = message.time
        told = subjects.parse_message_id(message.message_id)
        if told is not None:
            team = message.subject.split(".")[2]
            if told[1] <= feed.places.get(team, (0, -1)):  # the stream was made anew, or filled twice
                return
            if not feed.places and told[1] > (0, 1) and not self._said_old:
                self._said_old = True
                self._say(
                    f"{feed.name} began before what is read here: its figures begin now, as those of others like it"
                )
            feed.places[team] = told[1]
        with self._lock:
            self._held += len(message.data)
        feed.put(message.data)

    def _forget(self, run_id: str) -> None:
        self._ended[run_id] = None
        if len(self._ended) > _KNOWN:
            self._ended.popitem(last=False)

    def _see_clock(self, reader: Reader) -> None:
        if reader.now is not None:
            self._ahead = reader.now - time.time()

    def _is_read(self, stream: str) -> None:
        self._waiting.discard(stream)
        if not self._waiting:
            self._ready.set()


def run_of(message: Message) -> str | None:
    """The run that a message is of."""
    told = subjects.parse_message_id(message.message_id)
    if told is not None:
        return told[0]
    try:
        run_id = orjson.loads(message.data)["run_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return run_id if isinstance(run_id, str) else None


def _state(message: Message) -> tuple[str, str]:
    try:
        raw = orjson.loads(message.data)
        return str(raw["run_id"]), str(raw["data"]["lifecycle"]["state"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "", ""


def rfc3339(at: float) -> str:
    """Unix seconds as JetStream takes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(0.0, at)))
