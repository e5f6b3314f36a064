"""The server that the fleet's tests use: real, killed, started again."""

import asyncio

import nats
from nats_server import Proxy, running


def test_what_was_acknowledged_outlives_a_kill(tmp_path):
    async def publish(url: str) -> int:
        nc = await nats.connect(url)
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        ack = await js.publish("s", b"1")
        await nc.close()
        return ack.seq

    async def count(url: str) -> int:
        nc = await nats.connect(url)
        info = await nc.jetstream().stream_info("S")
        await nc.close()
        return info.state.messages

    with running(tmp_path) as server:
        proxy = Proxy(server.port)
        assert asyncio.run(publish(proxy.url)) == 1
        server.kill()
        server.start()
        assert asyncio.run(count(proxy.url)) == 1
        proxy.close()
