"""A small LLM server on loopback: Anthropic, OpenAI chat, responses and embeddings, Gemini, Bedrock, Ollama.

The first part of a path may hold options: `/gzip,delay/v1/messages`. They are: gzip, br, zstd (the body's coding),
fail=STATUS:NAME (an error, once per name), cut (the connection ends in mid-body), delay (20 ms before the reply).
`served` holds the truth: (dialect, n, streamed).
"""

import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import replies

DELAY_S = 0.02


class Stub(ThreadingHTTPServer):
    """Counts what it served."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.served: list[tuple[str, int, bool]] = []
        self.failed: set[str] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away as they like."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY: the pieces of a stream arrive as they are sent

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send("application/json", b'{"object": "list", "data": []}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = json.loads(body) if body.startswith(b"{") else {}
        match = re.fullmatch(r"(?:/((?:gzip|br|zstd|fail|cut|delay)[^/]*))?(/.*)", self.path)
        assert match is not None
        options = dict.fromkeys((match[1] or "").split(","), "")
        options |= dict(option.split("=") for option in options if "=" in option)
        path = match[2]
        known = {re.sub(r"\?.*", "", where): name for paths in (replies.PATHS, replies.STREAM_PATHS)
                 for name, where in paths.items()}  # fmt: skip
        dialect = known.get(path.partition("?")[0])
        if dialect is None:
            return self._send("application/json", b'{"error": {"message": "no such path"}}', 404)
        if "fail" in options:
            with self.server.lock:
                again = options["fail"] in self.server.failed
                self.server.failed.add(options["fail"])
            if not again:
                error = {"type": "error", "error": {"type": "overloaded_error", "message": "try again"}}
                return self._send(
                    "application/json", json.dumps(error).encode(), int(options["fail"][:3]), {"Retry-After": "0"}
                )
        streamed = bool(asked.get("stream")) or "stream" in path
        with self.server.lock:
            n = len(self.server.served) + 1
            self.server.served.append((dialect, n, streamed))
        if "delay" in options:
            time.sleep(DELAY_S)
        if not streamed:
            return self._send(*replies.whole(dialect, n), headers=options)
        tells = dialect != "chat" or bool((asked.get("stream_options") or {}).get("include_usage"))
        kind, pieces = replies.pieces(dialect, n, tells=tells)
        if dialect == "gemini" and "alt=sse" not in path:
            kind = "application/json"
            chunks = [piece.removeprefix(b"data: ").strip() for piece in pieces]
            pieces = [b"[", b",\r\n".join(chunks[:-1]), b",\r\n", chunks[-1], b"]"]
        return self._stream(kind, pieces, options)

    def _send(self, kind: str, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        options = headers or {}
        self.send_response(status)
        self.send_header("Content-Type", kind)
        coded = _coded(options)
        if coded is not None:
            body = coded[1](body)
            self.send_header("Content-Encoding", coded[0])
        if "Retry-After" in options:
            self.send_header("Retry-After", options["Retry-After"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if "cut" in options:
            self.wfile.write(body[:-40])
            self.close_connection = True
            return
        self.wfile.write(body)

    def _stream(self, kind: str, pieces: list[bytes], options: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        coded = _coded(options)
        if coded is not None:
            self.send_header("Content-Encoding", coded[0])
            pieces = [coded[1](b"".join(pieces))]
            pieces = [pieces[0][i : i + 50] for i in range(0, len(pieces[0]), 50)]
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i, piece in enumerate(pieces):
            if "cut" in options and i == 3:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


def _coded(options: dict[str, str]) -> tuple[str, Any] | None:
    if "gzip" in options:
        return "gzip", gzip.compress
    if "br" in options:
        import brotli

        return "br", brotli.compress
    if "zstd" in options:
        try:
            from backports.zstd import compress
        except ImportError:
            from zstandard import compress
        return "zstd", compress
    return None


@contextmanager
def serving() -> Iterator[Stub]:
    """A stub, until the block ends."""
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
