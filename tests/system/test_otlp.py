"""The OTLP intake with real exporters, below a real run. What children see must not depend on the collector's state."""

import json
import os
import signal
import stat
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from stream import check_stream, only
from wrapper import Wrapper, collector, exit_code, kill, python, read_until, stop, until

from agentmon.collect.intake.otlp_records import protobuf_here


@pytest.fixture(autouse=True)
def _folders(wrapper: Wrapper) -> None:
    """A collector that was killed leaves its private folder behind: not where the next test finds it."""
    wrapper.env["XDG_RUNTIME_DIR"] = str(wrapper.folder)
    for name in tuple(wrapper.env):  # what the machine has set would be left alone, or stand in between
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            del wrapper.env[name]


COUNTS = ("input_tokens", "output_tokens", "total_tokens")

POST = """
import gzip, http.client, json, os, sys, time, urllib.parse
env = os.environ
base = urllib.parse.urlsplit(env.get('OTEL_EXPORTER_OTLP_ENDPOINT') or env['OTEL_EXPORTER_OTLP_LOGS_ENDPOINT'][:-8])
def body(n, service='app'):
    # as plain as it gets: one span of one call
    a = [{'key': 'gen_ai.usage.input_tokens', 'value': {'intValue': str(100 * n)}},
         {'key': 'gen_ai.usage.output_tokens', 'value': {'intValue': n}},
         {'key': 'gen_ai.response.id', 'value': {'stringValue': 'call-%d' % n}}]
    s = {'name': 'chat', 'traceId': '%032x' % n, 'spanId': '%016x' % n, 'attributes': a,
         'startTimeUnixNano': str(10**18 * n), 'endTimeUnixNano': str(10**18 * n + 10**9)}
    r = {'attributes': [{'key': 'service.name', 'value': {'stringValue': service}}]}
    return json.dumps({'resourceSpans': [{'resource': r, 'scopeSpans': [{'scope': {}, 'spans': [s]}]}]}).encode()
def post(c, data, path=None, method='POST', **fields):
    fields = {'Content-Type': 'application/json', **{k.replace('_', '-'): v for k, v in fields.items()}}
    c.request(method, base.path + '/v1/traces' if path is None else path, data, fields, encode_chunked=False)
    r = c.getresponse()
    return r.status, r.read().decode()
def connect():
    return http.client.HTTPConnection(base.hostname, base.port, timeout=60)
"""


def calls(wrapper: Wrapper) -> list[dict[str, Any]]:
    return [data for data in only(check_stream(wrapper.run_log()), "llm_call") if data["source"] == "otlp"]


def plain(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(data[name] for name in ("call_id", *COUNTS)) for data in found]


def test_real_exporters(wrapper: Wrapper) -> None:
    """opentelemetry-sdk with the exporters that most programs have, told nothing but the environment."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    if not protobuf_here():
        pytest.skip("the extra otlp is not installed")
    code = """
import os
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
resource = Resource.create({"service.name": "crew"})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(compression=Compression.Gzip, timeout=60)))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(timeout=60))], resource=resource)
tokens = meters.get_meter("m").create_histogram("gen_ai.client.token.usage")
tracer = traces.get_tracer("t")
with tracer.start_as_current_span("invoke_agent") as agent:
    for n in (1, 2, 3):
        with tracer.start_as_current_span("chat") as span:
            span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-5",
                "gen_ai.usage.input_tokens": 100 * n, "gen_ai.usage.output_tokens": n,
                "gen_ai.usage.cache_read.input_tokens": 10 * n, "gen_ai.response.id": f"call-{n}"})
            tokens.record(100 * n, {"gen_ai.token.type": "input"})
            tokens.record(n, {"gen_ai.token.type": "output"})
    agent.set_attributes({"gen_ai.usage.input_tokens": 600, "gen_ai.usage.output_tokens": 6})
traces.shutdown()
meters.shutdown()
print(os.getpid())
"""
    result = wrapper.run([sys.executable, "-c", code], "--meter", "+otlp")
    assert (result.code, result.err) == (0, b"")
    found = calls(wrapper)
    assert plain(found) == [(f"call-{n}", 100 * n, n, 101 * n) for n in (1, 2, 3)]
    assert {(data["model"], data["pid"], data["scope"]) for data in found} == {("gpt-5", int(result.out), "call")}
    assert [data["cache_read_tokens"] for data in found] == [10, 20, 30]


def test_http(wrapper: Wrapper) -> None:
    """What clients may do, and what they may not."""
    code = (
        POST
        + """
c = connect()
print(*post(c, body(1)))
print(*post(c, gzip.compress(body(2)), Content_Encoding='gzip'))
fields = {'Content-Type': 'application/json; charset=utf-8'}
c.request('POST', base.path + '/v1/traces', iter([body(3)[:9], body(3)[9:]]), fields, encode_chunked=True)
print(c.getresponse().read())
print(*post(c, b'{"resourceSpans": 7'))
print(*post(c, gzip.compress(body(9))[:-9], Content_Encoding='gzip'))
print(*post(c, body(4)))
for status in (
    post(connect(), body(9), path='/v1/traces'), post(connect(), body(9), path='/' + 'x' * 32 + '/v1/traces'),
    post(connect(), body(9), path=base.path + '/v1/profiles'), post(connect(), body(9), Host='evil.example'),
    post(connect(), body(9), Origin='http://evil.example'), post(connect(), None, method='GET'),
    post(connect(), body(9), Content_Type='text/plain'), post(connect(), body(9), Content_Encoding='zstd'),
): print(status[0])
"""
    )
    result = wrapper.run(python(code), "--meter", "+otlp")
    answers = "200 {}\n200 {}\nb'{}'\n200 {}\n200 {}\n200 {}\n404\n404\n404\n403\n403\n405\n415\n415\n"
    assert (result.out.decode(), result.err, result.code) == (answers, b"", 0)
    assert plain(calls(wrapper)) == [(f"call-{n}", 100 * n, n, 101 * n) for n in (1, 2, 3, 4)]
    (gap,) = only(check_stream(wrapper.run_log()), "gap")
    assert (gap["stream"], gap["reason"]) == ("otlp", "otlp: 2 bodies could not be read")


def test_many_connections(wrapper: Wrapper) -> None:
    """More than are served at once: the silent ones make room."""
    code = (
        POST
        + """
import socket
held = [socket.create_connection((base.hostname, base.port)) for _ in range(200)]
print(*post(connect(), body(1)))
"""
    )
    assert wrapper.run(python(code), "--meter", "+otlp").out == b"200 {}\n"
    assert plain(calls(wrapper)) == [("call-1", 100, 1, 101)]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_collector_is_stopped_or_killed(wrapper: Wrapper, number: int) -> None:
    """Exporters are answered all the same, and before it goes on."""
    code = (
        POST
        + """
c = connect()
assert post(c, body(1))[0] == 200
print('sent', flush=True)
sys.stdin.readline()
for n in (2, 3): assert post(c, body(n)) == (200, '{}')
assert post(connect(), body(4)) == (200, '{}')
print('answered')
"""
    )
    process = wrapper.start(python(code), "--meter", "+otlp", "--run-id", "held", stdin=PIPE, stdout=PIPE)
    assert process.stdout
    assert process.stdin
    read_until(process.stdout.fileno(), b"sent\n")
    behind = collector("held")
    until(lambda: b"call-1" in wrapper.run_log())
    (stop if number == signal.SIGSTOP else kill)(behind)
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stdout.read() == b"answered\n"
    assert exit_code(process) == 0
    if number == signal.SIGSTOP:
        os.kill(behind, signal.SIGCONT)
        (log,) = wrapper.run_logs()
        until(lambda: b"exit_code" in log.read_bytes())
        assert [data["call_id"] for data in calls(wrapper)] == [f"call-{n}" for n in (1, 2, 3, 4)]


def agent(wrapper: Wrapper, name: str, code: str) -> Path:
    """A program by the name of an agent."""
    path = wrapper.folder / name
    path.write_text(f"#!{sys.executable} -IS\n{code}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_claude_by_default(wrapper: Wrapper) -> None:
    code = (
        POST
        + """
assert os.environ['CLAUDE_CODE_ENABLE_TELEMETRY'] == '1' and os.environ['OTEL_LOGS_EXPORTER'] == 'otlp'
a = {'event.name': 'api_request', 'model': 'claude-x', 'input_tokens': '1', 'output_tokens': '2', 'session.id': 's',
     'cache_read_tokens': '30', 'cache_creation_tokens': '400', 'cost_usd': '0.5', 'request_id': 'req_1'}
a = [{'key': k, 'value': {'stringValue': v}} for k, v in a.items()]
r = {'timeUnixNano': '1795337452028000000', 'attributes': a}
service = {'attributes': [{'key': 'service.name', 'value': {'stringValue': 'claude-code'}}]}
data = json.dumps({'resourceLogs': [{'resource': service, 'scopeLogs': [{'logRecords': [r]}]}]}).encode()
print(*post(connect(), data, path=urllib.parse.urlsplit(os.environ['OTEL_EXPORTER_OTLP_LOGS_ENDPOINT']).path))
"""
    )
    result = wrapper.run([agent(wrapper, "claude", code), "-p", "x"])
    assert (result.out, result.err, result.code) == (b"200 {}\n", b"", 0)
    (found,) = calls(wrapper)
    assert plain([found]) == [("req_1", 431, 2, 433)]
    assert (found["tool"], found["cost_usd"], found["cost_source"]) == ("claude-code", 0.5, "tool")
    (event,) = (e for e in check_stream(wrapper.run_log()) if e["event"] == "llm_call")
    assert event["timestamp"] == pytest.approx(1795337452.028)


SHOW = """
import json, os, sys
print(json.dumps([sys.argv[1:], sorted(k for k in os.environ if 'OTEL' in k or 'TELEMETRY' in k)]))
"""


def shown(wrapper: Wrapper, name: str, *options: str, **env: str) -> tuple[list[str], list[str], bytes]:
    path = agent(wrapper, name, SHOW)
    result = wrapper.run([path, "exec", "x"], *options, env={**wrapper.env, **env})
    argv, names = json.loads(result.out)
    return argv, names, result.err


def test_codex_only_when_asked(wrapper: Wrapper) -> None:
    assert shown(wrapper, "codex", HOME=str(wrapper.folder)) == (["exec", "x"], [], b"")
    argv, _, _ = shown(wrapper, "codex", "--meter", "+otlp", HOME=str(wrapper.folder))
    assert argv[-2:] == ["exec", "x"]
    assert argv[0] == "-c"
    assert "otel.exporter={otlp-http={endpoint=" in argv[1]


def test_other_commands_get_nothing(wrapper: Wrapper) -> None:
    assert shown(wrapper, "crew")[1:] == ([], b"")
    assert shown(wrapper, "claude", "--meter", "-otlp")[1:] == ([], b"")


def test_own_export_is_left_alone(wrapper: Wrapper) -> None:
    _, names, err = shown(wrapper, "claude", "--meter", "+otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert names == ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert err == b"agentmon: OTEL_EXPORTER_OTLP_ENDPOINT is set: OpenTelemetry goes there, not to agentmon\n"


def test_nothing_is_left_behind(wrapper: Wrapper) -> None:
    """The port is closed and the receiver gone when the run is over, also after the collector was killed."""
    code = POST + "print(base.port, flush=True)\nsys.stdin.readline()"
    process = wrapper.start(python(code), "--meter", "+otlp", "--run-id", "gone", stdin=PIPE, stdout=PIPE)
    assert process.stdout
    assert process.stdin
    port = int(read_until(process.stdout.fileno(), rb"\d+\n"))

    def listening() -> set[str]:
        """Inodes: another process may get the same port afterwards."""
        lines = map(str.split, Path("/proc/net/tcp").read_text().splitlines())
        return {words[9] for words in lines if words[1:4] == [f"0100007F:{port:04X}", "00000000:0000", "0A"]}

    (ours,) = listening()
    until(lambda: b"running" in wrapper.run_log())
    kill(collector("gone"))
    process.stdin.close()
    assert exit_code(process) == 0
    until(lambda: ours not in listening(), "the receiver to end")
