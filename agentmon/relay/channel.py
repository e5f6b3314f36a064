"""Channel: what the relay tells the collector, without ever waiting for it.

Frames go through a pipe. When that is full they go to a little memory, then to an unlinked temporary file (a ring
with a cap); past that they are dropped and counted. A page of shared memory has the counters that must outlive either
process.
"""

import contextlib
import fcntl
import marshal
import mmap
import os
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

PIPE_SIZE = 1 << 20
MEMORY = 1 << 20
SPOOL_LIMIT = 1 << 30

START: Final = 1  # the child was forked: {"pid"}
EXEC: Final = 2  # exec(2) succeeded
DATA: Final = 3  # bytes of a stream
SPOOLED: Final = 4  # what follows stands in the spool: (position, length)
LOST: Final = 5  # bytes of a stream were dropped: their number
EXIT: Final = 6  # the child has ended
STREAMS: Final[tuple[Literal["stdout", "stderr", "merged", "tty"], ...]] = ("stdout", "stderr", "merged", "tty")

_INDEX: Final[Mapping[str, int]] = {stream: number for number, stream in enumerate(STREAMS)}
_HEADER = struct.Struct("<BBId")  # kind, stream, length, Unix seconds
_SPAN = struct.Struct("<QQ")
_COUNTERS = ("sent_bytes", "lost_bytes", "spool_end", "spool_read", "progress", "phase", "complete", "collector_pid")


def index(stream: str) -> int:
    """The number that stands for a stream in a frame. Raises KeyError."""
    return _INDEX[stream]


class Frame(NamedTuple):
    """One message: stream is an index into STREAMS, time is Unix seconds."""

    kind: int
    stream: int
    time: float
    data: bytes | memoryview

    def fields(self) -> dict[str, Any]:
        """What START and EXIT carry."""
        loaded = marshal.loads(self.data)
        assert isinstance(loaded, dict)
        return loaded


class Counters:
    """Numbers in memory that relay and collector share; each has one writer."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 8 * len(_COUNTERS))

    def get(self, name: str) -> int:
        """The current value."""
        value: int = struct.unpack_from("<Q", self._page, 8 * _COUNTERS.index(name))[0]
        return value

    def set(self, name: str, value: int) -> None:
        """Store a value."""
        struct.pack_into("<Q", self._page, 8 * _COUNTERS.index(name), value)

    def add(self, name: str, value: int = 1) -> None:
        """Add to it."""
        self.set(name, self.get(name) + value)


class Spool:
    """A ring in an unlinked file. Positions count on; where they lie in the file is position modulo limit."""

    def __init__(self, limit: int = SPOOL_LIMIT) -> None:
        self.limit = limit
        self.fd = _unlinked_file()

    def write(self, position: int, data: bytes) -> bool:
        """Store at `position`; False where the disk does not take it."""
        if self.fd is None:
            return False
        try:
            for at, part in self._parts(position, memoryview(data)):
                if os.pwrite(self.fd, part, at) != len(part):
                    return False
        except OSError:
            return False
        return True

    def read(self, position: int, length: int) -> Iterator[bytes]:
        """What was stored, in pieces."""
        assert self.fd is not None
        while length:
            at = position % self.limit
            data = os.pread(self.fd, min(length, self.limit - at, PIPE_SIZE), at)
            if not data:
                return
            yield data
            position += len(data)
            length -= len(data)

    def empty(self) -> None:
        """Give the disk back."""
        if self.fd is not None:
            os.ftruncate(self.fd, 0)

    def _parts(self, position: int, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        at = position % self.limit
        room = self.limit - at
        yield at, data[:room]
        if len(data) > room:
            yield 0, data[room:]


def _unlinked_file() -> int | None:
    """A temporary file without a name; /var/tmp before /tmp, which is often memory. None where none can be had."""
    for folder in filter(None, (os.environ.get("TMPDIR"), "/var/tmp", "/tmp")):
        path = f"{folder}/agentmon-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            if hasattr(os, "O_TMPFILE"):
                with contextlib.suppress(OSError):
                    return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.unlink(path)
            return fd
    return None


class Channel:
    """Both ends; made before the fork. The relay calls `send` and `flush`, the collector `frames`."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        os.set_blocking(self.write_fd, False)
        self.counters = Counters()
        self.spool = Spool()
        self._pending = bytearray()
        self._announced = 0
        self._lost: dict[int, int] = {}
        self._on_disk = False

    # ------------------------------------------------------------------ the relay's end

    @property
    def behind(self) -> bool:
        """Whether something waits for the pipe to be writable."""
        return bool(self._pending or self._lost) or self._announced < self.counters.get("spool_end")

    def send(self, kind: int, at: float, data: bytes = b"", stream: int = 0) -> None:
        """Hand a frame over. Raises BrokenPipeError when the collector is gone."""
        if kind == DATA:
            self.counters.add("sent_bytes", len(data))
        header = _HEADER.pack(kind, stream, len(data), at)
        if self.behind:
            if not self._keep(header + data) and kind == DATA:
                self._lost[stream] = self._lost.get(stream, 0) + len(data)
                self.counters.add("lost_bytes", len(data))
            return
        self._tidy()
        try:
            done = os.writev(self.write_fd, (header, data))
        except BlockingIOError:
            done = 0
        if done < len(header) + len(data):
            self._pending += (header + data)[done:]

    def tell(self, kind: int, at: float, **fields: Any) -> None:
        """Hand over a frame of fields. These are never dropped."""
        data = marshal.dumps(fields)
        frame = _HEADER.pack(kind, 0, len(data), at) + data
        if not self.behind:
            self.send(kind, at, data)
        elif not self._keep(frame):
            self._announce()
            self._pending += frame

    def flush(self) -> None:
        """Write what fits. Raises BrokenPipeError when the collector is gone."""
        while self.behind:
            if not self._pending:
                self._announce()
            try:
                done = os.write(self.write_fd, self._pending)
            except BlockingIOError:
                return
            del self._pending[:done]
        self._tidy()

    def _tidy(self) -> None:
        if self._on_disk and self.counters.get("spool_read") == self.counters.get("spool_end"):
            self._on_disk = False
            self.spool.empty()

    def _keep(self, frame: bytes) -> bool:
        end = self.counters.get("spool_end")
        frame = self._notes() + frame  # say what is missing where it is missing
        if self._announced == end and len(self._pending) + len(frame) <= MEMORY:
            self._pending += frame
        elif end + len(frame) - self.counters.get("spool_read") > self.spool.limit or not self.spool.write(end, frame):
            return False
        else:
            self._on_disk = True
            self.counters.set("spool_end", end + len(frame))
        self._lost.clear()
        return True

    def _notes(self) -> bytes:
        return b"".join(
            _HEADER.pack(LOST, stream, 8, 0.0) + struct.pack("<Q", lost) for stream, lost in self._lost.items()
        )

    def _announce(self) -> None:
        end = self.counters.get("spool_end")
        if end > self._announced:
            self._pending += _HEADER.pack(SPOOLED, 0, _SPAN.size, 0.0) + _SPAN.pack(
                self._announced, end - self._announced
            )
            self._announced = end
        self._pending += self._notes()
        self._lost.clear()

    # -------------------------------------------------------------- the collector's end

    def frames(self, reader: "FrameReader", data: bytes) -> Iterator[Frame]:
        """The frames that `data`, just read from the pipe, completes; those of the spool stand in their place."""
        for frame in reader.feed(data):
            if frame.kind != SPOOLED:
                yield frame
                continue
            position, length = _SPAN.unpack(frame.data)
            yield from self._spooled(position, length)

    def rest(self) -> Iterator[Frame]:
        """What a relay that was killed had put into the spool without saying so."""
        position, end = self.counters.get("spool_read"), self.counters.get("spool_end")
        if end > position:
            yield from self._spooled(position, end - position)

    def _spooled(self, position: int, length: int) -> Iterator[Frame]:
        reader = FrameReader()
        for data in self.spool.read(position, length):
            yield from reader.feed(data)
            position += len(data)
            self.counters.set("spool_read", position)


class FrameReader:
    """Bytes in any cuts -> frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete."""
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        view = memoryview(buffer)
        while size - at >= _HEADER.size:
            kind, stream, length, time = _HEADER.unpack_from(buffer, at)
            end = at + _HEADER.size + length
            if end > size:
                break
            yield Frame(kind, stream, time, view[at + _HEADER.size : end])
            at = end
        self._buffer = buffer[at:]
