"""Sockets as feeds: one that a run listens on (`run -o unix:PATH`), read from the snapshot on; and again, when it is
gone and somebody listens there anew."""

import os
import socket
import time
from collections.abc import Iterable

from agentmon.errors import AgentmonError
from agentmon.feeds.feed import Feed
from agentmon.follow import BLOCK, Lines

_AGAIN_S = 1.0  # from one attempt to connect to the next
_LOST_S = 5.0  # without a connection: a run that was told there, and not its end, is lost


class SocketFeed:
    """The lines that come through one socket. Nobody need listen there yet, nor any more."""

    def __init__(self, path: str, limit: int = BLOCK) -> None:
        self._path, self._limit = os.path.abspath(path), limit
        self._connection: socket.socket | None = None
        self._lines = Lines()
        self._again_at = 0.0
        self._gone_at = time.monotonic()

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return f"unix:{self._path}"

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""
        return self._lines.rest

    def poll(self) -> list[bytes]:
        """The lines that have come, without waiting; at most about as much as was asked for."""
        if self._connection is None and not self._connect():
            return []
        assert self._connection is not None
        lines: list[bytes] = []
        taken = 0
        while taken < self._limit:
            try:
                data = self._connection.recv(min(BLOCK, self._limit))
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                break
            taken += len(data)
            lines += self._lines.feed(data)
        return lines

    def over(self, closed: bool) -> bool:
        """Whether a run is over that was told here: its end was, or nobody has listened for a while."""
        return closed or (self._connection is None and time.monotonic() - self._gone_at > _LOST_S)

    def close(self) -> None:
        """Hang up for good."""
        self._again_at = float("inf")
        if self._connection is not None:
            self._hang_up()

    def _connect(self) -> bool:
        now = time.monotonic()
        if now < self._again_at:
            return False
        self._again_at = now + _AGAIN_S
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            return False
        self._connection, self._lines = connection, Lines()
        return True

    def _hang_up(self) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        self._gone_at = time.monotonic()


class Sockets:
    """Sockets that a person named."""

    keeps = True

    def __init__(self, paths: Iterable[str], limit: int = BLOCK) -> None:
        """limit: about so many bytes are read at a time. Raises AgentmonError for a path that no socket can have."""
        self._paths = tuple(dict.fromkeys(os.path.abspath(path) for path in paths))
        self._limit = limit
        for path in self._paths:
            if len(os.fsencode(path)) > 107:
                raise AgentmonError(f"{path}: too long for a socket (107 bytes at most)")

    def found(self) -> list[Feed]:
        """All of them, once."""
        paths, self._paths = self._paths, ()
        return [SocketFeed(path, self._limit) for path in paths]

    def close(self) -> None:
        """Nothing is held."""
