"""OTLP intake: agents that export OpenTelemetry by themselves tell every call, exactly.

`prepare` opens a listening socket on loopback and asks the agents for their export; a small process answers them
(see otlp_receiver), and the collector reads what they sent.
"""

from __future__ import annotations

import _socket  # what is below the module socket, whose import takes 8 ms of the child's start
import contextlib
import os
import select
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agentmon.collect.intake import Prepared
from agentmon.collect.intake import otlp_agents as agents

if TYPE_CHECKING:
    import socket

    from agentmon.events import Finding

_BACKLOG = 128
_CLOSE_S = 10.0
_READ = 1 << 20
_PER_TURN = 8 << 20  # bytes taken in one turn of the collector's loop


def prepare(
    folder: str, environment: Mapping[bytes, bytes], argv: Sequence[str], asked: bool
) -> Prepared | None:  # fmt: skip
    """The intake for an agent's command, or for the whole tree where it was asked for by name. None where there is
    nothing to listen to; without a descriptor, only a notice, where the user exports to a place of their own."""
    command = agents.agent_of(argv)
    if command is None and not asked:
        return None
    theirs = {**environment, **(command.settings if command else {})}
    if theirs.get(b"OTEL_SDK_DISABLED", b"").lower() == b"true":
        return None
    if command is not None and command.tool == "codex" and not asked:
        return None  # it has no variables for this, and words on its command line are for the user to ask for
    notice = agents.general_export(theirs)
    if notice is None and command is not None:
        choice = agents.own_choice(command.tool, theirs, argv)
        notice = f"{command.tool} has settings of its own for telemetry ({choice}): left alone" if choice else None
    host = agents.host(theirs)
    if host is None and (asked or command is None or command.tool not in agents.PASSES_PROXIES):
        notice = notice or "OpenTelemetry is not received: the proxy stands before 127.0.0.1 too (see NO_PROXY)"
    if notice is not None:
        return Prepared("otlp", _Nothing, notices=(notice,))
    port = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        port.bind(("127.0.0.1", 0))
    except OSError as error:  # a sandbox without a loopback interface
        return Prepared("otlp", _Nothing, notices=(f"OpenTelemetry is not received: {error.strerror}",))
    token = os.urandom(16).hex()
    base = f"http://{host or '127.0.0.1'}:{port.getsockname()[1]}/{token}"
    added: dict[bytes, bytes] = {}
    words: tuple[bytes, ...] = ()
    # Asked for the tree, programs of all kinds read these variables, and Python's do not know JSON.
    protocol = "http/protobuf" if asked and _protobuf() else "http/json"
    if command is not None:
        added = agents.switches(command.tool, base, protocol)
        words = agents.arguments(command.tool, base) if command.direct else ()
    if asked:
        for tool in agents.TOOLS:
            if agents.own_choice(tool, theirs) is None:
                added.update(agents.switches(tool, base, protocol))
        added[b"OTEL_EXPORTER_OTLP_ENDPOINT"] = os.fsencode(base)
        added[b"OTEL_EXPORTER_OTLP_PROTOCOL"] = os.fsencode(protocol)
    added = {name: value for name, value in added.items() if name not in theirs}
    if not added and not words:
        port.close()
        return None
    port.listen(_BACKLOG)
    fd = port.detach()
    relay_pid = os.getpid()

    def opened() -> Intake:
        import socket

        return Intake(socket.socket(fileno=fd), token, relay_pid)

    return Prepared("otlp", opened, added, frozenset({fd}), arguments=words)


def _protobuf() -> bool:
    """Whether protobuf bodies will be readable; asked before the child starts, so without importing anything heavy."""
    import importlib.util

    try:
        return importlib.util.find_spec("opentelemetry.proto") is not None
    except ImportError:
        return False


class _Nothing:
    """A source that was left to the user."""

    def read(self) -> Iterable[Finding]:
        return ()

    def interests(self) -> Mapping[int, int]:
        return {}

    def close(self) -> Iterable[Finding]:
        return ()


class Intake:
    """The collector's end: frames of the receiver to findings."""

    def __init__(self, listener: socket.socket, token: str, relay_pid: int) -> None:
        from agentmon.collect.intake.otlp_choice import Choice
        from agentmon.collect.intake.otlp_receiver import FRAME

        self._frame = FRAME
        self._choice = Choice()
        self._buffer = bytearray()
        self._from: socket.socket | None = start_receiver(listener, token, relay_pid)
        self._from.setblocking(False)
        self._unread = [0, 0]  # bodies that could not be read, and their bytes

    def read(self) -> Iterator[Finding]:
        """What has come since."""
        taken = 0
        while self._from is not None and taken < _PER_TURN:
            try:
                data = self._from.recv(_READ)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._from.close()
                self._from = None
                break
            taken += len(data)
            self._buffer += data
            yield from self._frames()
        yield from self._choice.tick(time.monotonic())

    def interests(self) -> Mapping[int, int]:
        """The receiver's socket."""
        return {} if self._from is None else {self._from.fileno(): select.POLLIN}

    def close(self) -> Iterator[Finding]:
        """The child has ended: what its exporters sent last is on its way, at most for ten seconds."""
        from agentmon.collect.intake.otlp_receiver import END

        if self._from is not None:
            with contextlib.suppress(OSError):
                self._from.send(END)
        until = time.monotonic() + _CLOSE_S
        while self._from is not None and (left := until - time.monotonic()) > 0:
            select.select([self._from], [], [], left)
            yield from self.read()
        yield from self._choice.close()
        if self._unread[0]:
            from agentmon.events import Finding, Gap

            bodies, lost = self._unread
            yield Finding(Gap(lost, None, f"otlp: {bodies} bodies could not be read", stream="otlp"))

    def _frames(self) -> Iterator[Finding]:
        from agentmon.collect.intake.otlp_receiver import LOST, SIGNALS
        from agentmon.events import Finding, Gap

        start, size = 0, self._frame.size
        while len(self._buffer) >= start + size:
            kind, signal, form, pid, length = self._frame.unpack_from(self._buffer, start)
            if len(self._buffer) < start + size + length:
                break
            body = bytes(self._buffer[start + size : start + size + length])
            start += size + length
            if kind == LOST:
                bodies, lost = struct.unpack("<QQ", body)
                yield Finding(Gap(lost, None, f"otlp: {bodies} bodies came faster than they were read", stream="otlp"))
            else:
                yield from self._body(SIGNALS[signal], form, pid or None, body)
        del self._buffer[:start]

    def _body(self, signal: str, form: int, pid: int | None, body: bytes) -> Iterator[Finding]:
        from agentmon.collect.intake import otlp_records as shapes
        from agentmon.collect.intake.otlp_receiver import GZIP, PROTOBUF

        try:
            if form & GZIP:
                body = shapes.inflate(body)
            document = shapes.parse_protobuf(signal, body) if form & PROTOBUF else shapes.parse_json(body)
        except ValueError:
            self._unread[0] += 1
            self._unread[1] += len(body)
            return
        yield from self._choice.take(shapes.records(document), pid, time.monotonic())


def start_receiver(listener: socket.socket, token: str, relay_pid: int) -> socket.socket:
    """Fork the receiver; our end of its socket. It is no child of ours, and keeps nothing of ours open."""
    import socket

    from agentmon.collect.intake.otlp_receiver import Receiver
    from agentmon.collect.intake.otlp_records import protobuf_here
    from agentmon.descriptors import close_others

    ours, its = socket.socketpair()
    protobuf = protobuf_here()
    middle = os.fork()
    if middle:
        its.close()
        listener.close()
        os.waitpid(middle, 0)
        return ours
    try:
        if os.fork() == 0:
            relay_fd = None
            with contextlib.suppress(OSError, AttributeError):
                relay_fd = os.pidfd_open(relay_pid)
            keep = {listener.fileno(), its.fileno()} | ({relay_fd} if relay_fd is not None else set())
            close_others(keep)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in {0, 1, 2} - keep:
                os.dup2(null, fd)
            Receiver(listener, its, token, protobuf=protobuf).run(relay_fd, relay_pid)
    finally:
        os._exit(0)
