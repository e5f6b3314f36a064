"""Reading: the messages of a stream from some place on, in order, each once, through a consumer of our own.

The consumer is ephemeral and acknowledges nothing: readers share nothing, and the server forgets those who leave.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import APIError

from agentmon.fleet.jetstream import MESSAGE_ID, Connection
from agentmon.fleet.outlet import Unreachable

_PULLED = 1000  # messages asked for ahead
_EXPIRES_S = 30.0
_BEAT_S = 3.0
_SILENT_S = 10.0
_FORGOTTEN_S = 60.0


@dataclass(frozen=True, slots=True)
class Message:
    """One event in a stream. at: its number there. time: when it was stored (Unix seconds, the server's clock)."""

    at: int
    subject: str
    message_id: str
    data: bytes
    time: float


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins: at a number of the stream, at a time (RFC 3339, of the server), or with the last message
    of each subject; else at its beginning."""

    at: int | None = None
    time: str | None = None
    last_of_each: bool = False


class Reader:
    """A consumer. Raises Unreachable wherever the server or the consumer is gone: open another one."""

    def __init__(self, conn: Connection, stream: str) -> None:
        self._conn, self._stream = conn, stream
        self._arrived: list[Msg] = []
        self._wake = asyncio.Event()
        self._asked = 0
        self._delivered = 0
        self._next = self._delete = self._inbox = ""
        self._sub: Subscription | None = None
        self.pending = 0  # how many there were at the beginning
        self.now: float | None = None  # the server's clock at that moment, Unix seconds

    @classmethod
    async def open(
        cls, conn: Connection, stream: str, filters: Sequence[str], start: Start, headers_only: bool = False
    ) -> "Reader":  # fmt: skip
        """A new consumer."""
        made = cls(conn, stream)
        conn.wakes.append(made._wake)
        config: dict[str, Any] = {
            "ack_policy": "none", "replay_policy": "instant", "mem_storage": True, "num_replicas": 1,
            "inactive_threshold": int(_FORGOTTEN_S * 1e9), "headers_only": headers_only,
            "deliver_policy": "all",
        }  # fmt: skip
        if len(filters) == 1:
            config["filter_subject"] = filters[0]
        elif filters:
            config["filter_subjects"] = list(filters)
        if start.last_of_each:
            config["deliver_policy"] = "last_per_subject"
        elif start.at is not None:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, start.at)}
        elif start.time is not None:
            config |= {"deliver_policy": "by_start_time", "opt_start_time": start.time}
        asked = orjson.dumps({"stream_name": stream, "config": config})
        try:
            reply = orjson.loads((await conn.ask(conn.nc.request(f"$JS.API.CONSUMER.CREATE.{stream}", asked, 10))).data)
            if "error" in reply:
                raise APIError.from_error(reply["error"])
        except APIError as error:
            raise conn.unreachable(error) from None
        made.pending = reply["num_pending"]
        if isinstance(reply.get("ts"), str):
            made.now = datetime.fromisoformat(reply["ts"]).timestamp()
        made._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{reply['name']}"
        made._delete = f"$JS.API.CONSUMER.DELETE.{stream}.{reply['name']}"
        made._inbox = conn.nc.new_inbox()
        made._sub = await conn.nc.subscribe(made._inbox, cb=made._take, pending_msgs_limit=-1, pending_bytes_limit=-1)
        return made

    async def _take(self, msg: Msg) -> None:
        self._arrived.append(msg)
        self._wake.set()

    async def batches(self, wait: bool) -> AsyncIterator[list[Message]]:
        """The messages, as many at a time as have come. wait: for what comes, forever; an empty list now and then
        where nothing does. Else the end is where the stream now ends."""
        left = self.pending
        while wait or left > 0:
            if self._asked < _PULLED // 2:
                await self._ask(_PULLED - self._asked)
            if not self._arrived:
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), _SILENT_S)
                except TimeoutError:
                    raise self._conn.unreachable(nats.errors.TimeoutError()) from None
            if self._conn.nc.is_closed:
                raise self._conn.unreachable()
            arrived, self._arrived = self._arrived, []
            found = [message for msg in arrived if (message := self._message(msg)) is not None]
            left -= len(found)
            if found or wait:
                yield found

    async def _ask(self, count: int) -> None:
        self._asked += count
        request = {"batch": count, "expires": int(_EXPIRES_S * 1e9), "idle_heartbeat": int(_BEAT_S * 1e9)}
        try:
            await self._conn.nc.publish(self._next, orjson.dumps(request), reply=self._inbox)
        except (nats.errors.Error, OSError) as error:
            raise self._conn.unreachable(error) from None

    def _message(self, msg: Msg) -> Message | None:
        headers = msg.headers or {}
        status = headers.get(api.Header.STATUS)
        if status is not None and not msg.reply.startswith("$JS.ACK."):
            if status == "100":  # a heartbeat
                return None
            if status in ("408", "404") or (status == "409" and "Nats-Pending-Messages" in headers):
                self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages") or self._asked))
                return None
            raise Unreachable(f"{self._conn.where.name}: {headers.get(api.Header.DESCRIPTION) or status}")
        parts = msg.reply.split(".")
        at = 5 if len(parts) == 9 else 7  # $JS.ACK.[domain.account.]stream.consumer.delivered.at.number.time.pending
        self._delivered += 1
        self._asked = max(0, self._asked - 1)
        if int(parts[at + 1]) != self._delivered:
            raise Unreachable(f"{self._conn.where.name}: messages were lost on the way")
        return Message(int(parts[at]), msg.subject, headers.get(MESSAGE_ID, ""), msg.data, int(parts[at + 2]) / 1e9)

    async def close(self) -> None:
        """Let the server forget it."""
        try:
            if self._sub is not None:
                await self._sub.unsubscribe()
            await asyncio.wait_for(self._conn.nc.publish(self._delete, b""), 1)
        except (nats.errors.Error, OSError, TimeoutError):
            return
