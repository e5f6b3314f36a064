"""Server: uvicorn, told what this one needs: our own sockets, one line when it listens, an end at once."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from agentmon.errors import AgentmonError
from agentmon.views.serve.connection import Connection
from agentmon.views.serve.ws import MESSAGE_BYTES

_MOST_CONNECTIONS = 2048
_PING_S = 20.0
_LAST_ANSWERS_S = 2
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "agentmon: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    # below this are addresses with their query, and what any client can provoke
    "loggers": {
        name: {"handlers": ["stderr"], "level": "ERROR", "propagate": False} for name in ("uvicorn", "asyncio")
    },
}


class Server(uvicorn.Server):
    """Ends with the first signal. listening: called once it does."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self.end)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def end(self) -> None:
        """Stop; asked once more, wait for nobody."""
        self.force_exit = self.should_exit
        self.should_exit = True


def run(app: FastAPI, sockets: list[socket.socket], listening: Callable[[], None]) -> None:
    """Serve until a signal comes."""
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", ws=Connection, ws_max_size=MESSAGE_BYTES, ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S, ws_per_message_deflate=False, lifespan="on", access_log=False, log_config=_LOGGING,
        server_header=False, limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )  # fmt: skip
    Server(config, listening).run(sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of a name. Raises AgentmonError."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if port == 0 and sockets:  # the same free port on all of them
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            with contextlib.suppress(_NotHere):
                sockets.append(_bound(family, address))
        if not sockets:
            raise OSError(0, "no such address on this machine")
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        why = getattr(error, "strerror", None) or str(error)
        raise AgentmonError(f"cannot listen on {host} port {port}: {why}; choose another --host or --port") from None
    return sockets


class _NotHere(Exception):
    """An address of a family that this machine does not speak."""


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        raise _NotHere from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(512)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
