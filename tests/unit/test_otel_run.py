"""Runs as OpenTelemetry sees them: spans, metrics and log records against the fold of the same events."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import START, Log

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from agentmon import checked, ndjson
from agentmon.events import ActivityLog, Alert, Event, Gap, GitActivity, Lifecycle, ProcessMetrics, TokenUsage, Tree
from agentmon.fleet.otel_metrics import COST, TOKEN_BOUNDS, TOKENS, cpus_of, metrics_data
from agentmon.fleet.otel_names import NEW, OLD, provider_of
from agentmon.fleet.otel_numbers import nanoseconds, real, whole
from agentmon.fleet.otel_run import Cut, RunSignals
from agentmon.telemetry import fold

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def events_of(path: Path) -> list[Event]:
    return [checked.decode(line) for line in path.read_bytes().splitlines()]


def event(payload, seq=1, agent="crew", run_id="r", at=START) -> Event:
    return Event(run_id, seq, agent, "blue", payload, at + seq)


def signals(events: list[Event], names=NEW) -> Cut:
    run = RunSignals(events[0], names)
    for item in events:
        run.take(item)
    return run.cut()


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "run-1.ndjson")
    log.started()
    log.used()
    log.said("hello")
    log.called()
    log.called("writer")
    log.said("oh", "error", "writer")
    log.committed()
    log.used(cpu=80, memory=300)
    log.ended()
    log.release()
    return log


def test_a_span_for_each_agent_and_for_each_call_below_it(log):
    events = events_of(log.path)
    spans = signals(events).spans
    by_name = {span.name: span for span in spans}
    root, writer = by_name["invoke_agent crew"], by_name["invoke_agent writer"]
    chats = [span for span in spans if span.name == "chat claude-sonnet-4-5"]
    assert len(spans) == 4
    assert len({span.context.trace_id for span in spans}) == 1
    assert len({span.context.span_id for span in spans}) == 4
    assert root.parent is None
    assert writer.parent.span_id == root.context.span_id
    assert [chat.parent.span_id for chat in chats] == [root.context.span_id, writer.context.span_id]
    assert root.start_time == nanoseconds(events[0].timestamp)
    assert root.end_time == nanoseconds(events[-1].timestamp)
    assert writer.start_time == nanoseconds(events[4].timestamp)
    assert writer.end_time == nanoseconds(events[5].timestamp)
    assert all(chat.start_time == chat.end_time for chat in chats)
    assert all(chat.attributes["agentmon.duration_unknown"] for chat in chats)
    assert chats[0].attributes["gen_ai.usage.input_tokens"] == 1000
    assert chats[0].attributes["gen_ai.usage.cache_read.input_tokens"] == 600
    assert chats[0].attributes["gen_ai.provider.name"] == "anthropic"
    assert root.attributes["agentmon.usage.input_tokens"] == 1000
    assert "gen_ai.usage.input_tokens" not in root.attributes  # its call has it
    assert root.resource.attributes["service.name"] == "crew"
    assert root.resource.attributes["service.namespace"] == "blue"
    assert root.resource.attributes["host.name"] == "here"
    assert root.resource.attributes["process.command_args"] == ("python", "crew.py")


def test_ids_follow_from_the_run_alone(log):
    events = events_of(log.path)
    once, again = signals(events).spans, signals(events).spans
    assert [s.context for s in once] == [s.context for s in again]
    other = signals([replace(item, run_id="run-2") for item in events]).spans
    assert not {s.context.span_id for s in once} & {s.context.span_id for s in other}
    assert once[0].context.trace_id != other[0].context.trace_id


def test_a_call_with_a_duration_ends_at_its_time(log):
    usage = TokenUsage("gpt-5", 10, 2, 12, source="sdk", call_id="c", duration_s=1.5, time_to_first_token_s=0.25)
    started = event(Lifecycle("started"), 1)
    chat = signals([started, event(usage, 10)]).spans[0]
    assert (chat.start_time, chat.end_time) == (nanoseconds(START + 8.5), nanoseconds(START + 10))
    assert "agentmon.duration_unknown" not in chat.attributes
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] == 0.25


def test_embeddings_are_no_chat():
    usage = TokenUsage("text-embedding-3-small", 10, 0, 10, source="sdk", call_id="c")
    span = signals([event(Lifecycle("started")), event(usage, 2)]).spans[0]
    assert (span.name, span.attributes["gen_ai.operation.name"]) == ("embeddings text-embedding-3-small", "embeddings")
    assert span.attributes["gen_ai.provider.name"] == "openai"


def test_a_call_that_failed():
    usage = TokenUsage("gpt-5", source="sdk", call_id="c", status=429)
    chat = signals([event(Lifecycle("started")), event(usage, 2)]).spans[0]
    assert (chat.status.status_code.name, chat.attributes["error.type"]) == ("ERROR", "429")
    assert chat.attributes["http.response.status_code"] == 429


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        (Lifecycle("stopped", exit_code=0), "UNSET", None),
        (Lifecycle("error", exit_code=3), "ERROR", "3"),
        (Lifecycle("error", exit_code=137, signal="SIGKILL"), "ERROR", "SIGKILL"),
        (None, "ERROR", "lost"),
    ],
)
def test_how_a_run_ended_is_its_span_s_status(end, status, error):
    run = RunSignals(event(Lifecycle("started")), NEW)
    run.take(event(Lifecycle("started")))
    assert run.cut().spans == []
    if end is None:
        run.lost()
    else:
        run.take(event(end, 2))
    (root,) = run.cut().spans
    assert (root.status.status_code.name, root.attributes.get("error.type")) == (status, error)
    assert run.cut().spans == []  # once


def test_a_trace_that_was_going_on_goes_on():
    started = event(Lifecycle("started", traceparent=PARENT, tracestate="vendor=x,other=y"))
    root = signals([started, event(Lifecycle("stopped"), 2)]).spans[0]
    assert f"{root.context.trace_id:032x}" == PARENT[3:35]
    assert f"{root.parent.span_id:016x}" == PARENT[36:52]
    assert root.parent.is_remote
    assert dict(root.context.trace_state) == {"vendor": "x", "other": "y"}


def test_a_run_inside_a_run_is_linked_to_it():
    outer = signals([event(Lifecycle("started"), run_id="outer"), event(Lifecycle("stopped"), 2, run_id="outer")])
    started = event(Lifecycle("started", parent_run_id="outer"), run_id="inner")
    inner = signals([started, event(Lifecycle("stopped"), 2, run_id="inner")])
    (link,) = inner.spans[0].links
    there = outer.spans[0].context
    assert (link.context.trace_id, link.context.span_id) == (there.trace_id, there.span_id)


def test_former_names():
    usage = TokenUsage("grok-4", 10, 2, 12, 0.5, 4, 3, 1, source="sdk", call_id="c")
    started, ended = event(Lifecycle("started")), event(Lifecycle("stopped"), 3)
    old = signals([started, event(usage, 2), ended], OLD)
    chat = old.spans[0].attributes
    assert (chat["gen_ai.system"], chat["gen_ai.usage.prompt_tokens"], chat["gen_ai.usage.completion_tokens"]) == (
        "xai", 10, 2,
    )  # fmt: skip
    now = signals([started, event(usage, 2), ended]).spans[0].attributes
    assert now["gen_ai.provider.name"] == "x_ai"
    former = {"gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
    assert not former & now.keys()
    assert not {"gen_ai.provider.name", "gen_ai.usage.input_tokens"} & chat.keys()
    tokens = [point for instrument, point in old.points if instrument is TOKENS]
    assert {point.attributes["gen_ai.system"] for point in tokens} == {"xai"}


@pytest.mark.parametrize(
    ("model", "tool", "provider"),
    [
        ("claude-sonnet-4-5-20250929", None, "anthropic"),
        ("anthropic/claude-3", "aider", "anthropic"),
        ("openrouter/anthropic/claude-3", None, "anthropic"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", None, "aws.bedrock"),
        ("bedrock/anthropic.claude-v2", None, "aws.bedrock"),
        ("gpt-5.1", None, "openai"),
        ("o3-mini", None, "openai"),
        ("azure/gpt-4o", None, "azure.ai.openai"),
        ("models/gemini-2.5-pro", None, "gcp.gemini"),
        ("vertex_ai/gemini-2.5-pro", None, "gcp.vertex_ai"),
        ("grok-4", None, "x_ai"),
        ("groq/openai/gpt-oss-20b", None, "groq"),
        ("gpt-oss-20b", None, None),
        ("deepseek-chat", None, "deepseek"),
        ("command-r-plus", None, "cohere"),
        ("llama3.2", None, None),
        ("o", None, None),
        (None, "claude-code", "anthropic"),
        (None, "aider", None),
        (None, None, None),
    ],
)
def test_the_provider_that_a_model_tells(model, tool, provider):
    assert provider_of(model, tool) == provider


def test_what_was_only_printed_waits_for_the_end():
    run = RunSignals(event(Lifecycle("started")), NEW)
    run.take(event(Lifecycle("started")))
    run.take(event(TokenUsage("gpt-5", 100, 10, 110, source="output", tool="aider"), 2))
    run.take(event(TokenUsage("gpt-5", 7, 1, 8, source="sdk", call_id="a", tool="crew"), 3))
    live = run.cut()
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in live.spans] == [7]
    assert {point.sum for instrument, point in live.points if instrument is TOKENS} == {7, 1}
    run.take(event(Lifecycle("stopped"), 4))
    end = run.cut()
    assert [s.attributes.get("gen_ai.usage.input_tokens") for s in end.spans] == [100, None]
    sums = sorted(point.sum for instrument, point in end.points if instrument is TOKENS)
    assert sums == [1, 7, 10, 100]


def test_a_printed_repeat_of_an_exact_call_has_no_span():
    usage = TokenUsage("gpt-5", 100, 10, 110, source="sdk", call_id="a", tool="aider")
    printed = TokenUsage("gpt-5", 101, 10, 111, source="output", tool="aider")
    events = [event(Lifecycle("started")), event(printed, 2), event(usage, 3), event(Lifecycle("stopped"), 4)]
    cut = signals(events)
    assert [span.name for span in cut.spans] == ["chat gpt-5", "invoke_agent crew"]
    assert len(cut.logs) == 4  # the record of every event is there all the same


def test_what_only_a_total_tells_is_on_the_agent_s_span():
    total = TokenUsage(None, 500, 50, 550, 0.25, scope="session", session_id="s", tool="codex")
    root = signals([event(Lifecycle("started")), event(total, 2), event(Lifecycle("stopped"), 3)]).spans[0]
    assert root.name == "invoke_agent crew"
    told = [root.attributes[f"gen_ai.usage.{name}"] for name in ("input_tokens", "output_tokens", "cost")]
    assert told == [500, 50, 0.25]


USAGES = st.builds(
    TokenUsage,
    model=st.sampled_from([None, "gpt-5", "claude-sonnet-4-5"]),
    input_tokens=st.one_of(st.none(), st.integers(0, 5000)),
    output_tokens=st.one_of(st.none(), st.integers(0, 500)),
    cost_usd=st.one_of(st.none(), st.floats(0, 5, allow_nan=False)),
    scope=st.sampled_from(["call", "session"]),
    source=st.sampled_from(["output", "sdk", "otlp"]),
    call_id=st.sampled_from([None, "a", "b", "c"]),
    session_id=st.sampled_from([None, "s"]),
    tool=st.sampled_from([None, "aider", "codex"]),
    estimated=st.sampled_from([None, True]),
    pid=st.sampled_from([None, 1, 2]),
    duration_s=st.one_of(st.none(), st.floats(0, 100)),
    status=st.sampled_from([None, 200, 500]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(USAGES, st.sampled_from(["crew", "writer"]), st.booleans()), max_size=8))
def test_the_last_points_are_what_the_ledger_counts(usages):
    events = [event(Lifecycle("started"))]
    events += [event(usage, seq, agent) for seq, (usage, agent, _) in enumerate(usages, 2)]
    events.append(event(Lifecycle("stopped"), len(usages) + 2))
    run = RunSignals(events[0], NEW)
    last: dict[tuple, object] = {}
    seen_spans: list[int] = []
    for item, cuts in zip(events, [False, *(cuts for *_, cuts in usages), True], strict=True):
        run.take(item)
        if not cuts:
            continue
        cut = run.cut()
        seen_spans += [span.context.span_id for span in cut.spans]
        for instrument, point in cut.points:
            key = (instrument.name, tuple(sorted(point.attributes.items())))
            before = last.get(key)
            value = point.sum if instrument.kind == "histogram" else point.value
            if instrument.kind == "histogram":
                assert sum(point.bucket_counts) == point.count
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            if before is not None and value < before[0] * (1 - 1e-9):
                assert point.start_time_unix_nano >= before[1]  # it began anew
            last[key] = (value, point.time_unix_nano)
    assert len(seen_spans) == len(set(seen_spans))
    ledger = fold(events).usage
    counted = [*ledger.by_agent_and_model().values()]

    def told(name: str, kind: str | None = None) -> float:
        return sum(
            value for (metric, attributes), (value, _) in last.items()
            if metric == name and (kind is None or dict(attributes)["gen_ai.token.type"] == kind)
        )  # fmt: skip

    assert told(TOKENS.name, "input") == sum(sums.input_tokens or 0 for sums in counted)
    assert told(TOKENS.name, "output") == sum(sums.output_tokens or 0 for sums in counted)
    assert told(COST.name) == pytest.approx(sum(sums.cost_usd or 0 for sums in counted))


def test_samples_are_points_at_their_time(log):
    events = events_of(log.path)
    points = signals(events).points
    samples = [item for item in events if isinstance(item.payload, ProcessMetrics)]
    memory = [point for instrument, point in points if instrument.name == "process.memory.usage"]
    assert [(p.time_unix_nano, p.value) for p in memory] == [
        (nanoseconds(item.timestamp), round(item.payload.memory_mb * 1048576)) for item in samples
    ]
    threads = [point for instrument, point in points if instrument.name == "process.thread.count"]
    assert [point.value for point in threads] == [2, 2]
    cpu = [point for instrument, point in points if instrument.name == "process.cpu.time"]
    assert {(point.start_time_unix_nano, point.value) for point in cpu} == {(nanoseconds(events[0].timestamp), 1.5)}
    assert not [1 for instrument, _ in points if instrument.name == "process.cpu.utilization"]  # whose host is unknown


def test_cpu_is_of_all_cpus_where_their_number_is_known():
    import os

    started = event(Lifecycle("started", host=os.uname().nodename))
    sample = ProcessMetrics(7, 150.0, 1.0, 1, "running", Tree(1, 150.0, 1.0, 1.0, 1, None, None))
    points = {i.name: p.value for i, p in signals([started, event(sample, 2)]).points}
    assert points["process.cpu.utilization"] == 1.5 / cpus_of(os.uname().nodename)
    assert points["agentmon.tree.cpu.cores"] == 1.5
    assert "process.disk.io" not in points  # not known


PAYLOADS = [
    Lifecycle("started", argv=("a", "b"), cwd="/x", pid=1, host="h", labels={"ticket": "42"}),
    Lifecycle("error", exit_code=1, sources={"stdout": {"bytes": 1, "lines": 1, "lost_bytes": 0}}),
    GitActivity("commit", "main", "Add it", 2, 6, 1, "abc1234", "/repo", "trace2"),
    TokenUsage("m", 1, 2, 3, 0.5, scope="session", models={"m": {"input_tokens": 1, "cost_usd": None}}),
    Alert("memory", "critical", 5.0, 4.0, "stop"),
    Gap(10, None, "too slow", stream="stdout"),
    ActivityLog("2027-01-15T08:00:00.000000Z", "warning", "careful\nnow", "git", "stderr", True),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.event)
def test_every_event_is_a_record_with_all_of_its_fields(payload):
    (record,) = signals([event(payload)]).logs
    told = record.log_record
    assert told.timestamp == nanoseconds(START + 1)
    assert told.attributes["log.record.uid"] == "r-1"
    own = ("timestamp", "level", "message") if isinstance(payload, ActivityLog) else ()
    for name, value in ndjson.payload_dict(payload).items():
        if value is not None and name not in own:
            expected = [*value] if isinstance(value, tuple) else _without_none(value)
            assert told.attributes[f"agentmon.{payload.key}.{name}"] == expected
    assert told.event_name == (None if isinstance(payload, ActivityLog) else f"agentmon.{payload.event}")


def _without_none(value):
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


@pytest.mark.parametrize(
    ("level", "number", "text"), [("info", 9, "INFO"), ("warning", 13, "WARN"), ("error", 17, "ERROR")]
)
def test_log_entries(level, number, text):
    entry = ActivityLog("2027-01-15T08:00:00.000000Z", level, "what was said", "orchestrator", "stderr")
    (record,) = signals([event(entry)]).logs
    told = record.log_record
    assert (told.severity_number.value, told.severity_text, told.body) == (number, text, "what was said")
    assert told.attributes["log.iostream"] == "stderr"
    ended = signals([event(entry), event(Lifecycle("stopped"), 2)])
    assert (told.trace_id, told.span_id) == (ended.spans[0].context.trace_id, ended.spans[0].context.span_id)


ANY_NUMBER = st.one_of(st.none(), st.integers(-(2**64), 2**64), st.floats(allow_nan=False), st.just(1e308))


@settings(max_examples=100, deadline=None)
@given(
    ANY_NUMBER,
    ANY_NUMBER,
    ANY_NUMBER,
    st.integers(-(2**63), 2**64),
    st.one_of(st.floats(allow_nan=False), st.integers()),
)
def test_no_number_is_too_much(one, other, third, seq, at):
    payloads = [
        Lifecycle("started", pid=one, duration_s=other, labels={"a": "b"}),
        ProcessMetrics(1, one, other, third, "?", Tree(one, other, third, one, other, third, one)),
        TokenUsage(
            "m", one, other, third, one, duration_s=other, status=third, source="sdk", time_to_first_token_s=one
        ),
        Alert("x", "warning", one, other, "none"),
        Lifecycle("stopped", exit_code=one, max_rss_mb=other),
    ]
    events = [Event("r", seq + n, "a", "t", payload, at) for n, payload in enumerate(payloads)]
    run = RunSignals(events[0], NEW)
    for item in events:
        run.take(item)
    cut = run.cut()
    encode_spans(cut.spans).SerializeToString()
    encode_logs(cut.logs).SerializeToString()
    encode_metrics(metrics_data(cut.points, run.resource)).SerializeToString()


def test_numbers():
    assert nanoseconds(1_763_798_400.123456) == 1_763_798_400_123_456_000
    assert (nanoseconds(-1), nanoseconds(float("inf")), nanoseconds(1e300)) == (0, 0, (1 << 63) - 1)
    assert (whole(None), whole(2.6), whole(1e300), whole(2**64)) == (None, 3, None, None)
    assert (real(None), real(10**400), real(2)) == (None, None, 2.0)
    assert TOKEN_BOUNDS[:3] == (1, 4, 16)
    assert TOKEN_BOUNDS[-1] == 67_108_864
