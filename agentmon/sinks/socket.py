"""Local sockets: one on which we listen for any number of clients, one on which somebody else listens."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentmon.errors import AgentmonError
from agentmon.sinks import SinkBroken
from agentmon.sinks.backlog import Backlog, GapLine

if TYPE_CHECKING:
    from agentmon.piece import Piece

CLIENTS = 64


class _Peer:
    """One connection with its own backlog: a slow client has gaps, the others do not."""

    def __init__(self, connection: socket.socket, backlog: Backlog) -> None:
        self.socket, self.backlog = connection, backlog
        self.rest = memoryview(b"")
        connection.setblocking(False)

    def pump(self) -> bool:
        moved = False
        while self.rest or self.backlog:
            if not self.rest:
                self.backlog.close_hole()
                self.rest = memoryview(self.backlog.take(256 << 10))
            try:
                done = self.socket.send(self.rest)
            except BlockingIOError:
                break
            self.rest = self.rest[done:]
            moved = True
        return moved

    def hung_up(self) -> bool:
        """Whether the other side has closed both directions (`nc -U` closes the one that we do not read)."""
        poll = select.poll()
        poll.register(self.socket.fileno(), 0)
        return bool(poll.poll(0))

    @property
    def idle(self) -> bool:
        return not self.rest and not self.backlog


class ListenSink:
    """unix:PATH. Every client gets a snapshot first, and then the stream from that moment."""

    must = False

    def __init__(self, path: str) -> None:
        self.name = f"unix:{path}"
        self._server = _listen(path)
        self._path = os.path.abspath(path)  # the collector leaves the caller's directory
        self._inode = os.stat(path).st_ino
        self._peers: list[_Peer] = []
        self._gap_line: GapLine
        self.snapshot: Callable[[], bytes] = lambda: b""

    def attach(self, gap_line: GapLine) -> None:
        self._gap_line = gap_line

    def descriptors(self) -> set[int]:
        return {self._server.fileno()}

    def offer(self, piece: Piece) -> None:
        for peer in self._peers:
            peer.backlog.add(piece)

    def pump(self, now: float) -> bool:
        self._accept()
        moved = False
        for peer in tuple(self._peers):
            try:
                if peer.idle and peer.hung_up():  # poll(2) would tell it again and again
                    raise BrokenPipeError
                moved |= peer.pump()
            except OSError:  # it went away
                peer.socket.close()
                self._peers.remove(peer)
        return moved

    def interests(self) -> dict[int, int]:
        fds = {peer.socket.fileno(): 0 if peer.idle else select.POLLOUT for peer in self._peers}
        return fds | {self._server.fileno(): select.POLLIN}

    @property
    def idle(self) -> bool:
        return all(peer.idle for peer in self._peers)

    def close(self) -> None:
        for peer in self._peers:
            peer.socket.close()
        self._server.close()
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            if len(self._peers) >= CLIENTS:
                connection.close()
                continue
            peer = _Peer(connection, Backlog(self.name, self._gap_line))
            peer.rest = memoryview(self.snapshot())
            self._peers.append(peer)


class ConnectSink:
    """unix-connect:PATH: one socket, on which somebody else listens."""

    must = False

    def __init__(self, path: str) -> None:
        self.name = f"unix-connect:{path}"
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError as error:
            raise AgentmonError(f"{path}: {error.strerror}; is somebody listening there?") from None
        self._socket = connection
        self._peer: _Peer

    def attach(self, gap_line: GapLine) -> None:
        self._peer = _Peer(self._socket, Backlog(self.name, gap_line))

    def descriptors(self) -> set[int]:
        return {self._socket.fileno()}

    def offer(self, piece: Piece) -> None:
        self._peer.backlog.add(piece)

    def pump(self, now: float) -> bool:
        try:
            return self._peer.pump()
        except OSError as error:
            raise SinkBroken(f"{self.name}: {error.strerror}") from None

    def interests(self) -> dict[int, int]:
        return {} if self._peer.idle else {self._socket.fileno(): select.POLLOUT}

    @property
    def idle(self) -> bool:
        return self._peer.idle

    def close(self) -> None:
        self._socket.close()


def _listen(path: str) -> socket.socket:
    """A private socket at `path`. A stale one is replaced, a live one and anything else is refused."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise AgentmonError(f"{path}: exists and is no socket")
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise AgentmonError(f"{path}: {error.strerror}") from None
        else:
            raise AgentmonError(f"{path}: another process listens there; choose another path")
        finally:
            probe.close()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        server.bind(path)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    server.listen(16)
    server.setblocking(False)
    return server
