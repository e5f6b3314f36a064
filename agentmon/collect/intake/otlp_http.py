"""HTTP/1.1 as OTLP exporters speak it: bytes of one connection in, requests out. No I/O.

Strict and small: POST with a length or chunked, nothing else. Whatever the bytes, nothing is raised; a peer that does
not keep to the protocol gets one status and is closed. Limits are in bytes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MAX_HEAD = 16 << 10
MAX_BODY = 16 << 20
_MAX_CHUNK_LINE = 256

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,2048}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_SINGLE = frozenset({"host", "content-length", "transfer-encoding", "content-type", "content-encoding", "expect"})
REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type", 417: "Expectation Failed",
    431: "Request Header Fields Too Large", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. fields: names in lower case; path: without what follows a `?`."""

    method: str
    path: str
    fields: Mapping[str, str]
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; the body is as sent (perhaps compressed), without its chunks."""

    head: Head
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to answer before closing; nothing more is read from this peer."""

    status: int


@dataclass(frozen=True, slots=True)
class Continue:
    """The peer waits for `100 Continue` before it sends the body."""


Step = Request | Refusal | Continue


class Connection:
    """One peer. check: the status for a head that is not wanted (before its body is read), or None."""

    def __init__(self, check: Callable[[Head], int | None] = lambda head: None, max_body: int = MAX_BODY) -> None:
        self._check, self._max_body = check, max_body
        self._buffer = bytearray()
        self._body = bytearray()
        self._head: Head | None = None
        self._length: int | None = None  # of what is left of the body or the chunk; None: a chunk's size comes next
        self._chunked = self._trailer = False
        self.refused = False

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._buffer) + len(self._body)

    @property
    def amid(self) -> bool:
        """Whether part of a request is here."""
        return self._head is not None or bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Step]:
        """The steps that these bytes complete; consume them all."""
        if self.refused:
            return
        self._buffer += data
        while (step := self._next()) is not None:
            yield step
            if isinstance(step, Refusal):
                self.refused = True
                self._buffer.clear()
                self._body.clear()
                return

    def _next(self) -> Step | None:
        if self._head is None:
            return self._read_head()
        return self._read_chunks() if self._chunked else self._read_body()

    # ------------------------------------------------------------------ head

    def _read_head(self) -> Step | None:
        while self._buffer[:2] == b"\r\n":  # what some clients send after a body
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            return Refusal(431) if len(self._buffer) >= MAX_HEAD else None
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        line = _REQUEST_LINE.fullmatch(lines[0])
        if line is None:
            return Refusal(400)
        fields: dict[str, str] = {}
        for text in lines[1:]:
            match = _FIELD.fullmatch(text)
            if match is None:
                return Refusal(400)
            name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
            if name in fields and name in _SINGLE:
                return Refusal(400)
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return self._begin(line[1].decode("ascii"), line[2].decode("ascii"), line[3] == b"1", fields)

    def _begin(self, method: str, target: str, current: bool, fields: Mapping[str, str]) -> Step | None:
        close = [word.strip().lower() for word in fields.get("connection", "").split(",")]
        keep = "close" not in close if current else "keep-alive" in close
        path = re.sub(r"\Ahttps?://[^/?#]*", "", target).partition("?")[0]
        head = Head(method, path, fields, keep)
        status = self._check(head)
        if status is not None:
            return Refusal(status)
        coding, length = fields.get("transfer-encoding"), fields.get("content-length")
        self._chunked = coding is not None
        if coding is not None:
            if coding.lower() != "chunked" or not current:
                return Refusal(501)
            if length is not None:  # two readings of one message
                return Refusal(400)
            self._length = None
        else:
            if length is None:
                return Refusal(411)
            if not (length.isascii() and length.isdigit() and len(length) <= 12):
                return Refusal(400)
            self._length = int(length)
            if self._length > self._max_body:
                return Refusal(413)
        self._head = head
        if "expect" in fields:
            if fields["expect"].lower() != "100-continue":
                return Refusal(417)
            if not self._buffer:
                return Continue()
        return self._next()

    # ------------------------------------------------------------------ body

    def _read_body(self) -> Step | None:
        assert self._length is not None
        if len(self._buffer) < self._length:
            return None
        self._body += self._buffer[: self._length]
        del self._buffer[: self._length]
        return self._done()

    def _read_chunks(self) -> Step | None:
        while True:
            if self._trailer:
                return self._read_trailer()
            if self._length is None:
                end = self._buffer.find(b"\r\n", 0, _MAX_CHUNK_LINE)
                if end < 0:
                    return Refusal(400) if len(self._buffer) >= _MAX_CHUNK_LINE else None
                size = _CHUNK_LINE.fullmatch(bytes(self._buffer[:end]))
                if size is None:
                    return Refusal(400)
                del self._buffer[: end + 2]
                self._length = int(size[1], 16)
                if self._length + len(self._body) > self._max_body:
                    return Refusal(413)
                if self._length == 0:
                    self._trailer = True
                    continue
            if len(self._buffer) < self._length + 2:
                return None
            if self._buffer[self._length : self._length + 2] != b"\r\n":
                return Refusal(400)
            self._body += self._buffer[: self._length]
            del self._buffer[: self._length + 2]
            self._length = None

    def _read_trailer(self) -> Step | None:
        while (end := self._buffer.find(b"\r\n", 0, MAX_HEAD)) > 0:
            del self._buffer[: end + 2]
        if end == 0:
            del self._buffer[:2]
            return self._done()
        return Refusal(431) if len(self._buffer) >= MAX_HEAD else None

    def _done(self) -> Request:
        assert self._head is not None
        request = Request(self._head, bytes(self._body))
        self._body.clear()
        self._head, self._length, self._chunked, self._trailer = None, None, False, False
        return request


def reply(status: int, content_type: str = "application/json", *, close: bool) -> bytes:
    """A whole answer: an empty result in the format that was sent, or an empty body beside an error."""
    body = b"{}" if status == 200 and content_type == "application/json" else b""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {len(body)}"]
    if status == 200:
        lines.append(f"Content-Type: {content_type}")
    if status == 503:
        lines.append("Retry-After: 1")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
