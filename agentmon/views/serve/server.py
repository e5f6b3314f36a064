"""Server: uvicorn, told what this one needs: our own sockets, one line when it listens, an end at once."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from agentmon.views.serve.connection import Connection
from agentmon.views.serve.http import HttpConnection
from agentmon.views.serve.ws import MESSAGE_BYTES

_MOST_CONNECTIONS = 2048
_MOST_FILES = 16384
_PING_S = 20.0  # between two pings, and how long a client has to answer one
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
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) has it
            signals.append(signal.SIGHUP)
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
    _allow_files()
    Server(config_of(app), listening).run(sockets)


def config_of(app: FastAPI) -> uvicorn.Config:
    """What uvicorn is told."""
    return uvicorn.Config(
        app, loop="asyncio", http=HttpConnection, ws=Connection, ws_max_size=MESSAGE_BYTES, ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S, ws_per_message_deflate=False, lifespan="on", access_log=False, log_config=_LOGGING,
        server_header=False, limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )  # fmt: skip


def _allow_files() -> None:
    """Every client, run log and socket is a descriptor: the usual soft limit of 1,024 is for programs that select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
