"""Ingesting: from JetStream into PostgreSQL, in as many copies as wanted, acknowledged once it is committed.

PostgreSQL work runs in a thread, one piece at a time; the event loop goes on talking to the NATS server meanwhile.
"""

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from nats.errors import Error as NatsError

from agentmon.errors import AgentmonError
from agentmon.fleet import folding, jetstream, postgres, storing, subjects
from agentmon.fleet.consuming import Consumer, Held
from agentmon.fleet.jetstream import Access
from agentmon.fleet.outlet import Unreachable

Say = Callable[[str], None]
T = TypeVar("T")

_RETRY_S = 0.2
_RETRY_MOST_S = 5.0
_SAY_AGAIN_S = 600.0
_LOOK_S = 10.0  # for streams that are new
_IDLE_S = 0.5
_LINGER_S = 0.25  # a small batch lets more come: a transaction costs the same for one event
_PATIENCE_S = 60.0  # with `once`
_FOLD_S = 1.0  # at a time, between batches
_FOLD_SHARE = 0.3  # of the time goes into folding what was left, while more comes
_REJECTS_S = 60.0
_CLOSE_S = 2.0


class Stopped(Exception):
    """We were told to stop while we waited."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to consume and how. durable: the consumer's name; by default one of the database's own. batch: messages of
    one transaction, at most. once: end where nothing is left."""

    team: str | None = None
    durable: str | None = None
    batch: int = 2000
    ack_wait: float = 5.0
    once: bool = False


@dataclass(slots=True)
class _Trouble:
    """Says what is in the way: once, and again after a long time; and that it is over."""

    say: Say
    text: str = ""
    said: float = 0.0
    wait_s: float = _RETRY_S

    def met(self, text: str) -> float:
        """How many seconds to wait."""
        now = time.monotonic()
        if text != self.text or now - self.said > _SAY_AGAIN_S:
            self.text, self.said = text, now
            self.say(f"{text}; trying again")
        wait, self.wait_s = self.wait_s, min(_RETRY_MOST_S, self.wait_s * 2)
        return wait * random.uniform(0.5, 1.0)

    def over(self, name: str) -> None:
        """It goes on."""
        if self.text:
            self.say(f"{name}: goes on")
        self.text, self.wait_s = "", _RETRY_S


@dataclass(slots=True)
class Ingester:
    """From one NATS server (or cluster) into one database."""

    source: Access
    target: postgres.Address
    wanted: Wanted
    say: Say
    stop: asyncio.Event
    count: storing.Count = field(default_factory=storing.Count)
    _connection: postgres.Connection | None = None
    _unfolded: bool = True
    _fold_at: float = 0.0
    _rejects_at: float = 0.0
    _rejects_said: int = 0
    _moved_at: float = field(default_factory=time.monotonic)
    _told: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Until we are told to stop, or nothing is left. Raises AgentmonError for what waiting does not mend."""
        with contextlib.suppress(Stopped):
            database_id = await self._database(self._prepare, first=True)
            durable = self.wanted.durable or self._durable(database_id)
            trouble = _Trouble(self.say)
            while not self.stop.is_set():
                conn = None
                try:
                    conn = await jetstream.connect(self.source, "agentmon ingest")
                    if await self._consume(conn, durable, trouble):
                        break
                except Unreachable as error:
                    self._give_up(str(error))
                    await self._wait(trouble.met(str(error)))
                finally:
                    if conn is not None:
                        await conn.close()
            if self.wanted.once:
                while not await self._database(self._fold_left, None):
                    await self._wait(_RETRY_S)
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)
        self._tell_rejects(last=True)

    def _durable(self, database_id: str) -> str:
        """One consumer a database and choice: copies for the same share it, and others have all messages too."""
        choice = "" if self.wanted.team is None else "-" + hashlib.sha256(self.wanted.team.encode()).hexdigest()[:8]
        return f"ingest-{database_id.replace('-', '')[:16]}{choice}"

    async def _consume(self, conn: jetstream.Connection, durable: str, trouble: _Trouble) -> bool:
        """Consume all streams until told to stop; True where nothing is left and that is the end.

        Raises Unreachable.
        """
        consumers: dict[str, Consumer] = {}
        subject = subjects.matching(self.wanted.team)
        look_at = 0.0
        while not self.stop.is_set():
            now = time.monotonic()
            if now >= look_at:
                for stream in await jetstream.streams(conn, subject):
                    if stream not in consumers:
                        consumer = Consumer(conn, stream, durable, 2 * self.wanted.batch)
                        self._check(durable, stream, subject, await consumer.open(subject, self.wanted.ack_wait))
                        consumers[stream] = consumer
                look_at = now + _LOOK_S if consumers else now + _IDLE_S
                if consumers:
                    trouble.over(self.source.name)
                elif self.wanted.once:
                    self.say(f"{self.source.name}: no stream has {subject}")
                elif (text := f"{self.source.name}: no stream has {subject} yet") != trouble.text:
                    trouble.met(text)
            conn.wake.clear()
            held = [(c, items) for c in consumers.values() if (items := await c.take(self.wanted.batch))]
            for consumer, items in held:
                await self._store(consumer, items)
            if not held:
                if self.wanted.once and all([await c.drained() for c in consumers.values()]):
                    return True
                await self._fold(idle=True)
                await self._idle(conn)
            else:
                await self._fold(idle=False)
                if not self.wanted.once and sum(len(items) for _, items in held) < self.wanted.batch // 2:
                    await self._wait(_LINGER_S)
            self._tell_rejects()
        await self._flush(conn)
        return False

    def _check(self, durable: str, stream: str, wanted: str, gives: str) -> None:
        """A consumer that somebody made gives what they chose. Raises AgentmonError where that is another team's."""
        if gives == wanted:
            return
        told = f"--durable {durable}: that consumer of {stream} gives {gives}"
        if self.wanted.team is not None:
            raise AgentmonError(f"{told}, not {wanted}; choose another name")
        if told not in self._told:
            self._told.add(told)
            self.say(f"{told} and nothing else")

    async def _store(self, consumer: Consumer, items: list[Held]) -> None:
        """Store and acknowledge one batch."""
        arrivals = [item.arrival for item in items]
        count = await self._database(
            lambda connection: storing.store(connection, arrivals), lambda: consumer.keep(items)
        )  # fmt: skip
        self.count.add(count)
        self._unfolded = self._unfolded or count.stored > 0
        self._moved_at = time.monotonic()
        await consumer.ack(items)

    async def _fold(self, idle: bool) -> None:
        """Fold what the batches left, with a share of the time where more comes."""
        now = time.monotonic()
        if self._unfolded and (idle or now >= self._fold_at):
            self._unfolded = not await self._database(self._fold_left)
            spent = time.monotonic() - now
            self._fold_at = now + spent / _FOLD_SHARE

    def _fold_left(self, connection: postgres.Connection) -> bool:
        end = time.monotonic() + _FOLD_S
        return folding.fold_left(connection, lambda: time.monotonic() > end)

    def _prepare(self, connection: postgres.Connection) -> str:
        return postgres.prepare(connection, self.target)

    async def _database(
        self, work: Callable[[postgres.Connection], T], keep: Callable[[], Coroutine[Any, Any, None]] | None = None,
        first: bool = False,
    ) -> T:  # fmt: skip
        """What the work gives, however long PostgreSQL is away. keep: called meanwhile, now and then. Raises Stopped,
        and Unreachable where `keep` does; AgentmonError where it is `first` and the server refuses us."""
        trouble = _Trouble(self.say)
        kept = time.monotonic()
        there = False  # the server was, before this attempt
        while True:
            try:
                done = await self._kept(asyncio.to_thread(self._try, work), keep)
            except psycopg.Error as error:
                text = f"{self.target.shown}: {postgres.words(error, self.target)}"
                broken = self._connection is None
                if first and broken and await asyncio.to_thread(postgres.takes_connections, self.target):
                    if there:
                        raise AgentmonError(text) from None
                    there = True  # perhaps only since it failed
                    continue
                there = False
                self._give_up(text)
                await self._wait(trouble.met(text))
                if keep is not None and time.monotonic() - kept > self.wanted.ack_wait / 3:
                    kept = time.monotonic()
                    await keep()
            else:
                trouble.over(self.target.shown)
                return done

    async def _kept(
        self, work: Coroutine[Any, Any, T], keep: Callable[[], Coroutine[Any, Any, None]] | None
    ) -> T:  # fmt: skip
        """What the work gives. A thread cannot be ended: it is waited for, whether or not there is still a server that
        wants to know that we work."""
        task = asyncio.ensure_future(work)
        while True:
            done, _ = await asyncio.wait({task}, timeout=self.wanted.ack_wait / 3)
            if done:
                return task.result()
            if keep is not None:
                try:
                    await keep()
                except Unreachable:
                    keep = None

    def _try(self, work: Callable[[postgres.Connection], T]) -> T:
        """In the thread. A connection that failed is not used again."""
        if self._connection is None:
            self._connection = postgres.connect(self.target)
        try:
            return work(self._connection)
        except BaseException:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None
            raise

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
        if self.stop.is_set():
            raise Stopped

    def _give_up(self, text: str) -> None:
        """Whoever waits for the end is told that there is none."""
        if self.wanted.once and time.monotonic() - self._moved_at > _PATIENCE_S:
            raise AgentmonError(f"{text}; nothing is lost: run it again")

    async def _idle(self, conn: jetstream.Connection) -> None:
        """Until something comes, for a short while at most."""
        waits = [asyncio.ensure_future(conn.wake.wait()), asyncio.ensure_future(self.stop.wait())]
        await asyncio.wait(waits, timeout=_IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    async def _flush(self, conn: jetstream.Connection) -> None:
        """Acknowledgements that did not get there cost nothing but a repeat."""
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            await asyncio.wait_for(conn.nc.flush(), _CLOSE_S)

    def _tell_rejects(self, last: bool = False) -> None:
        now = time.monotonic()
        new = self.count.rejected - self._rejects_said
        if new and (last or now >= self._rejects_at):
            self._rejects_at, self._rejects_said = now + _REJECTS_S, self.count.rejected
            self.say(f"{new:,} messages are no events that can be stored; see the table agentmon.rejects")
