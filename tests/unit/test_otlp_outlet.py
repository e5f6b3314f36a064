"""The OTLP outlet against a server: what it sends, what it waits for, what it gives up and says."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from run_logs import Log

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentmon import checked
from agentmon.errors import AgentmonError
from agentmon.fleet import otel_outlet
from agentmon.fleet.otel_answers import retry_after
from agentmon.fleet.otel_endpoint import endpoint
from agentmon.fleet.otel_names import NEW
from agentmon.fleet.otel_outlet import OtlpOutlet
from agentmon.fleet.outlet import Record, Unreachable
from tests.otlp_server import Answer, Item, Receiver


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No variables of the caller's, and a state directory of our own."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "agentmon" / "runs" / "run-1.ndjson")
    log.started()
    log.used()
    log.said("hello")
    log.called()
    log.called("writer")
    log.said("oh", "error", "writer")
    log.committed()
    log.ended()
    log.release()
    return log


def records_of(path: Path) -> list[Record]:
    found = []
    for line in path.read_bytes().splitlines():
        event = checked.decode(line)
        found.append(
            Record(event.run_id, 0, event.seq, event.team_id, event.agent_id, event.payload.event, line)
        )  # fmt: skip
    return found


class Shipped:
    """An outlet, and what it said."""

    def __init__(self, address: str) -> None:
        self.said: list[str] = []
        self.outlet = OtlpOutlet(endpoint(address), NEW, self.said.append)

    def send(self, records: list[Record]) -> int:
        """Send them as a shipper does: again until they are taken. How often they were not."""
        failed = 0
        while True:
            try:
                self.outlet.send(records)
            except Unreachable:
                failed += 1
                self.outlet._not_before = 0.0  # time passes
                assert failed < 20
            else:
                return failed


def uids(receiver: Receiver) -> list[str]:
    return [item.attributes["log.record.uid"] for item in receiver.records()]


def span_ids(items: list[Item]) -> list[bytes]:
    return [item.it.span_id for item in items]


def check(receiver: Receiver, log: Log) -> None:
    """Everything is there once."""
    events = [json.loads(line) for line in log.path.read_bytes().splitlines()]
    others = [event for event in events if event["event"] != "metrics_update"]
    assert sorted(uids(receiver)) == sorted(f"{event['run_id']}-{event['seq']}" for event in others)
    names = sorted(item.it.name for item in receiver.spans())
    assert names == ["chat claude-sonnet-4-5"] * 2 + ["invoke_agent crew", "invoke_agent writer"]
    assert len(set(span_ids(receiver.spans()))) == 4
    memory = [item.it.as_int for item in receiver.points("process.memory.usage")]
    samples = [event["data"]["process_metrics"] for event in events if event["event"] == "metrics_update"]
    assert memory == [round(sample["memory_mb"] * 1048576) for sample in samples]


def test_all_signals_arrive(receiver, log):
    shipped = Shipped(receiver.url)
    assert shipped.send(records_of(log.path)) == 0
    check(receiver, log)
    assert (shipped.said, shipped.outlet.refused) == ([], 0)
    spans = {item.it.name: item for item in receiver.spans()}
    assert spans["invoke_agent writer"].it.parent_span_id == spans["invoke_agent crew"].it.span_id
    tokens = {(i.attributes["gen_ai.agent.name"], i.attributes["gen_ai.token.type"]): i for i in
              receiver.points("gen_ai.client.token.usage")}  # fmt: skip
    assert {key: (item.it.count, item.it.sum) for key, item in tokens.items()} == {
        (agent, kind): (1, total) for agent in ("crew", "writer") for kind, total in (("input", 1000), ("output", 200))
    }
    assert {item.form.aggregation_temporality for item in tokens.values()} == {2}  # cumulative
    assert sum(item.it.as_double for item in receiver.points("agentmon.cost")) == 0.5
    assert {item.scope for item in (*receiver.spans(), *receiver.records(), *receiver.points())} == {"agentmon"}


def test_headers_compression_and_paths_of_the_standard_variables(receiver, log, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{receiver.url}/base/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/own/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=top%20secret,x=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=for-logs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    Shipped("otlp:").send(records_of(log.path))
    sent = {path: headers for path, headers, _ in receiver.bodies}
    assert sent.keys() == {"/base/v1/logs", "/base/v1/metrics", "/own/v1/traces"}
    assert {path: headers["api-key"] for path, headers in sent.items()} == {
        "/base/v1/logs": "for-logs", "/base/v1/metrics": "top secret", "/own/v1/traces": "top secret",
    }  # fmt: skip
    assert {headers["content-encoding"] for headers in sent.values()} == {"gzip"}
    assert {headers["content-type"] for headers in sent.values()} == {"application/x-protobuf"}
    resource = receiver.spans()[0].resource
    assert (resource["deployment.environment.name"], resource["service.name"]) == ("test", "mine")
    assert resource["agentmon.agent"] == "crew"


def test_a_signal_that_is_not_wanted_is_left_out(receiver, log, monkeypatch):
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    Shipped(receiver.url).send(records_of(log.path))
    assert {path for path, *_ in receiver.bodies} == {"/v1/metrics", "/v1/traces"}


@pytest.mark.parametrize("signal", ["logs", "metrics", "traces"])
@pytest.mark.parametrize(
    "answer",
    [Answer(429), Answer(503, {"Retry-After": "7"}), Answer(502), Answer(504), Answer(500), Answer(401), Answer(404),
     Answer(302, {"Location": "/login"})],
    ids=lambda answer: str(answer.status),
)  # fmt: skip
def test_what_is_not_taken_now_is_sent_again_and_nothing_else(receiver, log, signal, answer):
    receiver.answers[signal] += [answer] * 2
    shipped = Shipped(receiver.url)
    assert shipped.send(records_of(log.path)) == 2
    check(receiver, log)
    assert shipped.outlet.refused == 0


def test_a_server_that_asks_for_patience_is_not_asked_before(receiver, log):
    receiver.answers["logs"] += [Answer(503, {"Retry-After": "30"})]
    outlet = Shipped(receiver.url).outlet
    for _ in range(3):
        with pytest.raises(Unreachable, match=r"503 .*30 s of patience"):
            outlet.send(records_of(log.path))
    assert len(receiver.refused) == 1


@pytest.mark.parametrize(
    ("answer", "what", "timeout"),
    [(None, "no answer in time", "0.1"), (b"\x01\xff\n\n", "what answers there is no HTTP", "60")],
)
def test_a_server_that_is_none_is_told_in_the_same_words_each_time(answer, what, timeout, log, monkeypatch):
    """They are said again only where they change."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", timeout)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    if answer is not None:
                        taken[-1].sendall(answer)

        taken: list[socket.socket] = []
        threading.Thread(target=take, daemon=True).start()
        outlet = Shipped(f"http://127.0.0.1:{listener.getsockname()[1]}").outlet
        for _ in range(2):
            with pytest.raises(Unreachable) as told:
                outlet.send(records_of(log.path))
            assert str(told.value).endswith(f": logs: {what}")
        listener.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


def test_a_connection_that_breaks_is_tried_again_at_once(receiver, log):
    receiver.answers["traces"] += [Answer(drop=True)]
    assert Shipped(receiver.url).send(records_of(log.path)) == 0
    check(receiver, log)


def test_a_server_that_is_down_and_comes_back(receiver, log):
    records = records_of(log.path)
    shipped = Shipped(receiver.url)
    shipped.send(records[:4])
    receiver.stop()
    for _ in range(2):
        with pytest.raises(Unreachable, match="Connection refused"):
            shipped.outlet.send(records[4:])
    receiver.start()
    shipped.send(records[4:])
    check(receiver, log)


def test_more_events_may_come_with_those_that_failed(receiver, log):
    records = records_of(log.path)
    shipped = Shipped(receiver.url)
    receiver.answers["logs"] += [Answer(503)]
    with pytest.raises(Unreachable):
        shipped.outlet.send(records[:3])
    shipped.send(records)
    check(receiver, log)


def test_what_is_refused_is_counted_and_said_once(receiver, log):
    status = Status(code=3, message="no such\x1b[31m thing").SerializeToString()
    receiver.answers["logs"] += [Answer(400, body=status)]
    shipped = Shipped(receiver.url)
    assert shipped.send(records_of(log.path)) == 0
    assert shipped.outlet.refused == 7
    (line,) = shipped.said
    assert "400 Bad Request: no such [31m thing" in line
    assert "7 not taken" in line
    assert len(receiver.spans()) == 4  # the rest goes on


@pytest.mark.parametrize(
    ("signal", "answer"),
    [
        ("logs", ExportLogsServiceResponse(partial_success={"rejected_log_records": 2, "error_message": "too old"})),
        ("traces", ExportTraceServiceResponse(partial_success={"rejected_spans": 2, "error_message": "too old"})),
        (
            "metrics",
            ExportMetricsServiceResponse(partial_success={"rejected_data_points": 2, "error_message": "too old"}),
        ),
    ],
)
def test_a_partial_success_is_counted_and_said(receiver, log, signal, answer):
    receiver.answers[signal] += [Answer(200, body=answer.SerializeToString())]
    shipped = Shipped(receiver.url)
    assert shipped.send(records_of(log.path)) == 0
    assert shipped.outlet.refused == 2
    assert [f"{signal} took only a part: too old" in line for line in shipped.said] == [True]


def test_a_warning_is_no_loss(receiver, log):
    warning = ExportTraceServiceResponse(partial_success={"error_message": "slow down"})
    receiver.answers["traces"] += [Answer(200, body=warning.SerializeToString())]
    shipped = Shipped(receiver.url)
    shipped.send(records_of(log.path))
    assert (shipped.outlet.refused, len(shipped.said)) == (0, 1)


def test_an_answer_that_is_no_protobuf_is_as_good(receiver, log):
    receiver.answers["traces"] += [Answer(200, body=b"\xffOK")]
    shipped = Shipped(receiver.url)
    shipped.send(records_of(log.path))
    assert (shipped.outlet.refused, shipped.said) == (0, [])


def test_what_is_too_large_is_parted(receiver, log):
    receiver.answers["logs"] += [Answer(413), Answer(413), Answer(413)]  # 7, 3, and then one alone
    shipped = Shipped(receiver.url)
    assert shipped.send(records_of(log.path)) == 0
    assert shipped.outlet.refused == 1
    assert sorted(uids(receiver)) == [f"run-1-{seq}" for seq in (3, 4, 5, 6, 7, 8)]


def test_many_events_go_in_many_requests(receiver, tmp_path):
    log = Log(tmp_path / "agentmon" / "runs" / "long.ndjson")
    log.started()
    for number in range(1200):
        log.said(f"line {number}")
    log.ended()
    log.release()
    Shipped(receiver.url).send(records_of(log.path))
    assert [path for path, *_ in receiver.bodies].count("/v1/logs") == 3
    said = [
        item.it.body.string_value for item in receiver.records() if "agentmon.activity_log.stream" in item.attributes
    ]
    assert said == [f"line {number}" for number in range(1200)]


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_shipper_that_was_killed_goes_on_with_the_same_ids(receiver, log, cut):
    records = records_of(log.path)
    Shipped(receiver.url).send(records)
    whole = {item.it.span_id: item.it for item in receiver.spans()}
    points = {(i.metric.name, str(sorted(i.attributes.items()))): i.it for i in receiver.points()}
    with Receiver() as second:
        Shipped(second.url).send(records[:cut])
        Shipped(second.url).send(records[cut:])  # another process: it knows only the log
        check(second, log)
        assert {item.it.span_id: item.it for item in second.spans()} == whole
        assert {(i.metric.name, str(sorted(i.attributes.items()))): i.it for i in second.points()} == points


def test_a_run_that_was_lost_ends_with_its_last_event(receiver, tmp_path):
    log = Log(tmp_path / "agentmon" / "runs" / "run-2.ndjson")
    log.started()
    log.called()
    shipped = Shipped(receiver.url)
    shipped.send(records_of(log.path))
    shipped.outlet.idle()
    assert [item.it.name for item in receiver.spans()] == ["chat claude-sonnet-4-5"]  # somebody writes it
    log.release()
    shipped.outlet._look_at = 0.0  # time passes
    shipped.outlet.idle()
    root = receiver.spans()[-1]
    assert root.it.name == "invoke_agent crew"
    assert (root.it.status.code, root.attributes["error.type"]) == (2, "lost")
    assert root.it.end_time_unix_nano == round(log.now * 1e9)


def test_a_run_that_was_lost_while_nobody_shipped_has_its_end_too(receiver, tmp_path):
    made = {
        name: Log(tmp_path / "agentmon" / "runs" / f"{name}.ndjson") for name in ("lost", "goes-on", "gone", "over")
    }
    before = Shipped(receiver.url)
    for log in made.values():
        log.started()
        log.called()
        before.send(records_of(log.path))
    mark = json.loads(json.dumps(before.outlet.mark()))
    over = made["over"]
    over.ended()
    before.send(records_of(over.path))  # and it was killed before this was on disk
    made["lost"].release()
    made["gone"].path.unlink()
    after = Shipped(receiver.url).outlet
    after.resume(mark)
    after.idle()
    ends = [item for item in receiver.spans() if item.it.name == "invoke_agent crew"]
    assert [item.attributes["error.type"] for item in ends if "error.type" in item.attributes] == ["lost"]
    assert len(ends) == 2
    assert len(span_ids(receiver.spans())) == len(set(span_ids(receiver.spans()))) == 6
    over.release()
    after._look_at = 0.0  # time passes
    after.idle()
    assert len(receiver.spans()) == 6
    assert after.mark() == {"open": ["goes-on"]}
    Shipped(receiver.url).outlet.resume({"open": 7})


def test_runs_that_go_on_are_not_read_again_and_again(receiver, tmp_path, monkeypatch):
    """However many they are."""
    monkeypatch.setattr(otel_outlet, "_RUNS_KEPT", 3)
    read: list[str] = []
    outlet = OtlpOutlet(endpoint(receiver.url), NEW, print, history=lambda run_id: iter(read.append(run_id) or ()))
    logs = [Log(tmp_path / "agentmon" / "runs" / f"run-{number}.ndjson") for number in range(9)]
    for log in logs:
        log.started()
        outlet.send(records_of(log.path))
    for log in logs * 2:
        log.said("more")
        outlet.send(records_of(log.path)[-1:])
    assert read == []
    monkeypatch.setattr(otel_outlet, "_QUIET_S", 0.0)
    outlet.send(records_of(logs[0].path)[-1:])
    assert len(outlet._runs) == 3


def test_a_run_whose_end_is_still_to_be_sent_is_not_lost(receiver, log):
    shipped = Shipped(receiver.url)
    shipped.send(records_of(log.path)[:-1])
    shipped.outlet.idle()
    assert not [item for item in receiver.spans() if item.it.name.startswith("invoke_agent")]


def test_tls_and_whom_to_trust(log, tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    pem = tmp_path / "server.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "-", "-subj", "/CN=localhost", "-days", "2"]
    made = subprocess.run(
        ["openssl", *words, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    pem.write_bytes(made.stdout)
    with Receiver(certificate=pem) as receiver:
        with pytest.raises(Unreachable, match="certificate verify failed"):
            Shipped(f"otlps://localhost:{receiver.port}").outlet.send(records_of(log.path))
        assert receiver.bodies == []
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(pem))
        Shipped(f"otlps://localhost:{receiver.port}").send(records_of(log.path))
        check(receiver, log)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("otlp://collector", "http://collector:4318"),
        ("otlp://collector:9999", "http://collector:9999"),
        ("otlps://collector", "https://collector:4318"),
        ("otlp://[::1]:4318/", "http://[::1]:4318"),
        ("http://collector:4318/otlp/", "http://collector:4318/otlp"),
        ("https://api.example.org", "https://api.example.org"),
        ("OTLP://collector", "http://collector:4318"),
        ("otlp:", "http://localhost:4318"),
        ("otlp://", "http://localhost:4318"),
    ],
)
def test_addresses(address, url):
    found = endpoint(address, {})
    assert dict(found.urls) == {signal: f"{url}/v1/{signal}" for signal in ("traces", "metrics", "logs")}


def test_a_signal_without_an_endpoint_is_left_out_where_others_have_one():
    only = "http://collector:4318/v1/traces"
    assert dict(endpoint("otlp:", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": only}).urls) == {"traces": only}


def test_a_password_is_in_no_name():
    found = endpoint("otlp://me:secret@collector:4318", {})
    assert found.name == "http://collector:4318"
    assert found.urls["logs"] == "http://me:secret@collector:4318/v1/logs"


@pytest.mark.parametrize(
    ("address", "environment", "said"),
    [
        ("nats://x", {}, "no OTLP address"),
        ("collector:4318", {}, "no OTLP address"),
        ("otlps:", {}, "no host"),
        ("http://", {}, "no host"),
        ("otlp://x:99999", {}, "Port out of range"),
        ("otlp://x:4317", {}, "gRPC"),
        ("otlp://x/?a=b", {}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ("otlp:", {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"),
        ("otlp:", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ("otlp://x", {"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "gzip, deflate or none"),
        ("otlp://x", {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "milliseconds"),
        ("otlp://x", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such.pem"}, "no such file"),
        ("otlp://x", {f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "METRICS", "LOGS")}, "nothing to send"),
    ],
)
def test_what_is_no_address(address, environment, said):
    with pytest.raises(AgentmonError, match=said):
        endpoint(address, environment)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0), ("", 0), ("7", 7), ("0.5", 0.5), ("-3", 0), ("1e9", 3600), ("nan", 0), ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Fri, 31 Dec 2999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
    ],
)  # fmt: skip
def test_how_long_a_server_wants_to_be_left_alone(header, seconds):
    assert retry_after(header) == seconds
