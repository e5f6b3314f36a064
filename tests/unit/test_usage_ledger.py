"""The fold: every token once, whoever told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.events import Event, TokenUsage
from agentmon.telemetry import fold, telemetry_dict
from agentmon.usage import Ledger


def call(given=10, made=5, **more):
    total = None if None in (given, made) else given + made
    return TokenUsage(input_tokens=given, output_tokens=made, total_tokens=total, **more)


def total(given=100, made=50, **more):
    return call(given, made, scope="session", **more)


def totals(*usages):
    ledger = Ledger()
    for usage in usages:
        ledger.add("main", usage)
    sums = ledger.totals()
    return sums.input_tokens, sums.output_tokens


CASES = {
    "nothing": ([], (None, None)),
    "calls are added": ([call(), call()], (20, 10)),
    "a call that is repeated": ([call(call_id="a"), call(call_id="a")], (10, 5)),
    "a call that grows": ([call(10, 1, call_id="a"), call(10, 5, call_id="a")], (10, 5)),
    "a call known in parts": ([call(10, None, call_id="a"), call(None, 5, call_id="a")], (10, 5)),
    "one id in two sessions": ([call(call_id="a", session_id="s"), call(call_id="a", session_id="t")], (20, 10)),
    "a call's record, and a print of its usage": ([call(call_id="a"), call()], (10, 5)),
    "a record, and two prints": ([call(call_id="a"), call(), call()], (20, 10)),
    "a print of another model": ([call(call_id="a", model="x"), call(model="y")], (20, 10)),
    "a total replaces its calls": (
        [call(session_id="s", tool="t"), call(session_id="s", tool="t"), total(session_id="s", tool="t")],
        (100, 50),
    ),
    "the tool is known late": ([call(session_id="s", call_id="a"), total(session_id="s", tool="t")], (100, 50)),
    "a running total": ([total(10, 5, tool="t"), total(20, 9, tool="t"), total(20, 9, tool="t")], (20, 9)),
    "a count that began again": ([total(20, 9, tool="t"), total(10, 5, tool="t"), total(15, 6, tool="t")], (35, 15)),
    "two sessions": ([total(session_id="s", tool="t"), total(session_id="u", tool="t")], (200, 100)),
    "two tools": ([total(tool="t"), total(tool="u")], (200, 100)),
    "a call after the total": (
        [total(session_id="s", tool="t"), call(session_id="s", tool="t", call_id="z")],
        (110, 55),
    ),
    "a call before and after the total": (
        [
            call(session_id="s", tool="t", call_id="z"),
            total(session_id="s", tool="t"),
            call(session_id="s", tool="t", call_id="z"),
        ],
        (100, 50),
    ),
    "prints of no known tool that add up to a total": ([call(60, 30), call(40, 20), total(tool="t")], (100, 50)),
    "a total of nobody that a session sums up to": (
        [call(10, 5, session_id="s", call_id="a"), call(10, 5, session_id="s", call_id="b"), total(20, 10)],
        (20, 10),
    ),
    "prints of no known tool that do not": ([call(60, 30), total(tool="t")], (160, 80)),
    "exact before printed": ([call(tool="t"), call(20, 9, tool="t", source="sdk")], (20, 9)),
    "exact of another tool": ([call(tool="t"), call(20, 9, tool="u", source="sdk")], (30, 14)),
    "no known tool beside exact": ([call(), call(20, 9, tool="u", source="otlp")], (20, 9)),
    "an agent's print beside hooked calls of no tool": ([call(tool="codex"), call(20, 9, source="sdk")], (30, 14)),
    "a framework's print beside hooked calls of no tool": ([call(tool="crewai"), call(20, 9, source="sdk")], (20, 9)),
    "exact without usage": ([call(tool="t"), TokenUsage(tool="t", source="sdk")], (10, 5)),
    "exact without usage, beside exact calls of no tool": (
        [call(tool="aider"), TokenUsage(tool="aider", source="sdk"), call(20, 9, source="sdk")],
        (30, 14),
    ),
    "sdk before otlp, per process": (
        [
            call(source="otlp", tool="t", pid=1),
            call(20, 9, source="sdk", tool="t", pid=1),
            call(40, 20, source="otlp", tool="t", pid=2),
        ],
        (60, 29),
    ),
    "one id from two sources": ([call(source="sdk", call_id="a"), call(source="otlp", call_id="a", pid=3)], (10, 5)),
}


@pytest.mark.parametrize(("usages", "expected"), CASES.values(), ids=CASES)
def test_sums(usages, expected):
    assert totals(*usages) == expected


def test_unknown_stays_unknown():
    ledger = Ledger()
    ledger.add("main", call(10, None))
    sums = ledger.totals()
    assert (sums.input_tokens, sums.output_tokens, sums.total_tokens, sums.cost_usd) == (10, None, None, None)
    assert sums.cache_read_tokens is None


def test_details_that_only_the_calls_know():
    ledger = Ledger()
    for _ in range(2):
        ledger.add("main", call(50, 25, session_id="s", tool="t", reasoning_tokens=4, cost_usd=0.5, model="m"))
    ledger.add("main", total(session_id="s", tool="t"))
    sums = ledger.totals()
    assert (sums.input_tokens, sums.reasoning_tokens, sums.cost_usd) == (100, 8, 1.0)
    assert ledger.by_model()["m"].output_tokens == 50


def test_details_of_some_calls_are_not_those_of_the_total():
    ledger = Ledger()
    ledger.add("main", call(50, 25, session_id="s", tool="t", reasoning_tokens=4))
    ledger.add("main", total(session_id="s", tool="t"))
    assert ledger.totals().reasoning_tokens is None


def test_two_prints_of_a_total_complete_each_other():
    ledger = Ledger()
    ledger.add("main", total(tool="t", cache_read_tokens=7))
    ledger.add("main", total(tool="t", cost_usd=1.5))
    assert (ledger.totals().cache_read_tokens, ledger.totals().cost_usd) == (7, 1.5)


def test_by_agent_and_model():
    ledger = Ledger()
    ledger.add("main", call(model="a"))
    ledger.add("coder", call(model="a"))
    ledger.add("coder", call(model="b"))
    assert {k: v.input_tokens for k, v in ledger.by_agent().items()} == {"main": 10, "coder": 20}
    assert {k: v.input_tokens for k, v in ledger.by_model().items()} == {"a": 20, "b": 10}


def test_estimates_say_so():
    ledger = Ledger()
    ledger.add("main", call())
    assert ledger.totals().estimated is None
    ledger.add("main", call(estimated=True))
    assert ledger.totals().estimated is True


def test_calls_unknown():
    ledger = Ledger()
    ledger.add("main", call())
    ledger.add("main", TokenUsage(source="sdk", status=200))
    ledger.add("main", TokenUsage(source="sdk", status=529))
    assert (ledger.calls(), ledger.calls_unknown()) == (1, 1)


@given(
    st.lists(
        st.builds(
            call,
            st.none() | st.integers(0, 9),
            st.none() | st.integers(0, 9),
            call_id=st.sampled_from([None, "a", "b"]),
            session_id=st.sampled_from([None, "s"]),
            tool=st.sampled_from([None, "codex", "t"]),
            source=st.sampled_from(["output", "sdk", "otlp"]),
            scope=st.sampled_from(["call", "session"]),
            model=st.sampled_from([None, "m", "n"]),
            pid=st.sampled_from([None, 1]),
        ),
        max_size=12,
    )
)
def test_never_more_than_was_told(usages):
    ledger = Ledger()
    for number, usage in enumerate(usages):
        ledger.add(f"agent{number % 3}", usage)
    sums, told = ledger.totals(), sum(u.input_tokens or 0 for u in usages)
    assert (sums.input_tokens or 0) <= told
    assert sum(s.input_tokens or 0 for s in ledger.by_agent().values()) <= told
    ledger.by_model()


def event(seq, payload):
    return Event("r", seq, "main", "team", payload, 1.0)


def test_streams_of_two_processes():
    twice = [event(seq, total(tool="t", session_id="s")) for seq in (1, 1)]
    assert fold(twice).usage.totals().input_tokens == 200
    resumed = [event(1, total(tool="codex", session_id="s")), event(1, total(150, 60, tool="codex", session_id="s"))]
    assert fold(resumed).usage.totals().input_tokens == 150


def test_the_report():
    report = telemetry_dict(fold([event(1, call(model="m", cost_usd=0.5))]))
    usage = report["token_usage"]
    assert (usage["input_tokens"], usage["cost_usd"], usage["cache_read_tokens"]) == (10, 0.5, None)
    assert (list(usage["models"]), report["agents"], usage["calls"]) == (["m"], ["main"], 1)
