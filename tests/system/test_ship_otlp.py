"""`agentmon ship --to otlp://…` through rotel, a real OpenTelemetry collector, to a server that keeps what comes.

What is at the far end is compared with the run logs, event by event; in between everything is killed once.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run
from typing import Any

import pytest
from run_logs import Log
from stub import DELAY_S, serving
from wrapper import Wrapper, python, until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

from agentmon import checked
from agentmon.fleet.otel_names import NEW
from agentmon.fleet.otel_run import RunSignals
from agentmon.telemetry import fold
from tests.otlp_server import Answer, Receiver, Rotel


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def rotel(receiver: Receiver, tmp_path: Path) -> Iterator[Rotel]:
    with Rotel(receiver.url, tmp_path) as rotel:
        yield rotel


class Ship:
    """`agentmon ship` on the run logs of a wrapper."""

    def __init__(self, wrapper: Wrapper, *options: str) -> None:
        self.argv = [sys.executable, "-m", "agentmon", "ship", *options]
        self.env = {name: value for name, value in wrapper.env.items() if not name.startswith("OTEL_")}
        self.process: Popen[bytes] | None = None

    def once(self, **added: str) -> tuple[int, str]:
        """Ship what is there; the exit code, and what was said."""
        done = run(self.argv, env={**self.env, **added}, stdin=DEVNULL, capture_output=True, timeout=60)
        assert done.stdout == b""
        return done.returncode, done.stderr.decode()

    def start(self) -> None:
        self.process = Popen(self.argv, env=self.env, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)

    def stop(self, how: int) -> bytes:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.communicate(timeout=60)[1]


def new_log(wrapper: Wrapper, name: str, **options: Any) -> Log:
    return Log(wrapper.state / "agentmon" / "runs" / f"{name}.ndjson", **options)


def expected_spans(path: Path) -> dict[bytes, tuple[str, bytes, int, int]]:
    """By id: name, parent, beginning and end."""
    events = [checked.decode(line) for line in path.read_bytes().splitlines()]
    signals = RunSignals(events[0], NEW)
    for event in events:
        signals.take(event)
    return {
        span.context.span_id.to_bytes(8, "big"): (
            span.name, b"" if span.parent is None else span.parent.span_id.to_bytes(8, "big"),
            span.start_time, span.end_time,
        )
        for span in signals.cut().spans
    }  # fmt: skip


def expected_uids(path: Path) -> set[str]:
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {f"{e['run_id']}-{e['seq']}" for e in events if e["event"] != "metrics_update"}


def uids(receiver: Receiver) -> list[str]:
    return [str(item.attributes["log.record.uid"]) for item in receiver.records()]


def check(receiver: Receiver, paths: list[Path], *, twice: bool = False) -> None:
    """Every event of these logs is at the far end; twice: some may be there more than once, and then are the same."""
    assert set(uids(receiver)) == set().union(*(expected_uids(path) for path in paths))
    spans: dict[bytes, tuple[str, bytes, int, int]] = {}
    for path in paths:
        spans |= expected_spans(path)
    got = {}
    for item in receiver.spans():
        span = item.it
        told = (span.name, span.parent_span_id, span.start_time_unix_nano, span.end_time_unix_nano)
        assert got.setdefault(span.span_id, told) == told
    assert got == spans
    if not twice:
        assert len(uids(receiver)) == len(set(uids(receiver)))
        assert len(receiver.spans()) == len(spans)
    records = {str(item.attributes["log.record.uid"]): item for item in receiver.records()}
    for path in paths:
        events = [json.loads(line) for line in path.read_bytes().splitlines()]
        run_id = events[0]["run_id"]
        memory = {
            (round(e["timestamp"] * 1e6) * 1000, round(e["data"]["process_metrics"]["memory_mb"] * 1048576))
            for e in events if e["event"] == "metrics_update" and e["data"]["process_metrics"]["memory_mb"] is not None
        }  # fmt: skip
        points = [i for i in receiver.points("process.memory.usage") if i.resource["agentmon.run_id"] == run_id]
        assert {(item.it.time_unix_nano, item.it.as_int) for item in points} == memory
        for event in events:
            if event["event"] == "log_entry":
                entry, item = event["data"]["activity_log"], records[f"{run_id}-{event['seq']}"]
                assert item.it.body.string_value == entry["message"]
                assert item.it.severity_number == {"info": 9, "warning": 13, "error": 17}[entry["level"]]
                assert item.it.time_unix_nano == round(event["timestamp"] * 1e6) * 1000
                assert item.attributes["gen_ai.agent.name"] == event["agent_id"]
        check_tokens(receiver, path, run_id)


def arrived(receiver: Receiver, paths: list[Path], *, twice: bool = False) -> None:
    """Wait for all of it."""

    def holds() -> bool:
        with contextlib.suppress(AssertionError):
            check(receiver, paths, twice=twice)
            return True
        return False

    with contextlib.suppress(AssertionError):
        until(holds)
    check(receiver, paths, twice=twice)  # this tells what is missing


def check_tokens(receiver: Receiver, path: Path, run_id: str) -> None:
    """The newest points, and the spans, sum up to what the fold counts."""
    state = fold(checked.decode(line) for line in path.read_bytes().splitlines())
    totals = state.usage.totals()
    newest: dict[str, Any] = {}
    for item in (*receiver.points("gen_ai.client.token.usage"), *receiver.points("agentmon.cost")):
        if item.resource["agentmon.run_id"] == run_id:
            key = item.metric.name + json.dumps(item.attributes, sort_keys=True)
            if key not in newest or newest[key].it.time_unix_nano <= item.it.time_unix_nano:
                newest[key] = item
    spans = {i.it.span_id: i for i in receiver.spans() if i.resource["agentmon.run_id"] == run_id}.values()
    for kind, total in (("input", totals.input_tokens), ("output", totals.output_tokens)):
        points = [item.it.sum for item in newest.values() if item.attributes.get("gen_ai.token.type") == kind]
        assert sum(points) == (total or 0)
        assert sum(item.attributes.get(f"gen_ai.usage.{kind}_tokens", 0) for item in spans) == (total or 0)
    costs = [item.it.as_double for item in newest.values() if item.metric.name == "agentmon.cost"]
    assert sum(costs) == pytest.approx(totals.cost_usd or 0)


def test_real_runs_and_past_ones_arrive(wrapper: Wrapper, receiver: Receiver, rotel: Rotel):
    past = new_log(wrapper, "past")
    past.started()
    for number in range(700):
        past.said(f"line {number} ✓")
        if not number % 100:
            past.used(memory=100 + number)
            past.called("writer" if number % 200 else None)
    past.committed()
    past.ended(1)
    past.release()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    code = "import sys; print('out'); print('Error: oh', file=sys.stderr); print('Tokens used: 1,234')"
    wrapper.run(python(code), "--team", "blue", "--label", "ticket=42", env={**wrapper.env, "TRACEPARENT": parent})
    code, said = Ship(wrapper, "--to", f"otlp://127.0.0.1:{rotel.port}").once()
    assert code == 0, said
    paths = wrapper.run_logs()
    assert len(paths) == 2
    arrived(receiver, paths)
    real = next(item for item in receiver.spans() if item.resource["agentmon.run_id"] != "past")
    assert real.it.trace_id.hex() == parent[3:35]
    assert real.it.parent_span_id.hex() == parent[36:52]
    assert real.resource["agentmon.label.ticket"] == "42"
    assert real.resource["service.namespace"] == "blue"
    code, said = Ship(wrapper, "--to", f"otlp://127.0.0.1:{rotel.port}").once()
    assert (code, said.split()[1]) == (0, "0")  # nothing is sent again


def test_real_calls_have_their_time_and_their_tokens(wrapper: Wrapper, receiver: Receiver):
    pytest.importorskip("httpx")
    asks = (
        "import httpx, sys\n"
        "ask = {'model': 'stub-1', 'max_tokens': 9, 'messages': [{'role': 'user', 'content': 'hi'}]}\n"
        "for _ in range(2):\n"
        "    httpx.post(sys.argv[1] + '/delay/v1/messages', json=ask, headers={'anthropic-version': '1'})\n"
    )
    with serving() as stub:
        done = wrapper.run([sys.executable, "-c", asks, stub.url])
    assert done.code == 0, done.err
    (path,) = wrapper.run_logs()
    calls = [json.loads(line) for line in path.read_bytes().splitlines() if b'"llm_call"' in line]
    assert len(calls) == 2
    assert Ship(wrapper, "--to", receiver.url).once()[0] == 0
    check(receiver, [path])
    root, *chats = sorted(receiver.spans(), key=lambda item: item.it.start_time_unix_nano)
    assert [item.it.name for item in (root, *chats)] == [
        f"invoke_agent {Path(sys.executable).name}",
        *["chat stub-1"] * 2,
    ]
    for chat, call in zip(chats, calls, strict=True):
        usage = call["data"]["token_usage"]
        assert chat.it.parent_span_id == root.it.span_id
        assert chat.attributes["gen_ai.usage.input_tokens"] == usage["input_tokens"]
        assert chat.attributes["gen_ai.usage.output_tokens"] == usage["output_tokens"]
        assert chat.attributes["gen_ai.response.id"] == usage["call_id"]
        took = (chat.it.end_time_unix_nano - chat.it.start_time_unix_nano) / 1e9
        assert took == pytest.approx(usage["duration_s"], abs=1e-5)
        assert took > DELAY_S / 2
    assert sum(item.it.count for item in receiver.points("gen_ai.client.operation.duration")) >= 2


def test_everything_is_killed_once(wrapper: Wrapper, receiver: Receiver, rotel: Rotel):
    log = new_log(wrapper, "live")
    ship = Ship(wrapper, "--follow", "--to", rotel.url)
    ship.start()
    log.started()

    def work() -> None:
        log.used(memory=log.seq)
        log.called("writer")
        log.said(f"at {log.seq}", "warning")

    def all_arrived() -> None:
        """All of it: what the collector has taken and not handed on goes when it is killed."""
        arrived(receiver, [log.path], twice=True)

    try:
        work()
        all_arrived()
        live = receiver.spans()  # before the end of the run
        assert [item.it.name for item in live] == ["chat claude-sonnet-4-5"]
        ship.stop(signal.SIGKILL)
        work()
        ship.start()
        all_arrived()
        rotel.stop(signal.SIGKILL)
        work()
        rotel.start()
        all_arrived()
        receiver.stop()
        work()
        receiver.start()
        all_arrived()
        ship.stop(signal.SIGKILL)
        work()
        log.ended()
        log.release()
        ship.start()
        all_arrived()
    finally:
        said = ship.stop(signal.SIGTERM)
    assert ship.process is not None
    assert ship.process.returncode == 0, said


def test_a_run_that_is_lost_has_its_span_too(wrapper: Wrapper, receiver: Receiver):
    log = new_log(wrapper, "lost")
    log.started()
    log.called()
    log.release()
    code, said = Ship(wrapper, "--to", receiver.url).once()
    assert code == 0, said
    assert {item.it.name for item in receiver.spans()} == {"chat claude-sonnet-4-5", "invoke_agent crew"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_and_its_shipper_that_went_together(wrapper: Wrapper, receiver: Receiver, how):
    """As where the power goes: nothing is left to be shipped, and yet it has an end."""
    log = new_log(wrapper, "lost")
    log.started()
    log.called()
    ship = Ship(wrapper, "--follow", "--to", receiver.url)
    ship.start()
    until(receiver.spans, "the call")
    cursors = wrapper.state / "agentmon" / "ship"
    until(lambda: any(b'"doubt":false' in path.read_bytes() for path in cursors.glob("*.json")), "it to be at rest")
    ship.stop(how)
    log.release()
    code, said = Ship(wrapper, "--to", receiver.url).once()
    assert code == 0, said
    assert "0 events shipped" in said
    Ship(wrapper, "--to", receiver.url).once()
    assert len(receiver.spans()) == 2
    assert {item.it.name for item in receiver.spans()} == {"chat claude-sonnet-4-5", "invoke_agent crew"}


def test_what_is_refused_is_no_event(wrapper: Wrapper, receiver: Receiver):
    """A log record, several points and a span may come of one."""
    log = new_log(wrapper, "refused")
    log.started()
    log.called()
    log.ended()
    log.release()
    for name in ("logs", "metrics", "traces"):
        receiver.answers[name] += [Answer(400)] * 9
    code, said = Ship(wrapper, "--to", receiver.url).once()
    assert code == 0
    assert "log records, data points and spans were left out" in said
    assert "events were left out" not in said


def test_former_names_are_asked_for(wrapper: Wrapper, receiver: Receiver):
    log = new_log(wrapper, "old")
    log.started()
    log.called()
    log.ended()
    log.release()
    ship = Ship(wrapper, "--otlp-semconv", "old")
    assert ship.once()[0] == 125  # nobody said where to
    assert ship.once(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)[0] == 0
    chat = next(item for item in receiver.spans() if item.it.name.startswith("chat"))
    assert chat.attributes["gen_ai.system"] == "anthropic"
    assert chat.attributes["gen_ai.usage.prompt_tokens"] == 1000


@pytest.mark.parametrize(
    ("to", "added", "said"),
    [
        ("otlp://", {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "an http:// or https:// URL is needed"),
        ("otlp://h:4317", {}, "gRPC"),
        ("http://127.0.0.1:1", {}, "Connection refused; nothing is lost"),
    ],
)
def test_what_cannot_be_is_one_line(wrapper: Wrapper, to, added, said):
    log = new_log(wrapper, "some")
    log.started()
    log.ended()
    log.release()
    code, told = Ship(wrapper, "--to", to, "--patience", "10ms", "-q").once(**added)
    assert (code, told.splitlines()[-1].startswith("agentmon: ")) == (125, True)
    assert said in told
    assert "Traceback" not in told


def test_tokens_and_passwords_are_in_no_message_and_no_name(wrapper: Wrapper, receiver: Receiver):
    log = new_log(wrapper, "some")
    log.started()
    log.ended()
    log.release()
    ship = Ship(wrapper, "--to", receiver.url.replace("http://", "http://me:s3cret@"))
    code, said = ship.once(OTEL_EXPORTER_OTLP_HEADERS="api-key=t0ken")
    assert code == 0
    assert receiver.bodies[0][1]["api-key"] == "t0ken"
    assert receiver.bodies[0][1]["authorization"].startswith("Basic ")
    kept = "".join(path.name for path in (wrapper.state / "agentmon" / "ship").iterdir())
    kept += "".join(path.read_text() for path in (wrapper.state / "agentmon" / "ship").iterdir())
    assert not [secret for secret in ("s3cret", "t0ken") if secret in said + kept]
    assert all(os.stat(p).st_mode & 0o077 == 0 for p in (wrapper.state / "agentmon" / "ship").iterdir())
