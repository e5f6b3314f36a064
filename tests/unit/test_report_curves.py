"""The series fold: bounded, and true to what was folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_logs import metrics

from agentmon.events import Event, Payload, TokenUsage
from agentmon.usage import Ledger
from agentmon.views.curves import POINTS, Curves
from agentmon.views.plot import Plot, block_lines


def folded(items: list[tuple[float, Payload]]) -> tuple[Curves, Ledger]:
    curves, ledger = Curves(), Ledger()
    for seq, (time, payload) in enumerate(items, 1):
        if isinstance(payload, TokenUsage):
            ledger.add("a", payload)
        curves.take(Event("r", seq, "a", "t", payload, time), ledger)
    curves.close(ledger, items[-1][0] if items else None)
    return curves, ledger


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1000)), min_size=1, max_size=400))
def test_peak_and_mean_survive_however_long_it_is(samples):
    curves, _ = folded([(at, metrics(cpu)) for at, cpu in samples])
    assert len(curves.points) <= POINTS
    values = [cpu for _, cpu in samples]
    assert max(p.cpu.peak for p in curves.points if p.cpu.peak is not None) == max(values)
    assert sum(p.cpu.count for p in curves.points) == len(values)
    assert curves.cpu.mean == pytest.approx(sum(values) / len(values))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_no_clock_breaks_it(times):
    curves, _ = folded([(at, metrics(1.0)) for at in times])
    assert len(curves.points) <= POINTS
    assert all(0 <= at <= 1 for at in curves.times())
    assert all(0 <= curves.at(at) <= 1 for at in times if at == at)


def test_usage_over_time_ends_with_the_totals():
    items: list[tuple[float, Payload]] = []
    for n in range(3000):
        items += [(n * 3.0, metrics(1.0)), (n * 3.0, TokenUsage("m", 10, 1, 11, 0.5, source="sdk", call_id=str(n)))]
    curves, ledger = folded(items)
    usages = [usage for usage in curves.usages() if usage is not None]
    inputs = [usage.input_tokens or 0 for usage in usages]
    assert inputs == sorted(inputs)
    assert (inputs[-1], usages[-1].cost_usd) == (ledger.totals().input_tokens, 1500.0)
    assert len(set(inputs)) > 50, "a curve, not a step"


def test_unknown_is_no_zero():
    curves, _ = folded([(0.0, metrics(None, None)), (1.0, metrics(None, None))])
    assert curves.cpu.mean is None
    assert curves.usages()[0] is None


def test_columns_hold_until_the_next_sample_and_no_longer():
    plot = Plot("x", "", [None, 1.0, None, 3.0, None], str)
    assert plot.columns([0.1, 0.3, 0.5, 0.7, 0.9], 10) == [None, None, None, 1.0, 1.0, 1.0, 1.0, 3.0, None, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 4.0, 8.0, None], [" ", " ", "█", " ", "▁", "█", "█", " "]),
        ([0.0, 0.0, None, 0.0], [" ", " ", " ", " ", "▁", "▁", " ", "▁"]),
    ],
)
def test_blocks(values, expected):
    top = max(value for value in values if value is not None)
    assert [c for row in block_lines(values, top, 2) for c in row] == expected
