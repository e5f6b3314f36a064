"""JetStream: how a server is reached, and the streams that hold events. Everything here runs in an event loop."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import nats.errors
import orjson
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from agentmon.errors import AgentmonError
from agentmon.fleet import subjects
from agentmon.fleet.outlet import Unreachable

STREAM = "AGENTMON"
MESSAGE_ID = "Nats-Msg-Id"
SCHEMES = ("nats", "tls")

_CONNECT_S = 5.0
_REQUEST_S = 10.0
_PING_S = 10
_PORT = 4222
_LARGEST_FILE = 1 << 20
_IN_CREDS = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
_FAULTS_KEPT = 100
_SUBJECTS_OVERLAP = 10065
_NAME_IN_USE = 10058
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_RESET = struct.pack("ii", 1, 0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """How servers are reached. name: their addresses for people; nothing in it is secret.

    creds: a NATS credentials file (JWT and seed). ca, cert, key: PEM files for TLS.
    """

    servers: tuple[str, ...]
    name: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Access({self.name})"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stream is made with, if it is made. Seconds and bytes; None: no limit."""

    max_age: float | None = 7 * 24 * 3600.0
    max_bytes: int | None = None
    max_msgs: int | None = None
    replicas: int = 1
    duplicates: float = 120.0
    name: str = STREAM


def access(
    url: str, creds: str | None = None, ca: str | None = None, cert: str | None = None, key: str | None = None
) -> Access:
    """Where `url` points: `nats://[USER[:PASSWORD]@]HOST[:PORT]`, `tls://…`, several of them parted by commas. A user
    without a password is a token. Raises AgentmonError, without the URL where that may hold a secret."""
    servers, names = [], []
    user = password = token = None
    for part in url.split(","):
        try:
            seen = urlsplit(part.strip())
            host, port = seen.hostname, seen.port or _PORT
        except ValueError:
            raise AgentmonError("not an address of a NATS server: write nats://HOST:PORT") from None
        if seen.scheme not in SCHEMES or not host or seen.path.strip("/") or seen.query or seen.fragment:
            raise AgentmonError("not an address of a NATS server: write nats://HOST:PORT or tls://HOST:PORT")
        if seen.username:
            if seen.password is None:
                token = unquote(seen.username)
            else:
                user, password = unquote(seen.username), unquote(seen.password)
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        servers.append(f"{seen.scheme}://{at}")
        names.append(at)
    for path in (creds, ca, cert, key):
        if path is not None:
            try:
                with open(path, "rb") as file:
                    content = file.read(_LARGEST_FILE)
            except OSError as error:
                raise AgentmonError(f"{path}: {error.strerror}") from None
            if path == creds and not all(mark in content for mark in _IN_CREDS):  # nats-py would search for ever
                raise AgentmonError(f"{path}: not a NATS credentials file")
    if key and not cert:
        raise AgentmonError(f"{key}: a key goes with its certificate; give that too")
    if ca or cert:
        _tls(ca, cert, key)  # a mistake is told before anything is begun
    return Access(tuple(servers), f"{servers[0].split('://')[0]}://{','.join(names)}",
                  user, password, token, creds, ca, cert, key)  # fmt: skip


class Connection:
    """One connection, never mended: what was sent before it broke and what is sent after never mix. Use `connect`."""

    def __init__(self, nc: Client, where: Access, faults: list[str]) -> None:
        self.nc, self.where = nc, where
        self.js: JetStreamContext = nc.jetstream(timeout=_REQUEST_S)
        self.wake = asyncio.Event()  # for one who waits: set when something came, and at the end
        self.wakes = [self.wake]  # of all who wait
        self._faults = faults

    @property
    def faults(self) -> int:
        """How often the server complained."""
        return len(self._faults)

    @property
    def fault(self) -> str | None:
        """What the server complained of last (permissions, ...)."""
        return self._faults[-1] if self._faults else None

    async def ask(self, question: Awaitable[T]) -> T:
        """The answer. Raises Unreachable for a server that does not answer, NotFoundError, APIError."""
        try:
            return await asyncio.wait_for(question, _REQUEST_S + 1)
        except (NotFoundError, APIError):
            raise
        except (TimeoutError, nats.errors.Error, JetStreamError, OSError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise  # it is us who are to end; else nats-py has ended what we wait for
            raise self.unreachable(error) from None

    def unreachable(self, error: BaseException | None = None) -> Unreachable:
        """The same as a person is told it."""
        no_jetstream = isinstance(error, JetStreamError) and not isinstance(error, APIError)
        if no_jetstream or isinstance(error, nats.errors.NoRespondersError):
            return Unreachable(f"{self.where.name}: JetStream is not enabled there, or not ready")
        what = self.fault or said(error)
        return Unreachable(f"{self.where.name}: {what}")

    async def close(self) -> None:
        """Close it in good order."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.nc.close(), 2)

    async def abort(self) -> None:
        """Drop it, with whatever it has not sent."""
        writer = getattr(getattr(self.nc, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        await self.close()


async def connect(where: Access, name: str) -> Connection:
    """One try. name: how the server's operator sees it. Raises Unreachable."""
    faults: list[str] = []

    async def hear(error: Exception) -> None:
        if len(faults) < _FAULTS_KEPT:
            faults.append(said(error))

    tls: dict[str, Any] = {}
    if where.ca or where.cert:
        tls["tls"] = _tls(where.ca, where.cert, where.key)
    nc = Client()
    made = Connection(nc, where, faults)

    async def end() -> None:
        for wake in made.wakes:
            wake.set()

    try:
        await asyncio.wait_for(
            nc.connect(
                list(where.servers), name=name, error_cb=hear, closed_cb=end, allow_reconnect=False,
                max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=int(_CONNECT_S), ping_interval=_PING_S,
                user=where.user, password=where.password, token=where.token, user_credentials=where.creds, **tls,
            ),
            2 * _CONNECT_S,
        )  # fmt: skip
    except (TimeoutError, nats.errors.Error, OSError, ssl.SSLError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        what = faults[-1] if faults else said(error)
        await made.abort()
        raise Unreachable(f"{where.name}: {what}") from None
    except Exception:  # of what may be wrong inside of a credentials file there is no list, and it is secret
        await made.abort()
        if where.creds is None:
            raise
        raise AgentmonError(f"{where.creds}: not a NATS credentials file, or a damaged one") from None
    writer = getattr(getattr(nc, "_transport", None), "_io_writer", None)
    sock = writer.get_extra_info("socket") if writer is not None else None
    if sock is not None:  # what has not left this machine when the connection is dropped is never to leave it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    faults.clear()
    return made


def _tls(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Of these files. Raises AgentmonError."""
    at = ca
    try:
        context = ssl.create_default_context(cafile=ca)
        at = cert
        if cert is not None:
            context.load_cert_chain(cert, key, password=lambda: "")  # else one that has a password asks at the terminal
    except (ssl.SSLError, OSError):
        raise AgentmonError(f"{at}: not the PEM files that TLS needs") from None
    return context


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def said(error: BaseException | None) -> str:
    """An error in words."""
    if isinstance(error, APIError):
        return str(error.description or error)
    if isinstance(error, asyncio.TimeoutError | nats.errors.TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error or "connection lost").removeprefix("nats: ")
    return text or type(error).__name__


async def streams(conn: Connection, subject: str) -> list[str]:
    """The names of the streams that hold subjects of this filter. Raises Unreachable."""
    try:
        names: list[str] = []
        while True:
            asked = orjson.dumps({"subject": subject, "offset": len(names)})
            reply = await conn.ask(conn.nc.request("$JS.API.STREAM.NAMES", asked, timeout=_REQUEST_S))
            found = orjson.loads(reply.data)  # nats-py's own call knows no filter
            if "error" in found:
                raise APIError.from_error(found["error"])
            names += found.get("streams") or []
            if len(names) >= found.get("total", 0) or not found.get("streams"):
                return names
    except APIError as error:
        raise conn.unreachable(error) from None


async def state(conn: Connection, stream: str) -> tuple[str, int, int]:
    """When a stream was made, and the numbers of its last and of its first message. Raises Unreachable."""
    try:
        info = await conn.ask(conn.js.stream_info(stream))
    except APIError as error:  # also NotFoundError: it was there a moment ago
        raise conn.unreachable(error) from None
    return str(info.created), info.state.last_seq, info.state.first_seq


async def stream_for(conn: Connection, team: str, limits: Limits) -> str:
    """The stream that takes a team's events; made if there is none, never altered. Raises Unreachable."""
    mine = subjects.matching(team)
    found = await streams(conn, mine)
    if found:
        return found[0]
    name = limits.name
    for called, subject in ((name, subjects.ALL), (f"{name}-{_NOT_IN_NAMES.sub('_', team)[:64]}", mine)):
        config = api.StreamConfig(
            name=called, subjects=[subject], description="agentmon: events of agents, as recorded",
            storage=api.StorageType.FILE, compression=api.StoreCompression.S2, num_replicas=limits.replicas,
            max_age=limits.max_age, max_bytes=limits.max_bytes, max_msgs=limits.max_msgs,
            duplicate_window=limits.duplicates,
        )  # fmt: skip
        try:
            made = await conn.ask(conn.js.add_stream(config))
        except APIError as error:
            if error.err_code in (_SUBJECTS_OVERLAP, _NAME_IN_USE):
                if again := await streams(conn, mine):  # another shipper was faster
                    return again[0]
                continue  # other teams have streams of their own: so shall this one
            raise conn.unreachable(error) from None
        assert made.config.name is not None
        return made.config.name
    raise Unreachable(f"{conn.where.name}: no stream takes {mine}, and none can be made: the name {name} is taken")
