"""The parts of REST: what is asked for and how it is understood, series of usage, and metrics within bounds."""

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from math import isnan

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from agentmon.events import Event, GitActivity, ProcessMetrics, TokenUsage, Tree
from agentmon.telemetry import RunTelemetry, apply
from agentmon.views.serve.answers import accepts
from agentmon.views.serve.asked import Time, cursor_of, place_of
from agentmon.views.serve.prometheus import OTHER, Counted, Metric
from agentmon.views.serve.series import Series, of_minutes, points

JSON, NDJSON = "application/json", "application/x-ndjson"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (NDJSON, NDJSON),
        ("Application/X-NDJSON; charset=utf-8", NDJSON),
        ("application/json;q=0.5, application/x-ndjson", NDJSON),
        ("application/x-ndjson;q=0.5, application/json", JSON),
        ("application/x-ndjson, */*;q=0.1", NDJSON),
        ("application/json;q=0, */*", NDJSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        ("text/html", None),
        ("*/*;q=0", None),
        ("application/json;q=nonsense", None),
        (",;,", None),
    ],
)
def test_the_form_that_a_client_wants(header: str | None, wanted: str | None):
    headers = [] if header is None else [(b"accept", header.encode())]
    request = Request({"type": "http", "headers": headers})
    assert accepts(request, JSON, NDJSON) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0.0),
        ("1795341600", 1795341600.0),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("1e 3", 1000.0),  # a plus that was not escaped
        ("2026-11-22T10:00:00Z", 1795341600.0),
        ("2026-11-22T10:00:00.250Z", 1795341600.25),
        ("2026-11-22t11:00:00+01:00", 1795341600.0),
        ("2026-11-22T11:00:00 01:00", 1795341600.0),
        ("2026-11-22 05:30:00-04:30", 1795341600.0),
        ("2026-11-22T10:00:00.1234567891Z", None),
        ("2026-11-22T10:00:00", None),
        ("2026-11-22", None),
        ("2026-02-30T10:00:00Z", None),
        ("nan", None),
        ("Infinity", None),
        ("1e400", None),
        ("", None),
        ("١٢", None),
        ("10m", None),
    ],
)
def test_times(text: str, wanted: float | None):
    adapter = TypeAdapter(Time)
    if wanted is None:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
    else:
        assert adapter.validate_python(text) == wanted


@given(st.integers(0, 10**14), st.integers(0, 10**6))
def test_a_cursor_is_a_place(offset: int, skip: int):
    assert place_of(cursor_of((offset, skip))) == (offset, skip)


calls = st.builds(
    TokenUsage,
    model=st.sampled_from(["m", None]),
    input_tokens=st.one_of(st.none(), st.integers(0, 100)),
    output_tokens=st.one_of(st.none(), st.integers(0, 100)),
    cost_usd=st.one_of(st.none(), st.sampled_from([0.25, 0.5])),
    source=st.sampled_from(["sdk", "sdk", "sdk", "otlp", "output"]),
    scope=st.sampled_from(["call", "call", "call", "session"]),
    call_id=st.one_of(st.none(), st.integers(0, 30).map(str)),
    tool=st.sampled_from([None, "codex"]),
    session_id=st.sampled_from([None, "s"]),
)
samples = st.floats(0, 400).map(
    lambda cpu: ProcessMetrics(7, cpu, 9.0, 1, "running", Tree(2, cpu, 1.0, cpu / 2, 3, 0, 0))
)
acts = st.sampled_from([GitActivity("commit", "main", source="output"), GitActivity("commit", "main", source="trace2")])
told = st.lists(
    st.tuples(st.one_of(calls, calls, samples, acts), st.sampled_from(["a", "b"]), st.integers(-2, 5)), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(told, st.integers(2, 12))
def test_series_end_with_the_sums_of_the_fold(told, count):
    """Whatever the calls are, the last point is what the fold adds up to; and no extreme is lost on the way."""
    state, series, now = RunTelemetry(), Series(), 1.7e9
    for seq, (payload, agent, step) in enumerate(told, 1):
        now += step  # a clock may be set back
        event = Event("r", seq, agent, "t", payload, now)
        apply(state, event)
        series.take(event, state)
    series.look(state)
    got = points(series, count, None, None, None)
    length = len(got["timestamp"])
    assert length <= count
    assert all(len(got[name]) == length for name in ("cpu_percent", "memory_max", "input_tokens", "threads"))
    assert got["timestamp"] == sorted(got["timestamp"])
    measured = [p.cpu_percent for p, _, _ in told if isinstance(p, ProcessMetrics)]
    if measured:
        assert max(v for v in got["cpu_max"] if v is not None) == pytest.approx(max(measured), abs=1e-3)
        assert min(v for v in got["cpu_min"] if v is not None) == pytest.approx(min(measured), abs=1e-3)
    if any(isinstance(p, TokenUsage) for p, _, _ in told):
        sums = state.usage.totals()
        assert (got["input_tokens"][-1], got["output_tokens"][-1]) == (sums.input_tokens, sums.output_tokens)
        assert got["cost_usd"][-1] == pytest.approx(sums.cost_usd) if sums.cost_usd is not None else True
        if len(state.agents) > 1:
            for agent, own in state.usage.by_agent().items():
                kept = series.by_agent[agent].figures[0][-1]
                assert (None if isnan(kept) else kept) == own.input_tokens
    assert len(got["git"]) == sum(state.git_operations.values())


def test_minutes_are_brought_down_to_points():
    rows = [
        {"timestamp": n * 60, "samples": n + 1, "cpu_percent": float(n) if n % 2 else None, "cpu_max": n * 2.0,
         "memory_max": 100.0 - n, "processes_max": n, "threads_max": None}
        for n in range(10)
    ]  # fmt: skip
    got = of_minutes(rows, 3)
    assert [row["timestamp"] for row in got] == [0.0, 180.0, 360.0]
    assert max(row["cpu_max"] for row in got) == 18.0
    assert max(row["memory_max"] for row in got) == 100.0
    assert got[0]["cpu_percent"] == 1.0
    assert got[0]["threads"] is None
    assert [row["timestamp"] for row in of_minutes(rows, 100)] == [n * 60.0 for n in range(10)]


def test_however_many_names_there_are_the_metrics_are_bounded_and_true():
    counted = Counted()
    metric = Metric("x_total", "counter", "X.")
    for n in range(5_000):
        team, agent, model = counted.known("t", f"agent {n}", "m" * (n % 400))
        metric.add(1, team=team, agent=agent, model=model)
    counted.settle(metric)
    assert len(metric.samples) <= 501
    assert sum(metric.samples.values()) == 5_000
    assert metric.samples[("team", OTHER), ("agent", OTHER), ("model", OTHER)] == 4_500
    assert all(len(value) <= 200 for labels in metric.samples for _, value in labels)


def test_a_counter_that_was_reconciled_downwards_stays():
    counted = Counted()
    seen = []
    for value in (10, 7, 9, 12):
        metric = Metric("x_total", "counter", "X.")
        metric.add(value, team="t")
        counted.settle(metric)
        seen.append(metric.samples[(("team", "t"),)])
    assert seen == [10, 10, 10, 12]


@given(st.text(), st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False)))
def test_every_label_and_number_is_read_back(text, value):
    parser = pytest.importorskip("prometheus_client.parser")
    metric = Metric("some_metric", "gauge", 'Two\nlines, a \\ and a "quote".')
    metric.add(value, team=text, agent="a")
    lines = "".join(f"{line}\n" for line in metric.lines())
    (family,) = parser.text_string_to_metric_families(lines)
    (sample,) = family.samples
    assert sample.labels == {"team": text, "agent": "a"}
    assert sample.value == float(value)
    assert family.documentation == metric.help
