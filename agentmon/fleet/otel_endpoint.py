"""Endpoint: where OTLP over HTTP goes, by address or by OpenTelemetry's own variables, and one exporter per signal."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from agentmon.errors import AgentmonError

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
_SCHEMES = {"otlp": "http", "otlps": "https", "http": "http", "https": "https"}
_DEFAULT = "http://localhost:4318"
_PORT = 4318
_TIMEOUT_S = 10.0
_EXPORTERS: Mapping[Signal, Any] = {
    "traces": OTLPSpanExporter,
    "metrics": OTLPMetricExporter,
    "logs": OTLPLogExporter,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """urls: by signal, without those that a person does not want (OTEL_LOGS_EXPORTER=none). name: for people."""

    name: str
    urls: Mapping[Signal, str]


class Given(requests.RequestException):
    """An answer that the exporter is not to wait and ask again for: the shipper does that, and can be stopped."""


class Wire(requests.Session):
    """The exporters' HTTP session. It keeps the last answer or error (they themselves tell only success and failure),
    and sends everything once; only where a connection broke, a server has often just closed an idle one."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0
        self.answer: requests.Response | None = None
        self.error: Exception | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.tried += 1
        self.answer = self.error = None
        if isinstance(self.verify, str):  # OTEL_EXPORTER_OTLP_CERTIFICATE; requests would have REQUESTS_CA_BUNDLE win
            kwargs["verify"] = self.verify
        try:
            try:
                self.answer = super().request(*args, **kwargs)
            except requests.ConnectionError:
                self.answer = super().request(*args, **kwargs)
        except (requests.RequestException, OSError) as error:
            self.error = error
            raise Given from error
        if not self.answer.ok:
            raise Given
        return self.answer


def endpoint(address: str, environment: Mapping[str, str] | None = None) -> Endpoint:
    """otlp://host:4318 (http), otlps:// and http(s):// base URLs, or `otlp:` for the variables OTEL_EXPORTER_OTLP_*.
    Raises AgentmonError."""
    environment = os.environ if environment is None else environment
    scheme, colon, rest = address.partition(":")
    if not colon or scheme.lower() not in _SCHEMES:
        raise AgentmonError(
            f"--to {address}: no OTLP address; otlp://HOST:4318, otlps://HOST, or an http(s):// base URL"
        )
    wanted = [s for s in SIGNALS if environment.get(f"OTEL_{s.upper()}_EXPORTER", "").strip().lower() != "none"]
    if not wanted:
        raise AgentmonError(
            "OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER are all none: nothing to send"
        )
    _check_variables(environment)
    if not rest.strip("/"):
        if scheme.lower() != "otlp":
            raise AgentmonError(f"--to {address}: no host in it; otlp://HOST:4318, or `otlp:` for the OTEL_* variables")
        return _of_variables(environment, wanted)
    base = _base(address, scheme.lower())
    return Endpoint(_public(base), {signal: f"{base}/v1/{signal}" for signal in wanted})


def _base(address: str, scheme: str) -> str:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AgentmonError(f"--to {address}: {error}") from None
    if not host:
        raise AgentmonError(f"--to {address}: no host in it; otlp://HOST:4318")
    if parts.query or parts.fragment:
        raise AgentmonError(
            f"--to {_public(address)}: an OTLP base URL has no ? and no #; headers go into OTEL_EXPORTER_OTLP_HEADERS"
        )
    if port == 4317:
        raise AgentmonError(
            f"--to {_public(address)}: 4317 is OTLP's gRPC port; OTLP over HTTP is spoken, mostly on 4318"
        )
    place = parts.netloc
    if port is None and scheme in ("otlp", "otlps"):
        place = f"{place.rstrip(':')}:{_PORT}"
    return urlunsplit((_SCHEMES[scheme], place, parts.path.rstrip("/"), "", ""))


def _of_variables(environment: Mapping[str, str], wanted: list[Signal]) -> Endpoint:
    """Where only single signals have an endpoint, the others are left out: a person who named one for traces has no
    server on this machine for the rest."""
    general = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    named = [signal for signal in wanted if environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")]
    if not general and named:
        wanted = named
    general = general or _DEFAULT
    urls: dict[Signal, str] = {}
    for signal in wanted:
        name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        own = environment.get(name)
        for variable, value in ((name, own), ("OTEL_EXPORTER_OTLP_ENDPOINT", general)):
            if value and not value.startswith(("http://", "https://")):
                raise AgentmonError(
                    f"{variable}={_public(value)}: an http:// or https:// URL is needed (OTLP over HTTP)"
                )
        protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or environment.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL", ""
        )
        if protocol == "grpc":
            raise AgentmonError(
                "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only OTLP over HTTP is spoken; give its address (--to otlp://HOST:4318)"
            )
        urls[signal] = own or f"{general.rstrip('/')}/v1/{signal}"
    return Endpoint(", ".join(dict.fromkeys(_public(url) for url in urls.values())), urls)


def _check_variables(environment: Mapping[str, str]) -> None:
    """What the exporters would pass over, or stumble on later."""
    for signal in SIGNALS:
        _timeout(signal, environment)
    for scope in ("", *(f"{signal.upper()}_" for signal in SIGNALS)):
        name = f"OTEL_EXPORTER_OTLP_{scope}COMPRESSION"
        value = environment.get(name, "").strip().lower()
        if value not in ("", "none", *(form.value for form in Compression)):
            raise AgentmonError(f"{name}={value}: gzip, deflate or none")
        for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
            name = f"OTEL_EXPORTER_OTLP_{scope}{kind}"
            path = environment.get(name)
            if path and not os.path.isfile(path):
                raise AgentmonError(f"{name}={path}: no such file")


def exporters(place: Endpoint) -> tuple[dict[Signal, Any], dict[Signal, Wire]]:
    """The SDK's exporter for each signal, and its session. Headers, timeout, compression and certificates are what the
    variables say."""
    log = logging.getLogger("opentelemetry")  # what it would tell is told by the outlet, once
    log.addHandler(logging.NullHandler())
    log.propagate = False
    wires = {signal: Wire() for signal in place.urls}
    made = {
        signal: _EXPORTERS[signal](endpoint=url, session=wires[signal], timeout=_timeout(signal, os.environ))
        for signal, url in place.urls.items()
    }
    return made, wires


def _timeout(signal: Signal, environment: Mapping[str, str]) -> float:
    """Seconds that a request may take. The standard has milliseconds here, Python's SDK seconds: from 1000 on it can
    only be the former. Raises AgentmonError."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        value = environment.get(name)
        if value:
            try:
                number = float(value)
            except ValueError:
                number = 0.0
            if not 0 < number < 1e9:
                raise AgentmonError(f"{name}={value}: a number of milliseconds is needed")
            return number / 1000 if number >= 1000 else number
    return _TIMEOUT_S


def _public(url: str) -> str:
    """Without user and password."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, _ = head.partition("//")
    return f"{scheme}{slashes}{tail}" if at and slashes else url
