"""Publishing: run logs to JetStream, as an outlet.

Each message names the one before it (`Nats-Expected-Last-Msg-Id`), but for the first after a pause: many can be on
their way at once, and where one is refused the server itself refuses all that follow it. So nothing overtakes,
whatever fails. Where another shipper's message came in between, the rest is sent again from there.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.js.errors import APIError, NotFoundError

from agentmon.fleet import jetstream, subjects
from agentmon.fleet.jetstream import MESSAGE_ID, Access, Connection, Limits
from agentmon.fleet.loop import Loop
from agentmon.fleet.outlet import Mark, Place, Record, Unreachable
from agentmon.fleet.reading import Reader, Start

_AFTER = "Nats-Expected-Last-Msg-Id"
_ASKS = 16  # every so many messages ask for an acknowledgement
_FEW = 64
_WINDOW = 2048  # messages on their way, at most
_WINDOW_BYTES = 4 << 20
_SMALLEST_WINDOW = 8
_ACKNOWLEDGED_S = 5.0
_ENVELOPE = 256  # bytes of the headers beside two message ids
_NOT_AFTER = 10070  # wrong last message id
_TOO_LARGE = 10054
_SAID = 10
_TEAMS_KEPT = 10_000

T = TypeVar("T")

Say = Callable[[str], None]


@dataclass(slots=True)
class _Sent:
    """What became of the messages of one call: all before `done` are there, the last of them as number `at` of the
    stream; those that were asked for, and refused."""

    wake: asyncio.Event
    done: int = 0
    at: int = 0
    asked: set[int] = field(default_factory=set)
    errors: dict[int, tuple[int, str]] = field(default_factory=dict)


class JetStreamOutlet:
    """Publishes to the streams of a NATS server; makes one where there is none."""

    def __init__(
        self, where: Access, limits: Limits, say: Say, stopped: Callable[[], bool] = lambda: False
    ) -> None:  # fmt: skip
        self.name = where.name
        self.refused, self.units = 0, "events"
        self._where, self._limits, self._say = where, limits, say
        self._loop = Loop("nats", stopped)
        self._conn: Connection | None = None
        self._streams: dict[str, str] = {}  # by team
        self._inbox = ""
        self._turn = 0
        self._sent: _Sent | None = None
        self._window = 256

    def resume(self, mark: Mark) -> None:
        """The streams themselves tell."""

    def mark(self) -> Mark:
        return self._loop.run(self._guarded(self._mark()))

    def arrived(self, mark: Mark, teams: Mapping[str, str]) -> Mapping[str, Place]:
        return self._loop.run(self._guarded(self._arrived(mark, teams)))

    def send(self, records: Sequence[Record]) -> None:
        self._loop.run(self._guarded(self._send(records)))

    def idle(self) -> None:
        """Nothing follows."""

    def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            try:
                self._loop.run(conn.close())
            except Unreachable:
                self._loop.start(conn.abort())
        self._loop.close()

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Whatever fails, the connection is done with: nothing that was left on it is sent later."""
        try:
            if self._conn is None:
                self._streams.clear()
                self._conn = await jetstream.connect(self._where, "agentmon ship")
                self._inbox = self._conn.nc.new_inbox()
                await self._conn.nc.subscribe(f"{self._inbox}.*", cb=self._hear)
            return await work
        except BaseException as error:
            work.close()
            conn, self._conn = self._conn, None
            if conn is not None:
                await conn.abort()
            if isinstance(error, nats.errors.Error | OSError) and conn is not None:
                raise conn.unreachable(error) from None
            raise

    async def _mark(self) -> Mark:
        conn = self._connection()
        found = {}
        for name in await jetstream.streams(conn, subjects.ALL):
            try:
                info = await conn.ask(conn.js.stream_info(name))
            except NotFoundError:
                continue
            found[name] = {"created": str(info.created), "at": info.state.last_seq}
        return found

    async def _arrived(self, mark: Mark, teams: Mapping[str, str]) -> Mapping[str, Place]:
        conn = self._connection()
        now = await self._mark()
        places: dict[str, Place] = {}
        for team in {*teams.values()}:
            only = subjects.matching(team)
            for stream in await jetstream.streams(conn, only):
                seen, there = mark.get(stream), now.get(stream)
                begin = seen["at"] + 1 if seen and there and seen["created"] == there["created"] else 1
                if there is not None and begin > there["at"]:
                    continue
                reader = await Reader.open(conn, stream, [only], Start(at=begin), headers_only=True)
                async for messages in reader.batches(wait=False):
                    for message in messages:
                        told = subjects.parse_message_id(message.message_id)
                        if told is not None and told[0] in teams:
                            places[told[0]] = max(told[1], places.get(told[0], told[1]))
                await reader.close()
        return places

    async def _send(self, records: Sequence[Record]) -> None:
        conn = self._connection()
        by_stream: dict[str, list[Record]] = {}
        for record in records:
            if len(record.line) + 6 * len(record.run_id) + _ENVELOPE > conn.nc.max_payload:
                self._refuse(record, f"larger than the server takes ({conn.nc.max_payload:,} bytes)")
                continue
            stream = self._streams.get(record.team_id)
            if stream is None:
                if len(self._streams) > _TEAMS_KEPT:
                    self._streams.clear()
                stream = await jetstream.stream_for(conn, record.team_id, self._limits)
                self._streams[record.team_id] = stream
            by_stream.setdefault(stream, []).append(record)
        for stream, some in by_stream.items():
            await self._publish(conn, stream, some)

    async def _publish(self, conn: Connection, stream: str, records: Sequence[Record]) -> None:
        """All of these to one stream. An acknowledgement stands for all messages before it, so not each asks for one;
        where one was refused, the stream is asked where that began, and those from there on go again, each asking."""
        ids = [subjects.message_id(record.run_id, record.turn, record.seq) for record in records]
        sent = self._sent = _Sent(conn.wake)
        upto = 0  # all before it are on their way
        after = ""  # the message before, where that is on its way or there
        careful = 0  # all before it ask for an acknowledgement
        size = 0
        addresses: dict[tuple[str, str, str], str] = {}
        while sent.done < len(records):
            end = min(len(records), sent.done + self._window)
            if self._window <= _FEW:  # others are at it: where one of theirs comes in between, it is known at once
                careful = end
            while upto < end and size < _WINDOW_BYTES:
                record, identity = records[upto], ids[upto]
                key = (record.team_id, record.agent_id, record.event)
                if (subject := addresses.get(key)) is None:
                    subject = addresses[key] = subjects.subject(*key)
                headers = {MESSAGE_ID: identity, _AFTER: after} if after else {MESSAGE_ID: identity}
                size += len(record.line)
                reply = ""
                if upto < careful or not after or upto % _ASKS == 0 or upto + 1 == end or size >= _WINDOW_BYTES:
                    sent.asked.add(upto)
                    reply = f"{self._inbox}.{self._turn}-{upto}"
                await conn.nc.publish(subject, record.line, reply, headers)
                after = identity
                upto += 1
            before = sent.done
            while sent.done == before and not sent.errors:
                await self._acknowledgement(conn)
            size -= sum(len(record.line) for record in records[before : sent.done])
            if sent.done == upto < len(records):
                self._window = min(_WINDOW, self._window * 2)
            if sent.errors:
                while sent.asked:
                    await self._acknowledgement(conn)
                first = min(sent.errors)
                code, what = sent.errors[first]
                done = sent.done
                if first < careful:  # it is this one
                    if code == _TOO_LARGE:
                        self._refuse(records[first], what)
                        done = first + 1
                    elif code == _NOT_AFTER:
                        self._window = max(_SMALLEST_WINDOW, self._window // 2)
                    else:
                        raise Unreachable(f"{self.name}: {what}")
                else:
                    done = await self._passed(conn, stream, ids[:first], sent.done, sent.at)
                    careful = first + 1
                self._turn += 1
                sent = self._sent = _Sent(conn.wake, done)
                upto, after, size = done, "", 0
        self._turn += 1

    async def _passed(self, conn: Connection, stream: str, ids: Sequence[str], done: int, at: int) -> int:
        """How many of these are there, of which `done` are known to be, the last of them as number `at`: none stands
        anywhere but right behind the one before it. By the time at which it would come again, the server may have
        forgotten that it has it."""
        known, least, most = done, done, max(done, len(ids))
        while least < most:
            middle = (least + most) // 2
            try:
                found = (await conn.ask(conn.js.get_msg(stream, at + 1 + middle - known))).headers or {}
            except NotFoundError:
                found = {}
            except APIError as error:
                raise conn.unreachable(error) from None
            if found.get(MESSAGE_ID) == ids[middle]:
                least = middle + 1
            else:
                most = middle
        return least

    async def _acknowledgement(self, conn: Connection) -> None:
        faults = conn.faults
        conn.wake.clear()
        if conn.nc.is_closed:
            raise conn.unreachable()
        try:
            await asyncio.wait_for(conn.wake.wait(), _ACKNOWLEDGED_S)
        except TimeoutError:
            raise conn.unreachable(nats.errors.TimeoutError()) from None
        if conn.nc.is_closed or conn.faults != faults:
            raise conn.unreachable()

    async def _hear(self, msg: Msg) -> None:
        """An acknowledgement, or the server's reason against."""
        turn, _, number = msg.subject.rpartition(".")[2].partition("-")
        sent, index = self._sent, int(number)
        if sent is None or int(turn) != self._turn:
            return
        sent.asked.discard(index)
        if not msg.data:  # nobody listens there
            sent.errors[index] = (503, "no stream takes this, or JetStream is not available now")
        elif error := (told := orjson.loads(msg.data)).get("error"):
            sent.errors[index] = (error.get("err_code", 0), error.get("description", "refused"))
        elif index >= sent.done:
            sent.done, sent.at = index + 1, told["seq"]
        sent.wake.set()

    def _refuse(self, record: Record, why: str) -> None:
        self.refused += 1
        if self.refused <= _SAID:
            self._say(f"{record.run_id}: event {record.seq} ({record.event}) is left out: {why}")

    def _connection(self) -> Connection:
        assert self._conn is not None
        return self._conn
