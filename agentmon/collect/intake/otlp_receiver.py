"""Receiver: a small process that answers exporters at once and hands the bodies to the collector.

It is a process of its own because an exporter waits for its answer, for seconds, often at its program's exit: were the
collector to answer, one that is stopped, slow or gone would hold the child up. The receiver goes on answering until
the relay ends, even where nobody takes the bodies any more; what does not fit its memory is dropped and counted.

To the collector it writes frames: kind, signal, format, pid of the sender (0: unknown), length, and the body.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections import deque

from agentmon.collect.intake.otlp_http import Connection, Continue, Head, Refusal, Request, reply
from agentmon.collect.intake.otlp_peer import pid_of_peer

FRAME = struct.Struct("<BBBxiI")
BODY, LOST = 1, 2
SIGNALS = ("metrics", "logs", "traces")
JSON, PROTOBUF, GZIP = 0, 1, 2  # format: one of the first two, with GZIP added where the body is compressed
END = b"E"

CONNECTIONS = 128
_HELD = 64 << 20  # bytes of requests that are not whole yet
_QUEUED = 64 << 20  # bytes that the collector has not taken yet
_READ = 1 << 16
_GRACE_S = 0.3
_CONTENT = {"application/json": JSON, "application/x-protobuf": PROTOBUF}


class Receiver:
    """Serves one listening socket. to: the collector's end; protobuf: whether its bodies can be read."""

    def __init__(self, listener: socket.socket, to: socket.socket, token: str, *, protobuf: bool) -> None:
        self._listener, self._to, self._token, self._protobuf = listener, to, token, protobuf
        port = listener.getsockname()[1]
        self._port: int = port
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._peers: dict[int, Peer] = {}
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._lost = [0, 0]
        self._heard = True  # somebody takes the bodies
        self._ending: float | None = None
        listener.setblocking(False)
        to.setblocking(False)

    def run(self, relay_fd: int | None, relay_pid: int) -> None:
        """Until the collector has said that the run is over, or the relay is gone."""
        poll = select.poll()
        while True:
            interests = {self._listener.fileno(): select.POLLIN}
            interests |= dict.fromkeys(self._peers, select.POLLIN)
            if self._heard:
                interests[self._to.fileno()] = select.POLLIN | (select.POLLOUT if self._queue else 0)
            if relay_fd is not None:
                interests[relay_fd] = select.POLLIN
            for fd, mask in interests.items():
                poll.register(fd, mask)
            ready = poll.poll(self._patience_ms(watched=relay_fd is not None))
            for fd in interests:
                poll.unregister(fd)
            self._turn({fd for fd, _ in ready})
            gone = relay_fd in {fd for fd, _ in ready} if relay_fd is not None else not _alive(relay_pid)
            if gone:
                if not self._heard:
                    return
                self._ending = self._ending or time.monotonic() + _GRACE_S
                relay_fd = None  # it stays readable
            if self._ending is not None and self._finished(any_ready=bool(ready)):
                return

    def _turn(self, ready: set[int]) -> None:
        if self._listener.fileno() in ready:
            self._accept()
        for fd in ready & self._peers.keys():
            self._read(fd)
        if self._to.fileno() in ready:
            self._hear()
        self._pump()

    def _finished(self, *, any_ready: bool) -> bool:
        """The end: what is in the sockets is still taken, requests that are half here may be completed."""
        assert self._ending is not None
        if not self._heard:
            return True
        if time.monotonic() > self._ending:
            return not self._queue or time.monotonic() > self._ending + 5
        return not any_ready and not self._amid() and not self._queue

    def _amid(self) -> bool:
        return any(peer.connection.amid for peer in self._peers.values())

    def _patience_ms(self, *, watched: bool) -> int | None:
        if self._ending is not None:  # what an exporter sent before it ended is here already
            return 20 if self._amid() or self._queue else 0
        return None if watched else 1000

    # ------------------------------------------------------------------ exporters

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            if len(self._peers) >= CONNECTIONS:  # the one that has been silent for longest makes room
                self._close(min(self._peers, key=lambda fd: self._peers[fd].active_at))
            self._peers[sock.fileno()] = Peer(sock, address[1], Connection(self._check))
            self._read(sock.fileno())

    def _read(self, fd: int) -> None:
        peer = self._peers[fd]
        try:
            data = peer.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(fd)
            return
        peer.active_at = time.monotonic()
        for step in peer.connection.feed(data):
            if not self._answer(peer, step):
                self._close(fd)
                return
        if sum(other.connection.held for other in self._peers.values()) > _HELD:
            self._send(peer, reply(503, close=True))
            self._close(fd)

    def _answer(self, peer: "Peer", step: Request | Refusal | Continue) -> bool:
        """False: the connection is at its end."""
        if isinstance(step, Continue):
            return self._send(peer, b"HTTP/1.1 100 Continue\r\n\r\n")
        if isinstance(step, Refusal):
            self._send(peer, reply(step.status, close=True))
            return False
        content = _content_type(step.head)
        if peer.pid is None:  # while its socket is surely open
            peer.pid = pid_of_peer(peer.port, self._port) or 0
        self._enqueue(step, peer.pid)
        return self._send(peer, reply(200, content, close=not step.head.keep_alive)) and step.head.keep_alive

    def _send(self, peer: "Peer", data: bytes) -> bool:
        try:
            return peer.sock.send(data) == len(data)  # a peer that does not read its answers is let go
        except OSError:
            return False

    def _close(self, fd: int) -> None:
        peer = self._peers.pop(fd)
        with contextlib.suppress(OSError):
            peer.sock.setblocking(False)
            while peer.sock.recv(_READ):  # closing with unread bytes would reset the answer away
                pass
        with contextlib.suppress(OSError):
            peer.sock.close()

    def _check(self, head: Head) -> int | None:
        if head.fields.get("host", "").lower() not in self._hosts or "origin" in head.fields:
            return 403  # a browser that was lured here
        if head.path.count("/") < 2 or head.path.split("/")[1] != self._token or _signal(head) is None:
            return 404
        if head.method != "POST":
            return 405
        content = _CONTENT.get(_content_type(head))
        if content is None or (content == PROTOBUF and not self._protobuf):
            return 415
        if head.fields.get("content-encoding", "identity").lower() not in ("identity", "gzip", ""):
            return 415
        return None

    # ------------------------------------------------------------------ the collector

    def _enqueue(self, request: Request, pid: int) -> None:
        if not self._heard:
            return
        if self._queued + len(request.body) > _QUEUED:
            self._lost[0] += 1
            self._lost[1] += len(request.body)
            return
        signal = _signal(request.head)
        assert signal is not None
        form = _CONTENT[_content_type(request.head)]
        if request.head.fields.get("content-encoding", "").lower() == "gzip":
            form |= GZIP
        frame = FRAME.pack(BODY, SIGNALS.index(signal), form, pid, len(request.body)) + request.body
        self._queue.append(frame)
        self._queued += len(frame)

    def _pump(self) -> None:
        if self._heard and self._lost[0] and not self._queue:
            body = struct.pack("<QQ", *self._lost)
            self._queue.append(FRAME.pack(LOST, 0, 0, 0, len(body)) + body)
            self._queued += len(self._queue[-1])
            self._lost = [0, 0]
        while self._heard and self._queue:
            try:
                sent = self._to.send(self._queue[0])
            except BlockingIOError:
                return
            except OSError:
                self._deaf()
                return
            self._queued -= sent
            if sent == len(self._queue[0]):
                self._queue.popleft()
            else:
                self._queue[0] = self._queue[0][sent:]

    def _hear(self) -> None:
        try:
            word = self._to.recv(16)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if word:
            self._ending = time.monotonic() + _GRACE_S
        else:
            self._deaf()

    def _deaf(self) -> None:
        """The collector was killed: exporters are still answered."""
        self._heard = False
        self._queue.clear()
        self._queued = 0


class Peer:
    """An exporter's connection. port: its end's; pid: None until it was looked up, 0 where that failed."""

    __slots__ = ("active_at", "connection", "pid", "port", "sock")

    def __init__(self, sock: socket.socket, port: int, connection: Connection) -> None:
        self.sock, self.port, self.connection = sock, port, connection
        self.pid: int | None = None
        self.active_at = time.monotonic()


def _signal(head: Head) -> str | None:
    for signal in SIGNALS:
        if head.path.endswith(f"/v1/{signal}"):
            return signal
    return None


def _content_type(head: Head) -> str:
    return head.fields.get("content-type", "").partition(";")[0].strip().lower()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
