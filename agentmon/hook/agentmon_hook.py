"""Watches the replies of LLM endpoints inside a Python program, and appends one line per call to a file.

Passive: the program reads its replies as ever; what passes is looked at, only what can hold usage is kept, and every
step of ours is guarded. No threads, no locks, no dependencies, nothing read ahead. Python 3.9 and newer.

Seen with httpx 0.23 to 0.28, httpx2 2.16, aiohttp 3.8 to 3.14, urllib3 1.26 to 2.8 (requests, botocore), and the
dialects of Anthropic, OpenAI (chat, completions, responses, embeddings, audio, images), Gemini, Bedrock, Ollama and
Cohere.

A line is a JSON object: ts (Unix seconds at the end of the call), pid, ppid, process, host (with its port), dialect,
model, usage (as the API sent it; null where it sent none), id, status, error, duration_s, time_to_first_token_s
(seconds, streams only), streamed, complete (false: the reply was not read to its usage), client; again (true) for the
reply of a call that was made before.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

FILE_VARIABLE = "AGENTMON_SDK_FILE"
KEPT = 512 << 10  # bytes of a body or a line that are held whole; what is longer goes through a scanner
VALUE = 32 << 10  # bytes of a single value that the scanner holds
INFLATED = 1 << 20  # bytes that one step of decoding may give
MODEL_LENGTH = 200

Record = dict[str, Any]
Listener = Callable[[Record], object]


# ---------------------------------------------------------------------------------------------------- endpoints

_ENDPOINTS = re.compile(
    r"(?P<anthropic>/messages)$"
    r"|(?P<chat>/chat/completions)$"
    r"|(?P<completions>/completions)$"
    r"|(?P<responses>/responses(?:/compact)?)$"
    r"|(?P<embeddings>/embeddings)$"
    r"|/models/(?P<gemini_model>[^/]+):(?P<gemini>(?:streamG|g)enerateContent|embedContent|batchEmbedContents"
    r"|(?:streamR|r)awPredict)$"
    r"|/model/(?P<bedrock_model>[^/]+)/(?P<bedrock>converse|converse-stream|invoke|invoke-with-response-stream)$"
    r"|(?P<interactions>/v\d[a-z0-9]*/interactions)$"
    r"|(?P<ollama>/api/(?:chat|generate|embed|embeddings))$"
    r"|(?P<cohere>/v[12]/(?:chat|embed|rerank))$"
    r"|(?P<media>/(?:audio/(?:transcriptions|translations|speech)|images/(?:generations|edits)))$"
)
_MADE_BEFORE = re.compile(r"/(?P<dialect>responses|interactions)/[^/]+$")  # asked for again: it worked in background
_DIALECTS = ("anthropic", "chat", "completions", "responses", "embeddings", "gemini", "bedrock", "interactions",
             "ollama", "cohere", "media")  # fmt: skip
_SURE = re.compile(r"/v\d[a-z0-9]*/[^/]+$|/openai/|/deployments/")


class Endpoint:
    """What a request's path tells. weak: other services have such paths too, so the reply must show what it is; again:
    it asks for the reply of a call that was made before."""

    __slots__ = ("again", "dialect", "model", "streams", "weak")

    def __init__(self, dialect: str, model: str | None, weak: bool, streams: bool, again: bool = False) -> None:
        self.dialect, self.model, self.weak, self.streams, self.again = dialect, model, weak, streams, again


def endpoint(method: Any, path: str, headers: Any = None) -> Endpoint | None:
    """The LLM endpoint that a request goes to, None for any other request."""
    method = _text(method).upper()
    if method not in ("POST", "GET"):
        return None
    path = path.partition("?")[0].rstrip("/")
    if method == "GET":
        made = _MADE_BEFORE.search(path)
        return None if made is None else Endpoint(made.group("dialect"), None, weak=True, streams=False, again=True)
    match = _ENDPOINTS.search(path)
    if match is None:
        return None
    found = match.groupdict()
    dialect = next(name for name in _DIALECTS if found[name])
    model = found["gemini_model"] or found["bedrock_model"]
    weak = dialect in ("ollama", "cohere", "media")  # (of the last, some models count seconds or pictures)
    if dialect == "anthropic":  # many services have messages
        weak = not path.endswith("/v1/messages") and not _header(headers, "anthropic-version")
        if weak or "/threads/" in path:
            return None
    elif dialect in ("completions", "responses", "embeddings"):
        weak = not _SURE.search(path)
    if dialect == "bedrock" and model:
        from urllib.parse import unquote

        model = unquote(model)
    word = found["gemini"] or found["bedrock"] or ""
    if word.endswith(("Content", "Contents")) and "mbed" in word:
        dialect = "embeddings"
    elif word.endswith("awPredict"):
        dialect = "anthropic"
    return Endpoint(dialect, model, weak, "stream" in word)


def _header(headers: Any, name: str) -> str:
    try:
        value = headers.get(name)
        if value is None and isinstance(headers, dict):
            value = next((v for k, v in headers.items() if _text(k).lower() == name), None)
    except Exception:
        return ""
    return "" if value is None else _text(value)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else str(value)


# ---------------------------------------------------------------------------------------------------- JSON, bounded

_WANTED = frozenset(
    ("usage", "usageMetadata", "usage_metadata", "model", "modelVersion", "id", "responseId", "type", "object", "done",
     "prompt_eval_count", "eval_count", "x_groq", "meta", "amazon-bedrock-invocationMetrics", "error")
)  # fmt: skip
_INNER = frozenset(("response", "message", "interaction"))
_INNER_WANTED = frozenset(("usage", "usageMetadata", "model", "modelVersion", "id", "responseId"))
_DEEP = re.compile(rb'["{}\[\]]')
_SHALLOW = re.compile(rb'["{}\[\],:]')
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)


def pick(document: Any) -> Record:
    """Of a parsed reply, or a part of one: what can tell model, id and usage."""
    found: Record = {}
    for part in document if isinstance(document, list) else (document,):
        if not isinstance(part, dict):
            continue
        for key in _WANTED.intersection(part):
            found[key] = part[key]
        for name in _INNER.intersection(part):
            inner = part[name]
            if isinstance(inner, dict):
                for key in _INNER_WANTED.intersection(inner):
                    if found.get(key) is None:
                        found[key] = inner[key]
        choices = part.get("choices")
        if isinstance(choices, list):
            found["choices"] = bool(choices)
            if choices:
                found["finished"] = all(isinstance(one, dict) and one.get("finish_reason") for one in choices)
        candidates = part.get("candidates")
        if isinstance(candidates, list) and candidates:
            found["finished"] = all(isinstance(one, dict) and one.get("finishReason") for one in candidates)
    return found


class Scanner:
    """The same as `pick`, of JSON in pieces and of any size: what is not wanted is passed over."""

    def __init__(self) -> None:
        self.found: Record = {}
        self._depth = 0
        self._base = 1  # depth of the objects that count: 2 in a list of them
        self._objects = [False]  # per depth: whether it is an object
        self._inner = ""
        self._in_string = self._escaped = False
        self._string: bytearray | None = None
        self._last = ""
        self._key = ""
        self._value: bytearray | None = None
        self._value_depth = 0

    @property
    def closed(self) -> bool:
        """Whether the document is whole."""
        return self._depth == 0 and not self._in_string

    def feed(self, data: bytes) -> None:
        """The next piece."""
        at, end = 0, len(data)
        while at < end:
            if self._in_string:
                at = self._through_string(data, at, end)
                continue
            match = (_SHALLOW if self._depth <= self._base + 1 else _DEEP).search(data, at)
            stop = end if match is None else match.start()
            self._keep(data, at, stop)
            if match is None:
                return
            self._mark(data[stop : stop + 1])
            at = stop + 1

    def _through_string(self, data: bytes, at: int, end: int) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(data, at, at + 1)
            return at + 1
        match = _IN_STRING.match(data, at)
        stop = at if match is None else match.end()
        closed = stop < end and data[stop : stop + 1] == b'"'
        self._escaped = stop < end and not closed  # a backslash is the last byte of this piece
        string = self._string
        if string is not None and len(string) <= 64:
            string += data[at:stop]
        if closed:
            self._in_string = False
            self._last = "" if string is None or len(string) > 64 else string.decode("utf-8", "replace")
            self._string = None
        stop = stop + 1 if closed else end
        self._keep(data, at, stop)
        return stop

    def _keep(self, data: bytes, start: int, stop: int) -> None:
        value = self._value
        if value is not None:
            if len(value) + stop - start > VALUE:
                self._value = None
            else:
                value += data[start:stop]

    def _mark(self, mark: bytes) -> None:
        depth = self._depth
        if mark == b'"':
            self._in_string = True
            self._string = bytearray() if self._value is None and depth <= self._base + 1 else None
        elif mark == b":":
            if self._value is None and self._objects[min(depth, len(self._objects) - 1)]:
                self._key = self._last
                wanted = (depth == self._base and self._key in _WANTED) or (
                    depth == self._base + 1 and self._inner in _INNER and self._key in _INNER_WANTED
                )
                if wanted:
                    self._value, self._value_depth = bytearray(), depth
                    return
        elif mark in b"{[":
            if depth == 0 and mark == b"[":
                self._base = 2
            if depth == self._base:
                self._inner = self._key
            self._depth = depth + 1
            del self._objects[depth + 1 :]
            if depth < 8:
                self._objects.append(mark == b"{")
        else:
            if self._value is not None and depth == self._value_depth:
                self._done()  # a comma or a closing bracket ends the value
            if mark in b"}]":
                self._depth = max(0, depth - 1)
                if self._depth <= self._base:
                    self._inner = ""
        self._keep(mark, 0, 1)

    def _done(self) -> None:
        value, self._value = self._value, None
        try:
            parsed = json.loads(value or b"null")
        except ValueError:
            return
        if self._value_depth == self._base or self.found.get(self._key) is None:
            self.found[self._key] = parsed


class Document:
    """One JSON document in pieces, of which little is held."""

    def __init__(self) -> None:
        self.whole = False  # as `read` found it
        self._held = bytearray()
        self._scanner: Scanner | None = None

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._scanner is not None:
            self._scanner.feed(data)
            return
        self._held += data
        if len(self._held) > KEPT:
            self._scanner = Scanner()
            self._scanner.feed(bytes(self._held))
            self._held = bytearray()

    def read(self) -> Record:
        """What it tells, even if it is not whole."""
        if self._scanner is None:
            try:
                found = pick(json.loads(self._held))
                self.whole = True
                return found
            except (ValueError, RecursionError):
                self._scanner = Scanner()
                self._scanner.feed(bytes(self._held))
        self.whole = self._scanner.closed
        return self._scanner.found


# ---------------------------------------------------------------------------------------------------- bodies

_EOL = re.compile(rb"[\r\n]+")
_HOT = re.compile(
    rb'"(?:usage|usageMetadata|usage_metadata|amazon-bedrock-invocationMetrics|x_groq|meta)"\s*:\s*\{'
    rb'|"(?:prompt_eval_count|eval_count)"|"message_stop"|"response\.(?:completed|incomplete|failed|done)"'
    rb'|"interaction\.complete'
)
_TOKEN = {  # what begins to tell the answer; in the other dialects the first event does
    "anthropic": re.compile(rb'"content_block_'), "responses": re.compile(rb'\.delta"|"response\.output_item'),
}  # fmt: skip
_ANYTHING = re.compile(rb".")


def _may_tell(line: bytes) -> bool:
    """Whether an event may hold usage, or end a reply. Most do not: what decides that must be fast."""
    if b"sage" in line:  # usage, usageMetadata, message_stop
        if line.count(b"sage") == 1 and (b'"usage":null' in line or b'"usage": null' in line):
            return False
        return _HOT.search(line) is not None
    return b"eval_count" in line or b'"meta"' in line or b'"response":' in line or b"interaction.complete" in line


_CLOSING = frozenset(("message_stop", "response.completed", "response.incomplete", "response.failed", "response.done",
                      "interaction.complete", "interaction.completed", "transcript.text.done", "speech.audio.done",
                      "image_generation.completed", "image_edit.completed"))  # fmt: skip
_LOOKED_AT = 6  # lines of a stream that are parsed for their model, if they tell no usage


class Lines:
    """Server-sent events, or lines of JSON."""

    def __init__(self, call: Call, prefix: bytes) -> None:
        self._call, self._prefix = call, prefix
        self._rest = b""
        self._long: Document | None = None
        self._looked = 0

    def feed(self, data: bytes) -> None:
        """The next piece."""
        first, *lines = _EOL.split(data)
        if self._long is not None:
            self._long.feed(first)
            if not lines:
                return
            self._call.take(self._long.read())
            self._long = None
        elif not lines:
            self._keep(self._rest + first)
            return
        else:
            self._line(self._rest + first)
        self._rest = b""
        for line in lines[:-1]:
            self._line(line)
        self._keep(lines[-1])

    def _keep(self, rest: bytes) -> None:
        self._rest = rest
        if len(rest) > KEPT:
            self._rest = b""
            self._long = Document()
            self._long.feed(rest[len(self._prefix) :] if rest.startswith(self._prefix) else b"")

    def _line(self, line: bytes) -> None:
        if not line.startswith(self._prefix):
            return
        line = line[len(self._prefix) :].strip()
        call = self._call
        if line == b"[DONE]":
            call.complete = True
            call.end()
            return
        if call.first is None and _TOKEN.get(call.dialect, _ANYTHING).search(line):
            call.first = time.monotonic()
        if not _may_tell(line):
            if call.model is not None and call.id is not None:
                return
            self._looked += 1
            if self._looked > _LOOKED_AT:
                return
        try:
            call.take(pick(json.loads(line)))
        except (ValueError, RecursionError):
            return

    def end(self) -> None:
        """No more will come."""
        if self._long is not None:
            self._call.take(self._long.read())
        elif self._rest:
            self._line(self._rest)
        self._rest, self._long = b"", None


class Frames:
    """AWS event-stream: frames with a checksum, whose payload is JSON (or JSON in base64)."""

    LARGEST = 1 << 24

    def __init__(self, call: Call) -> None:
        self._call = call
        self._held = bytearray()
        self._skip = 0
        self._broken = False

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._broken:
            return
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._held += data
        held = self._held
        while len(held) >= 12:
            size = int.from_bytes(held[:4], "big")
            headers = int.from_bytes(held[4:8], "big")
            if size < 16 or headers > size - 16 or size > self.LARGEST:
                self._broken = True
                self._held = bytearray()
                return
            if size > KEPT:
                self._skip = max(0, size - len(held))
                del held[:size]
                continue
            if len(held) < size:
                return
            payload = bytes(held[12 + headers : size - 4])
            del held[:size]
            self._frame(payload)

    def _frame(self, payload: bytes) -> None:
        call = self._call
        if call.first is None:
            call.first = time.monotonic()
        try:
            document = json.loads(payload)
            if isinstance(document, dict) and isinstance(document.get("bytes"), str):
                from binascii import a2b_base64

                document = json.loads(a2b_base64(document["bytes"]))
            call.take(pick(document))
        except (ValueError, RecursionError):
            return

    def end(self) -> None:
        """No more will come."""
        self._held = bytearray()


class Whole:
    """One JSON document, or a list of them (Gemini's streams without SSE)."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._document = Document()

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._call.streamed and self._call.first is None:
            self._call.first = time.monotonic()
        self._document.feed(data)

    def end(self) -> None:
        """No more will come."""
        self._call.take(self._document.read())
        self._call.complete = self._call.complete or self._document.whole


class Unknown:
    """A body that is recognised by how it begins."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._body: Any = None
        self._held = b""

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._body is None:
            self._held = begin = (self._held + data).lstrip()
            if not begin:
                return
            if begin[:1] in b"{[":
                self._body = Whole(self._call)
            else:
                self._call.streamed = True
                self._body = Lines(self._call, b"data:")
            data, self._held = begin, b""
        self._body.feed(data)

    def end(self) -> None:
        """No more will come."""
        if self._body is not None:
            self._body.end()


# ---------------------------------------------------------------------------------------------------- codings


class Decoder:
    """Takes a content coding off a copy. None from `decode`: it cannot be done here."""

    def __init__(self, coding: str) -> None:
        self._step: Callable[[bytes], Any] | None = None
        self._inflate: Any = None
        self._either = coding == "deflate"  # with zlib's head or, against the letter of the standard, without
        if coding in ("gzip", "x-gzip"):
            self._inflate = zlib.decompressobj(31)
        elif coding == "deflate":
            self._inflate = zlib.decompressobj()
        elif coding == "br":
            module: Any = sys.modules.get("brotlicffi") or sys.modules.get("brotli")
            if module is not None:
                made = module.Decompressor()
                self._step = getattr(made, "decompress", None) or made.process
        elif coding == "zstd":
            for name in ("compression.zstd", "backports.zstd"):
                if name in sys.modules:
                    self._step = sys.modules[name].ZstdDecompressor().decompress
            if self._step is None and "zstandard" in sys.modules:
                self._step = sys.modules["zstandard"].ZstdDecompressor().decompressobj().decompress

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What this piece gives. Raises what the decoders raise."""
        if self._step is not None:
            yield self._step(data)
            return
        inflate = self._inflate
        while inflate is not None and data:
            try:
                piece = inflate.decompress(data, INFLATED)
            except zlib.error:
                if not self._either:
                    raise
                inflate = self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                piece = inflate.decompress(data, INFLATED)
            self._either = False
            yield piece
            data = inflate.unconsumed_tail
            if inflate.eof and inflate.unused_data:  # a body may be several gzip members
                data = inflate.unused_data
                inflate = self._inflate = zlib.decompressobj(31)


# ---------------------------------------------------------------------------------------------------- one call

_open_calls: set[Call] = set()


class Call:
    """One request to an LLM endpoint, from its start to the line that tells of it."""

    def __init__(self, where: Endpoint, host: str, client: str, body: Any = None) -> None:
        self.dialect, self._weak, self.streamed, self._again = where.dialect, where.weak, where.streams, where.again
        self.model: str | None = None
        self._asked_model, self._body_sent = where.model, body
        self._host, self._client = host, client
        self.id: str | None = None
        self.usage: Record | None = None
        self.status: int | None = None
        self.error: str | None = None
        self.complete = False
        self.first: float | None = None
        self.over = False
        self.listeners: list[Listener] = []
        self.silent = False  # not to the file: only the listeners want it
        self.record: Record | None = None
        self._start = time.monotonic()
        self._pid = os.getpid()
        self._once = [True]
        self._body: Any = None
        self._decoder: Decoder | None = None
        self._left: int | None = None

    # ---------------------------------------------------------------- what the client saw

    def answered(self, status: int, headers: Any, *, decoded: bool = False) -> bool:
        """The head of the reply. decoded: whether the body will come without its coding. True: watch the body."""
        self.status = int(status)
        kind = _header(headers, "content-type").partition(";")[0].strip().lower()
        self._counted_by_header(headers)
        if (
            300 <= self.status < 400
            or kind == "text/html"
            or kind.startswith("audio/")
            or (self.status >= 400 and self._weak)
        ):
            self.over = True
            return False
        if self.status >= 400:
            self.complete = True
            self.id = None
            self.end()
            return False
        coding = "" if decoded else _header(headers, "content-encoding").strip().lower()
        if coding and coding != "identity":
            self._decoder = Decoder(coding)
        length = _header(headers, "content-length")
        self._left = (
            int(length) if length.isdigit() and not (decoded and _header(headers, "content-encoding")) else None
        )
        if kind == "text/event-stream":
            self.streamed = True
            self._body = Lines(self, b"data:")
        elif kind == "application/vnd.amazon.eventstream":
            self.streamed = True
            self._body = Frames(self)
        elif kind in ("application/x-ndjson", "application/jsonl", "application/stream+json"):
            self.streamed = True
            self._body = Lines(self, b"")
        else:
            self._body = Unknown(self)
        _open_calls.add(self)
        return True

    def feed(self, data: Any) -> None:
        """A piece of the body that the program reads now. Never raises."""
        if self.over or not data:
            return
        try:
            data = bytes(data)
            if self._decoder is None:
                self._body.feed(data)
            else:
                for piece in self._decoder.decode(data):
                    if piece:
                        self._body.feed(piece)
            if self._left is not None:
                self._left -= len(data)
                if self._left <= 0:
                    self.end(complete=True)
        except Exception:
            self._decoder = Decoder("")
            self._body = Whole(self)

    def take(self, found: Record) -> None:
        """What a part of the reply tells."""
        if not found:
            return
        model = found.get("model") or found.get("modelVersion")
        if isinstance(model, str) and model:
            self.model = model[:MODEL_LENGTH]
        name = found.get("id") or found.get("responseId")
        if isinstance(name, str) and name and self.id is None:
            self.id = name[:MODEL_LENGTH]
        kind = found.get("type")
        if not isinstance(kind, str):
            kind = None
        usage = _usage(found, self.usage)
        if usage is not None:
            if self.dialect in ("anthropic", "bedrock") and self.usage is not None:
                usage = {**self.usage, **{key: value for key, value in usage.items() if value is not None}}
            self.usage = usage
            told_last = kind in ("message_delta", *_CLOSING) or found.get("finished") is True
            if told_last or (self.dialect == "bedrock" and kind is None):
                self.complete = True
        if (
            kind in _CLOSING
            or (self.streamed and self.dialect == "bedrock" and kind is None and usage is not None)
            or (found.get("done") is True and usage is not None)
        ) or (usage is not None and self.streamed and found.get("choices") is False):
            self.complete = True
            self.end()

    def failed(self, error: BaseException) -> None:
        """The client raised instead of giving a reply. Never raises."""
        try:
            name = type(error).__name__
            if name.startswith(("Connect", "NewConnection", "Pool", "ClientConnector", "MaxRetry", "InvalidURL")):
                self.over = True  # nothing was sent
                return
            status = getattr(error, "status", None)
            self.status = status if isinstance(status, int) and status > 0 else None
            self.error = name
            if not self._weak:
                self.end()
        except Exception:
            return

    def end(self, complete: bool = False) -> None:
        """Tell of the call, if that was not done. complete: the program has read all of the reply. Never raises."""
        try:
            self._once.pop()
        except IndexError:
            return
        try:
            self.over = True
            _open_calls.discard(self)
            if self._body is not None:
                self._body.end()
            self.complete = self.complete or complete
            if self._pid != os.getpid():  # a fork has its parent's calls in memory
                return
            if self._weak and (self.usage is None or "seconds" in self.usage):
                return
            self.record = self._record()
            if not self.silent:
                append(self.record)
            for listener in self.listeners:
                try:
                    listener(self.record)
                except Exception:
                    continue
        except Exception:
            return
        finally:
            self._body = self._decoder = self._body_sent = None

    # ---------------------------------------------------------------- the line

    def _record(self) -> Record:
        now = time.monotonic()
        return {
            "v": 1, "ts": round(time.time(), 6), "pid": self._pid, "ppid": os.getppid(), "process": process_name(),
            "host": self._host[:MODEL_LENGTH], "dialect": self.dialect,
            "model": self.model or self._asked_model or _model_of(self._body_sent), "usage": self.usage, "id": self.id,
            "status": self.status, "error": self.error, "duration_s": round(now - self._start, 6),
            "time_to_first_token_s": round(self.first - self._start, 6) if self.first and self.streamed else None,
            "streamed": self.streamed, "complete": self.complete, "client": self._client,
            **({"again": True} if self._again else {}),
        }  # fmt: skip

    def _counted_by_header(self, headers: Any) -> None:
        """Bedrock tells an invocation's counts in headers, and its id."""
        if self.dialect != "bedrock":
            return
        given, made = (
            _header(headers, "x-amzn-bedrock-input-token-count"),
            _header(headers, "x-amzn-bedrock-output-token-count"),
        )
        if given.isdigit() and made.isdigit():
            self.usage = {"inputTokens": int(given), "outputTokens": int(made)}
        self.id = _header(headers, "x-amzn-requestid")[:MODEL_LENGTH] or None


def _usage(found: Record, known: Record | None) -> Record | None:
    """The usage mapping in what was picked. known: what was picked before."""
    for key in ("usage", "usageMetadata", "usage_metadata"):
        usage = found.get(key)
        if isinstance(usage, dict) and usage:
            return usage
    metrics = found.get("amazon-bedrock-invocationMetrics")
    if isinstance(metrics, dict) and known is None:
        given, made = metrics.get("inputTokenCount"), metrics.get("outputTokenCount")
        return {"inputTokens": given, "outputTokens": made}
    groq = found.get("x_groq")
    if isinstance(groq, dict) and isinstance(groq.get("usage"), dict):
        return groq["usage"]  # type: ignore[no-any-return]
    if "prompt_eval_count" in found or "eval_count" in found:
        return {key: found[key] for key in ("prompt_eval_count", "eval_count") if key in found}
    meta = found.get("meta")
    if isinstance(meta, dict):
        for key in ("tokens", "billed_units"):
            if isinstance(meta.get(key), dict) and "input_tokens" in meta[key]:
                return meta[key]  # type: ignore[no-any-return]
    return None


_ASKED = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


def _model_of(body: Any) -> str | None:
    """The model that a request asked for; a mapping or JSON, of which only both ends are looked at."""
    try:
        if isinstance(body, dict):
            model = body.get("model")
            return model[:MODEL_LENGTH] if isinstance(model, str) else None
        if isinstance(body, str):
            body = body.encode("utf-8", "replace")
        if isinstance(body, (bytes, bytearray)):
            if len(body) <= KEPT:
                document = json.loads(body)
                model = document.get("model") if isinstance(document, dict) else None
                return model[:MODEL_LENGTH] if isinstance(model, str) else None
            match = _ASKED.search(body[:512]) or _ASKED.search(body[-512:])
            return match.group(1).decode("utf-8", "replace") if match else None
    except Exception:
        return None
    return None


def process_name() -> str:
    """What this process runs: the name of its script or module."""
    arguments = getattr(sys, "argv", None) or [""]
    parts = str(arguments[0]).replace("\\", "/").split("/")
    if parts[-1] == "__main__.py" and len(parts) > 1:
        parts.pop()
    return parts[-1][:MODEL_LENGTH] or "python"


def append(record: Record) -> None:
    """One line to the file that the environment names; it is not made if it is not there (the run is over)."""
    path = os.environ.get(FILE_VARIABLE) or _path
    if not path:
        return
    line = json.dumps(record, default=str).encode()
    if len(line) > VALUE:
        usage = record.get("usage") or {}
        flat = {key[:64]: value for key, value in list(usage.items())[:64] if isinstance(value, (int, float))}
        line = json.dumps({**record, "usage": flat}, default=str).encode()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, line + b"\n")
    finally:
        os.close(fd)


_path = os.environ.get(FILE_VARIABLE)  # programs may clear their environment


def _rest() -> None:
    """The program ends: calls that it has not read to their end."""
    try:
        for call in list(_open_calls):
            call.end()
    except Exception:  # (a thread goes on)
        return


atexit.register(_rest)


# ---------------------------------------------------------------------------------------------------- clients

_MARK = "_agentmon_original"
patched: set[str] = set()  # names of the clients that are watched


def patch(module: ModuleType) -> None:
    """Watch a client module that the program has imported. Never raises."""
    try:
        _PATCHES[module.__name__](module)
        patched.add(module.__name__)
    except Exception:  # a version that we do not know: not watched
        return


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> bool:
    """Put `make(original)` in the place of an attribute, once."""
    original = owner.__dict__.get(name)
    if original is None or hasattr(original, _MARK):
        return False
    made = make(original)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
        try:
            setattr(made, attribute, getattr(original, attribute))
        except Exception:
            continue
    made.__wrapped__ = original
    setattr(made, _MARK, original)
    setattr(owner, name, made)
    return True


# ---------------------------------------------------------------- httpx


def patch_httpx(module: Any) -> None:
    """Watch httpx or httpx2: their transports, below retries, redirects and decoding."""
    watched, awatched = streams(module)

    def sync(original: Any) -> Any:
        def handle_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call = begin(request, module.__name__)
            if call is None:
                return original(self, request, *args, **kwargs)
            try:
                response = original(self, request, *args, **kwargs)
            except BaseException as error:
                fail(call, error)
                raise
            attach(call, response, watched)
            return response

        return handle_request

    def asynchronous(original: Any) -> Any:
        async def handle_async_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call = begin(request, module.__name__)
            if call is None:
                return await original(self, request, *args, **kwargs)
            try:
                response = await original(self, request, *args, **kwargs)
            except BaseException as error:
                fail(call, error)
                raise
            attach(call, response, awatched)
            return response

        return handle_async_request

    _replace(module.HTTPTransport, "handle_request", sync)
    _replace(module.AsyncHTTPTransport, "handle_async_request", asynchronous)


def begin(request: Any, client: str) -> Call | None:
    """A call, if this httpx request is one. Never raises."""
    try:
        url = request.url
        where = endpoint(request.method, url.raw_path.decode("latin-1"), request.headers)
        if where is None:
            return None
        host = url.host if url.port is None else f"{url.host}:{url.port}"
        body = getattr(request, "_content", None)
        if body is None and where.dialect == "media":  # a form
            fields = {field.name: field.value for field in request.stream.fields if hasattr(field, "value")}
            body = {"model": _text(fields["model"])} if "model" in fields else None
        return Call(where, host, client, body)
    except Exception:
        return None


def fail(call: Call, error: BaseException) -> None:
    """The transport raised. The error carries the record, for listeners above."""
    call.failed(error)
    try:
        if call.record is not None:
            error.__dict__["_agentmon_record"] = call.record
    except Exception:  # an exception without room for it
        return


def attach(call: Call, response: Any, stream_class: Any) -> None:
    """Watch the body of an httpx reply. Never raises."""
    try:
        if call.answered(response.status_code, response.headers):
            response.stream = stream_class(response.stream, call)
        else:
            response._agentmon_record = call.record
    except Exception:
        return


_stream_classes: dict[str, tuple[Any, Any]] = {}


def streams(module: Any) -> tuple[Any, Any]:
    """The byte streams, sync and async, that stand in for those of this httpx."""
    name = module.__name__
    if name not in _stream_classes:
        _stream_classes[name] = _make_streams(module)
    return _stream_classes[name]


class _Pieces:
    """Iterates over a body as the program does, and ends with it."""

    __slots__ = ("_call", "_pieces")

    def __init__(self, pieces: Iterator[bytes], call: Call) -> None:
        self._pieces, self._call = pieces, call

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._call.end(complete=True)
            raise
        self._call.feed(piece)
        return piece


class _AsyncPieces:
    """The same, for async programs."""

    __slots__ = ("_call", "_pieces")

    def __init__(self, pieces: AsyncIterator[bytes], call: Call) -> None:
        self._pieces, self._call = pieces, call

    def __aiter__(self) -> _AsyncPieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._pieces.__anext__()
        except StopAsyncIteration:
            self._call.end(complete=True)
            raise
        self._call.feed(piece)
        return piece


def _make_streams(module: Any) -> tuple[Any, Any]:
    class Common:
        def __init__(self, stream: Any, call: Call) -> None:
            self._stream, self.call = stream, call

        def __getattr__(self, name: str) -> Any:
            if name in ("_stream", "call"):
                raise AttributeError(name)
            return getattr(self._stream, name)

        def __del__(self) -> None:
            try:
                self.call.end()
            except Exception:  # (half made)
                return

    class Watched(Common, module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            return _Pieces(iter(self._stream), self.call)

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self.call.end()

    class AsyncWatched(Common, module.AsyncByteStream):  # type: ignore[misc]
        def __aiter__(self) -> AsyncIterator[bytes]:
            return _AsyncPieces(self._stream.__aiter__(), self.call)

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self.call.end()

    return Watched, AsyncWatched


# ---------------------------------------------------------------- aiohttp


class _Guard:
    """Lives as long as a reply does."""

    __slots__ = ("call", "content_id")

    def __init__(self, call: Call, content_id: int) -> None:
        self.call, self.content_id = call, content_id

    def __del__(self) -> None:
        _contents.pop(self.content_id, None)
        self.call.end()


# By id of the body's reader, which has slots and no room for more. An entry lives as long as the reply that holds it.
_contents: dict[int, Call] = {}


def patch_aiohttp(module: Any) -> None:
    """Watch aiohttp: what its session gets, where the body is read (decoded by then)."""

    def request(original: Any) -> Any:
        async def _request(self: Any, method: Any, str_or_url: Any, *args: Any, **kwargs: Any) -> Any:
            call = _begin_aiohttp(self, method, str_or_url, kwargs)
            if call is None:
                return await original(self, method, str_or_url, *args, **kwargs)
            try:
                response = await original(self, method, str_or_url, *args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            _attach_aiohttp(call, response, self, kwargs)
            return response

        return _request

    def chunk(original: Any) -> Any:
        def _read_nowait_chunk(self: Any, n: int) -> Any:
            data = original(self, n)
            if _contents:
                call = _contents.get(id(self))
                if call is not None:
                    call.feed(data)
                    if self._eof and not self._buffer:
                        call.end(complete=True)
            return data

        return _read_nowait_chunk

    def ends(original: Any) -> Any:
        def end(self: Any, *args: Any, **kwargs: Any) -> Any:
            guard = self.__dict__.get("_agentmon_guard")
            if guard is not None:
                guard.call.end()
            return original(self, *args, **kwargs)

        return end

    response_class = module.ClientResponse
    _replace(sys.modules["aiohttp.streams"].StreamReader, "_read_nowait_chunk", chunk)
    _replace(response_class, "close", ends)
    _replace(response_class, "release", ends)
    _replace(module.ClientSession, "_request", request)


def _begin_aiohttp(session: Any, method: Any, url: Any, kwargs: Mapping[str, Any]) -> Call | None:
    try:
        text = str(url)
        rest = text.partition("://")[2]
        host, _, path = rest.partition("/") if rest else (str(getattr(session, "_base_url", "") or ""), "", text)
        headers = kwargs.get("headers")
        where = endpoint(method, "/" + path.partition("#")[0], headers) or endpoint(
            method, "/" + path, getattr(session, "headers", None)
        )
        if where is None:
            return None
        body = kwargs.get("json")
        host = host.rpartition("@")[2].rpartition("://")[2].split("/")[0]
        return Call(where, host, "aiohttp", kwargs.get("data") if body is None else body)
    except Exception:
        return None


def _attach_aiohttp(call: Call, response: Any, session: Any, kwargs: Mapping[str, Any]) -> None:
    try:
        auto = kwargs.get("auto_decompress")
        if auto is None:
            auto = getattr(session, "_auto_decompress", True)
        if not call.answered(response.status, response.headers, decoded=bool(auto)):
            return
        content = response.content
        if response._body is not None:
            call.feed(response._body)
            call.end(complete=True)
            return

        def over() -> None:
            _ended(call, content)

        _contents[id(content)] = call
        response._agentmon_guard = _Guard(call, id(content))
        content.on_eof(over)
    except Exception:
        return


def _ended(call: Call, content: Any) -> None:
    """The network side is at its end; what is in the buffer may still be read."""
    try:
        if not content._buffer:
            call.end(complete=True)
    except Exception:
        return


# ---------------------------------------------------------------- urllib3


def patch_urllib3(module: Any) -> None:
    """Watch urllib3, and with it requests and botocore: raw pieces of the body, as they come from the connection."""

    def urlopen(original: Any) -> Any:
        def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            call = _begin_urllib3(self, method, url, args, kwargs)
            if call is None:
                return original(self, method, url, *args, **kwargs)
            try:
                response = original(self, method, url, *args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            _attach_urllib3(call, response)
            return response

        return urlopen

    def reads(original: Any) -> Any:
        def read(self: Any, *args: Any, **kwargs: Any) -> Any:
            data = original(self, *args, **kwargs)
            guard = self.__dict__.get("_agentmon_guard")
            if guard is not None and not guard.call.over:
                amount = kwargs.get("amt", args[0] if args else None)
                if data:
                    guard.call.feed(data)
                at_end = amount is None or (not data and amount != 0)
                if at_end and not kwargs.get("read1") and original.__name__ == "_fp_read":
                    guard.call.end(complete=True)
            return data

        return read

    def ends(complete: bool) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def end(self: Any, *args: Any, **kwargs: Any) -> Any:
                guard = self.__dict__.get("_agentmon_guard")
                if guard is not None:
                    whole = complete and getattr(self._original_response, "isclosed", bool)()
                    guard.call.end(complete=bool(whole))
                return original(self, *args, **kwargs)

            return end

        return make

    response_class = sys.modules["urllib3.response"].HTTPResponse
    for name in ("_fp_read", "_handle_chunk"):
        _replace(response_class, name, reads)
    _replace(response_class, "close", ends(False))
    _replace(response_class, "release_conn", ends(True))
    _replace(sys.modules["urllib3.connectionpool"].HTTPConnectionPool, "urlopen", urlopen)


def _begin_urllib3(pool: Any, method: Any, url: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    try:
        text = str(url)
        path = "/" + text.partition("://")[2].partition("/")[2] if "://" in text else text
        headers = kwargs.get("headers", args[1] if len(args) > 1 else None)
        where = endpoint(method, path.partition("#")[0], headers)
        if where is None:
            return None
        return Call(where, f"{pool.host}:{pool.port}", "urllib3", kwargs.get("body", args[0] if args else None))
    except Exception:
        return None


def _attach_urllib3(call: Call, response: Any) -> None:
    try:
        if "_agentmon_guard" in response.__dict__:  # a retry within: that call has it
            call.over = True
            return
        read = getattr(response, "_body", None)
        decoded = isinstance(read, (bytes, bytearray, str))
        response._agentmon_guard = _Guard(call, 0)
        if not call.answered(response.status, response.headers, decoded=decoded):
            return
        if isinstance(read, (bytes, bytearray)):  # preloaded
            call.feed(read)
            call.end(complete=True)
    except Exception:
        return


_PATCHES: dict[str, Callable[[Any], None]] = {
    "httpx": patch_httpx, "httpx2": patch_httpx, "aiohttp": patch_aiohttp, "urllib3": patch_urllib3,
}  # fmt: skip
