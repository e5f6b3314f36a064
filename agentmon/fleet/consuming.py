"""Consuming: the messages of a stream, shared by all copies of one reader, each until somebody acknowledges it.

The consumer is the server's, durable, and known by its name: what one copy was given and did not acknowledge in time
goes to another. It is made where it is missing and never altered.
"""

import asyncio
from dataclasses import dataclass, field

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from agentmon.fleet import subjects
from agentmon.fleet.arrivals import Arrival
from agentmon.fleet.jetstream import Connection

_EXPIRES_S = 30.0
_BEAT_S = 3.0
_SILENT_S = 10.0
_PENDING = 50_000  # messages that all copies together may have and not have acknowledged
_BYTES = 64 << 20  # asked for at once, at most: what one message may have at most, too
_ACK = b"+ACK"
_PROGRESS = b"+WPI"


@dataclass(frozen=True, slots=True)
class Held:
    """A message that we have and have not acknowledged."""

    arrival: Arrival
    reply: str


@dataclass(slots=True)
class Consumer:
    """One stream's share of the messages. ahead: how many are asked for before they are needed.

    Raises Unreachable wherever the server, the stream or the consumer is gone: open another one.
    """

    conn: Connection
    stream: str
    durable: str
    ahead: int
    _inbox: str = ""
    _asked: int = 0
    _arrived: list[Held] = field(default_factory=list)
    _heard: float = 0.0
    _lost: str = ""
    _sub: Subscription | None = None

    async def open(self, subject: str, ack_wait: float) -> str:
        """Join the consumer, or make it; what it gives. ack_wait: seconds after which a message that was not
        acknowledged goes to another copy."""
        gives = subject
        try:
            try:
                found = (await self.conn.ask(self.conn.js.consumer_info(self.stream, self.durable))).config
                gives = ", ".join(found.filter_subjects or [found.filter_subject or subjects.ALL])
            except NotFoundError:
                config = api.ConsumerConfig(
                    durable_name=self.durable, filter_subject=subject, ack_policy=api.AckPolicy.EXPLICIT,
                    deliver_policy=api.DeliverPolicy.ALL, ack_wait=ack_wait, max_deliver=-1, max_ack_pending=_PENDING,
                    description="agentmon ingest",
                )  # fmt: skip
                await self.conn.ask(self.conn.js.add_consumer(self.stream, config))
        except (APIError, NotFoundError) as error:
            raise self.conn.unreachable(error) from None
        self._inbox = self.conn.nc.new_inbox()
        self._heard = asyncio.get_running_loop().time()
        self._sub = await self.conn.nc.subscribe(
            self._inbox, cb=self._take, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        return gives

    async def _take(self, msg: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if msg.reply.startswith("$JS.ACK."):
            parts = msg.reply.split(".")
            number = parts[5 if len(parts) == 9 else 7]  # $JS.ACK.[domain.account.]stream.consumer.delivered.at.…
            self._arrived.append(Held(Arrival(msg.subject, msg.data, int(number)), msg.reply))
            self._asked = max(0, self._asked - 1)
        else:
            headers = msg.headers or {}
            status = headers.get(api.Header.STATUS)
            if status == "100":  # a heartbeat
                return
            if status in ("404", "408") or (status == "409" and "Nats-Pending-Messages" in headers):
                self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages") or self._asked))
            else:
                self._lost = headers.get(api.Header.DESCRIPTION) or status or "the consumer is gone"
        self.conn.wake.set()

    async def take(self, most: int) -> list[Held]:
        """What has come, without waiting; more is asked for as room becomes free."""
        if self._lost or self.conn.nc.is_closed:
            raise self.conn.unreachable(nats.errors.Error(self._lost) if self._lost else None)
        now = asyncio.get_running_loop().time()
        if self._asked and now - self._heard > _SILENT_S:
            raise self.conn.unreachable(nats.errors.TimeoutError())
        taken, self._arrived = self._arrived[:most], self._arrived[most:]
        room = self.ahead - self._asked - len(self._arrived)
        if room > self.ahead // 2:
            if not self._asked:
                self._heard = now
            request = {"batch": room, "max_bytes": _BYTES, "expires": int(_EXPIRES_S * 1e9),
                       "idle_heartbeat": int(_BEAT_S * 1e9)}  # fmt: skip
            await self._publish(f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}", request=request)
            self._asked += room
        return taken

    async def ack(self, held: list[Held]) -> None:
        """These are safe."""
        for item in held:
            await self._publish(item.reply, _ACK)

    async def keep(self, held: list[Held]) -> None:
        """These, and what has come since, are being worked on: they are not to go to another copy yet."""
        for item in (*held, *self._arrived):
            await self._publish(item.reply, _PROGRESS)

    async def drained(self) -> bool:
        """Whether all that the stream has is acknowledged, by us or by others."""
        try:
            info = await self.conn.ask(self.conn.js.consumer_info(self.stream, self.durable))
        except (APIError, NotFoundError) as error:
            raise self.conn.unreachable(error) from None
        return not info.num_pending and not info.num_ack_pending

    async def _publish(self, subject: str, data: bytes = b"", request: dict[str, int] | None = None) -> None:
        try:
            if request is None:
                await self.conn.nc.publish(subject, data)
            else:
                await self.conn.nc.publish(subject, orjson.dumps(request), reply=self._inbox)
        except (nats.errors.Error, OSError) as error:
            raise self.conn.unreachable(error) from None
