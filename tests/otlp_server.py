"""OTLP over HTTP at the far end: a server that keeps what it was sent, read by the official protobuf classes; and
before it rotel, a real OpenTelemetry collector.

    with Receiver() as receiver:
        receiver.answers["logs"] += [Answer(503, {"Retry-After": "1"})]
        ...
        receiver.spans(), receiver.points(), receiver.records()
"""

import contextlib
import gzip
import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from wrapper import until

from tests.nats_server import free_port

PATHS = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}


@dataclass
class Answer:
    """One answer out of the ordinary. drop: close the connection instead."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: bool = False


@dataclass
class Item:
    """A span, a log record, or a data point (`metric` is its metric, `form` its sum, gauge or histogram)."""

    resource: dict[str, Any]
    scope: str
    it: Any
    metric: Any = None
    form: Any = None

    @property
    def attributes(self) -> dict[str, Any]:
        return attributes(self.it.attributes)


class Receiver:
    """Listens on loopback, on the same port again after `stop` and `start`. certificate: PEM with its key, for TLS."""

    def __init__(self, port: int = 0, certificate: Path | None = None) -> None:
        self.port = port or free_port()
        self._certificate = certificate
        self.answers: dict[str, deque[Answer]] = defaultdict(deque)
        self.bodies: list[tuple[str, dict[str, str], bytes]] = []  # path, headers in lower case, inflated body
        self.refused: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._server: Any = None
        self.start()

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver._take(self, body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def __init__(self, *args: Any) -> None:
                self.open: set[socket.socket] = set()
                super().__init__(*args)

            def process_request(self, request: Any, client_address: Any) -> None:
                self.open.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                self.open.discard(request)
                super().shutdown_request(request)

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """As if the process was killed: the port is closed, and connections with it."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            for connection in list(server.open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        encoding = headers.get("content-encoding")
        body = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body) if encoding == "deflate" else body
        path = handler.path
        name = PATHS.get(path, next((PATHS[known] for known in PATHS if path.endswith(known)), ""))
        with self._lock:
            answer = self.answers[name].popleft() if self.answers[name] else Answer()
            if answer.drop:
                handler.close_connection = True
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            if 200 <= answer.status < 300:
                self.bodies.append((path, headers, body))
            else:
                self.refused.append((path, body))
        handler.send_response(answer.status)
        for key, value in answer.headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Type", "application/x-protobuf")
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    # ------------------------------------------------------------------ what came

    def spans(self) -> list[Item]:
        """All spans, in the order in which they came."""
        return [
            Item(attributes(part.resource.attributes), group.scope.name, span)
            for body in self._of("traces") for part in body.resource_spans for group in part.scope_spans
            for span in group.spans
        ]  # fmt: skip

    def records(self) -> list[Item]:
        """All log records."""
        return [
            Item(attributes(part.resource.attributes), group.scope.name, record)
            for body in self._of("logs") for part in body.resource_logs for group in part.scope_logs
            for record in group.log_records
        ]  # fmt: skip

    def points(self, name: str | None = None) -> list[Item]:
        """All data points, or those of one metric."""
        found = []
        for body in self._of("metrics"):
            for part in body.resource_metrics:
                for group in part.scope_metrics:
                    for metric in group.metrics:
                        form = getattr(metric, metric.WhichOneof("data"))
                        found += [
                            Item(attributes(part.resource.attributes), group.scope.name, point, metric, form)
                            for point in form.data_points if name in (None, metric.name)
                        ]  # fmt: skip
        return found

    def _of(self, signal_name: str) -> Iterator[Any]:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        kinds = {
            "traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest,
            "logs": ExportLogsServiceRequest,
        }  # fmt: skip
        with self._lock:
            bodies = list(self.bodies)
        return (kinds[signal_name].FromString(body) for path, _, body in bodies if path.endswith(f"/v1/{signal_name}"))


def attributes(found: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {pair.key: plain(pair.value) for pair in found}


def plain(value: Any) -> Any:
    """An AnyValue as a plain one."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)


def rotel_program() -> str:
    """Where rotel is; the test is skipped where it is not, or does not start."""
    rotel = pytest.importorskip("rotel", reason="rotel, the OpenTelemetry collector, is not installed")
    program = Path(rotel.__file__).parent / "rotel-agent"
    try:
        subprocess.run([program, "version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"rotel does not start here: {error}")
    return str(program)


class Rotel:
    """A collector that hands on what it gets to `url`, on the same port again after each start."""

    def __init__(self, url: str, folder: Path) -> None:
        self._program, self._url, self._folder = rotel_program(), url, folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = [
            self._program, "start", "--otlp-http-endpoint", f"127.0.0.1:{self.port}",
            "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--exporter", "otlp",
            "--otlp-exporter-endpoint", self._url, "--otlp-exporter-protocol", "http",
            "--otlp-exporter-retry-initial-backoff", "200ms", "--otlp-exporter-retry-max-backoff", "400ms",
            "--otlp-exporter-request-timeout", "60s", "--batch-timeout", "50ms",
            "--pid-file", str(self._folder / "rotel.pid"), "--log-file", str(self._folder / "rotel.log"),
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "ROTEL_"))}
        with open(self._folder / "rotel.out", "ab") as out:
            self._process = subprocess.Popen(words, stdout=out, stderr=out, cwd=self._folder, env=environment)
        until(self._listens, "rotel to listen")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "rotel.out").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/logs", b"", {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """SIGTERM: what it still has is handed on. SIGKILL: that is gone with it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()

    def __enter__(self) -> "Rotel":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
