"""The stream of a fleet as records: what was there, and what comes, for those who pass on what was recorded."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from agentmon.errors import AgentmonError
from agentmon.feeds.nats import rfc3339, run_of
from agentmon.fleet import jetstream, subjects
from agentmon.fleet.jetstream import Access, Connection
from agentmon.fleet.loop import Loop
from agentmon.fleet.outlet import Unreachable
from agentmon.fleet.reading import Reader, Start
from agentmon.replay import Decoder, Record, Say, Wants, with_line

_AHEAD = 10_000  # lines that nobody has taken yet
_SINCE_S = 3600.0
_SLACK_S = 60.0
_STREAMS_S = 10.0  # for streams that are new
_RUN_ID = re.compile(r"(\d{8}T\d{6})(\d{3})Z-")


def stream_records(
    where: Access, say: Say, wants: Wants | None, kinds: frozenset[str], team: str | None, agent: str | None, run: str,
    since: float | None, newest: int | None, follow: bool,
) -> Iterator[list[Record]]:  # fmt: skip
    """Events with their lines, of runs whose ids begin with `run`; the server itself gives only those of these kinds,
    of this team and agent. An empty list where nothing came: sleep. wants: as in `replay.records`.

    Begins at `since` (Unix seconds, when it was stored), or with about the `newest` ones, or where the run began, or an
    hour ago. Raises AgentmonError where the server cannot be had; once it was, that is waited out.
    """
    filters = [subjects.matching(team, agent, kind) for kind in sorted(kinds)] or [subjects.matching(team, agent)]
    began = _began(run)
    if since is not None:
        start = Start(time=rfc3339(since - _SLACK_S))
    elif run:
        start = Start() if began is None else Start(time=rfc3339(began - _SLACK_S))
    else:
        start = Start(time=rfc3339(time.time() - _SINCE_S))
    narrow = bool(run or team or agent or kinds)
    decoder = Decoder(where.name, say, wants)
    lines = _Lines(where, say, filters, start, follow, lambda run_id: run_id.startswith(run),
                   None if narrow else newest)  # fmt: skip
    for batch in lines.batches():
        yield [record for line in batch for record in with_line(line, decoder.events(line))]
        if run and not batch and decoder.closed:
            return


def _began(run: str) -> float | None:
    """When a run of this id began, as far as the id tells."""
    found = _RUN_ID.match(run)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class _Lines:
    """The messages that match, from all streams: what was there, and with follow what comes. wants: run ids."""

    def __init__(
        self, where: Access, say: Say, filters: list[str], start: Start, follow: bool,
        wants: Callable[[str], bool], newest: int | None = None,
    ) -> None:  # fmt: skip
        """newest: begin with about so many messages from the end, instead of `start`."""
        self._where, self._say, self._filters, self._start = where, say, filters, start
        self._follow, self._wants, self._newest = follow, wants, newest
        self._lines: deque[bytes] = deque()
        self._next: dict[str, tuple[str, int]] = {}  # by stream: when it was made, and the number to read next
        self._reading: set[str] = set()
        self._past = True
        self._trouble = ""
        self._first: set[str] | None = None  # the streams that there were at first
        self._loop = Loop("fleet")

    def batches(self) -> Iterator[list[bytes]]:
        """Lines as they come; an empty list where nothing does any more: wait then. Raises AgentmonError."""
        work = self._loop.start(self._run())
        try:
            while True:
                done = work.done()
                lines = [self._lines.popleft() for _ in range(len(self._lines))]
                if lines or not (self._past or done):
                    yield lines
                elif not done:
                    time.sleep(0.02)
                else:
                    work.result()
                    return
        finally:
            self._loop.close()

    async def _run(self) -> None:
        reached = False
        while True:
            try:
                conn = await jetstream.connect(self._where, "agentmon tail")
                try:
                    reached = True
                    await self._read(conn)
                    if not self._follow:
                        return
                finally:
                    await conn.abort()
            except (Unreachable, AgentmonError) as error:
                if not self._follow or not reached:
                    raise AgentmonError(str(error)) from None
                if self._trouble != str(error):
                    self._trouble = str(error)
                    self._say(f"{error}; trying again")
                await asyncio.sleep(1)

    def _well(self) -> None:
        """The server gives what was asked for."""
        if self._trouble:
            self._trouble = ""
            self._say(f"{self._where.name}: goes on")

    async def _read(self, conn: Connection) -> None:
        """Read all streams that there are to their end; with follow those that are made meanwhile too, without end.
        Raises Unreachable."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                names = sorted({name for only in self._filters for name in await jetstream.streams(conn, only)})
                if self._first is None:
                    self._first = set(names)
                if not names:
                    self._well()
                if not tasks:
                    self._reading, self._past = set(names), bool(names)
                tasks |= {name: asyncio.create_task(self._stream(conn, name)) for name in names if name not in tasks}
                left = [task for task in tasks.values() if not task.done()]
                if left:
                    when = asyncio.FIRST_EXCEPTION
                    await asyncio.wait(left, timeout=_STREAMS_S if self._follow else None, return_when=when)
                elif self._follow:
                    await asyncio.sleep(1)
                for task in tasks.values():
                    if task.done():
                        task.result()
                if not self._follow:
                    return
        finally:
            for task in tasks.values():
                task.cancel()

    async def _stream(self, conn: Connection, stream: str) -> None:
        made, last, _ = await jetstream.state(conn, stream)
        known = self._next.get(stream)
        if known is not None:
            start = Start(at=known[1] if known[0] == made else 1)
        elif stream not in (self._first or ()):  # what was made since we look is new in whole
            start = Start(at=1)
        elif self._newest is not None:
            start = Start(at=last + 1 - self._newest)
        else:
            start = self._start
        reader = await Reader.open(conn, stream, self._filters, start)
        self._well()
        left = reader.pending
        if not left:
            self._is_read(stream)
        async for messages in reader.batches(wait=self._follow):
            for message in messages:
                self._next[stream] = made, message.at + 1
                run_id = run_of(message)
                if run_id is not None and self._wants(run_id):
                    self._lines.append(message.data)
            left -= len(messages)
            if left <= 0:
                self._is_read(stream)
            while len(self._lines) > _AHEAD:
                await asyncio.sleep(0.02)
        await reader.close()

    def _is_read(self, stream: str) -> None:
        self._reading.discard(stream)
        if not self._reading:
            self._past = False
