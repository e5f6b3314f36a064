"""What is in a stream, read with the library's own calls: every message, in order."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import orjson
from nats.js import api

_WAIT_S = 60


@dataclass(frozen=True)
class Stored:
    """One message of a stream."""

    at: int
    subject: str
    message_id: str
    data: bytes


def stored(url: str, stream: str = "AGENTMON", **connect: Any) -> list[Stored]:
    """All messages of a stream; none where there is no stream."""

    async def read() -> list[Stored]:
        nc = await nats.connect(url, connect_timeout=_WAIT_S, **connect)
        js = nc.jetstream(timeout=_WAIT_S)
        try:
            left = (await js.stream_info(stream)).state.messages
            if not left:
                return []
            config = api.ConsumerConfig(ack_policy=api.AckPolicy.NONE)
            sub = await js.pull_subscribe("", stream=stream, config=config)
            found = []
            while left > 0:
                for msg in await sub.fetch(min(left, 1000), timeout=_WAIT_S):
                    left -= 1
                    message_id = (msg.headers or {}).get("Nats-Msg-Id", "")
                    found.append(Stored(msg.metadata.sequence.stream, msg.subject, message_id, msg.data))
            return found
        except nats.js.errors.NotFoundError:
            return []
        finally:
            await nc.close()

    return asyncio.run(read())


def count(url: str, stream: str = "AGENTMON", **connect: Any) -> int:
    """How many messages there are; 0 where there is no stream, or no server."""

    async def ask() -> int:
        try:
            nc = await nats.connect(
                url, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=_WAIT_S, **connect
            )
        except (nats.errors.Error, OSError):
            return 0
        try:
            return (await nc.jetstream(timeout=_WAIT_S).stream_info(stream)).state.messages
        except (nats.js.errors.Error, nats.errors.Error):
            return 0
        finally:
            await nc.close()

    return asyncio.run(ask())


def with_jetstream(url: str, work: Any, **connect: Any) -> Any:
    """What `work(js)` gives, on a connection of its own."""

    async def do() -> Any:
        nc = await nats.connect(url, connect_timeout=_WAIT_S, **connect)
        try:
            return await work(nc.jetstream(timeout=_WAIT_S))
        finally:
            await nc.close()

    return asyncio.run(do())


def same(found: Sequence[Stored], logs: Sequence[Path]) -> None:
    """Every event of the run logs is there exactly once, in the order of its run, byte for byte."""
    by_run = defaultdict(list)
    for message in found:
        by_run[orjson.loads(message.data)["run_id"]].append(message.data)
    for log in logs:
        expected = log.read_bytes().splitlines()
        got = by_run.pop(log.stem, [])
        assert len(got) == len(expected), (log.stem, len(got), len(expected))
        for number, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert a == b, (log.stem, number, a[:80], b[:80])
    assert not by_run
    assert len({message.message_id for message in found}) == len(found)
