"""A real `agentmon serve`, and what clients of it need."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from subprocess import PIPE
from typing import Any

import httpx
from wrapper import WAIT_S, Wrapper

Message = dict[str, Any]


class Served:
    """A server that runs. url: as it printed it; base: without a query."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url
        self.base = url.partition("?")[0]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request."""
        return httpx.get(self.base + path.removeprefix("/"), timeout=WAIT_S, **options)

    def ws(self, path: str = "ws") -> str:
        """The address of a WebSocket."""
        return "ws" + self.base.removeprefix("http") + path

    def end(self) -> tuple[int, str]:
        """Ctrl-C; the exit code, and what it said."""
        self.process.send_signal(2)
        _, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, err


@contextmanager
def serving(wrapper: Wrapper, *words: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """`agentmon serve` on a free port."""
    argv = [sys.executable, "-m", "agentmon", "serve", "--port", "0", *words]
    process = subprocess.Popen(argv, env={**wrapper.env, **(env or {})}, stdout=PIPE, stderr=PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, process.communicate(timeout=WAIT_S)
        yield Served(process, url)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def until_message(
    connection: Any, wanted: Callable[[Message], Any], seen: list[Message] | None = None
) -> Message:
    """The first message that is wanted; those up to it go into `seen`."""
    async with asyncio.timeout(WAIT_S):
        while True:
            message: Message = json.loads(await connection.recv())
            if seen is not None:
                seen.append(message)
            if wanted(message):
                return message


class AheadLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test sets ahead: what is due only after a while is due at once, and on a machine
    that stands still for a moment nothing is due too early."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def run_ahead(test: Callable[[AheadLoop], Awaitable[None]]) -> None:
    """Run a test of what time does."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AheadLoop)
        await test(loop)

    with asyncio.Runner(loop_factory=AheadLoop) as runner:
        runner.run(whole())


def run_async(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test that waits for many things."""

    async def limited() -> None:
        async with asyncio.timeout(3 * WAIT_S):
            await test()

    asyncio.run(limited())
