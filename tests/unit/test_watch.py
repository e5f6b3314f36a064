"""Budgets and limits: when they warn, when they fire, and that they do so once."""

import pytest

from agentmon.collect.watch import Limits, Verdict, Watch
from agentmon.events import Event, ProcessMetrics, TokenUsage, Tree


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def used(watch: Watch, tokens: int, cost: float | None = None, estimated: bool | None = None) -> list[Verdict]:
    usage = TokenUsage(input_tokens=tokens, output_tokens=0, total_tokens=tokens, cost_usd=cost, estimated=estimated)
    watch.see(Event("r", 1, "a", "t", usage, 0.0))
    return list(watch.judge())


def sample(cpu: float | None = 0.0, cpu_time: float = 0.0, memory: float | None = 1.0) -> ProcessMetrics:
    return ProcessMetrics(1, cpu, memory, 1, "running", Tree(1, cpu, cpu_time, memory, 1, None, None))


def told(verdicts: list[Verdict]) -> list[tuple[str, str, str]]:
    return [(v.alert.rule, v.alert.severity, v.action) for v in verdicts]


def test_a_budget_warns_at_80_percent_and_fires_once() -> None:
    watch = Watch(Limits(budget_tokens=100), Clock())
    assert told(used(watch, 79)) == []
    assert told(used(watch, 1)) == [("budget-tokens", "warning", "warn")]
    assert told(used(watch, 5)) == []
    assert told(used(watch, 20)) == [("budget-tokens", "critical", "stop")]
    assert told(used(watch, 500)) == []


@pytest.mark.parametrize("action", ["warn", "stop", "kill"])
def test_what_a_used_up_budget_does(action: str) -> None:
    watch = Watch(Limits(budget=1.0, on_budget=action), Clock())  # type: ignore[arg-type]
    assert told(used(watch, 1, cost=2.0)) == [("budget", "critical", action)]


def test_an_estimate_alone_stops_nothing() -> None:
    watch = Watch(Limits(budget_tokens=100), Clock())
    assert told(used(watch, 150, estimated=True)) == [("budget-tokens (estimated)", "critical", "warn")]
    assert told(used(watch, 100)) == [("budget-tokens", "critical", "stop")]


def test_estimates_count_where_that_was_asked_for() -> None:
    watch = Watch(Limits(budget_tokens=100, count_estimates=True), Clock())
    assert told(used(watch, 150, estimated=True)) == [("budget-tokens", "critical", "stop")]


def test_repeats_of_one_call_count_once() -> None:
    watch = Watch(Limits(budget_tokens=100), Clock())
    usage = TokenUsage(input_tokens=60, output_tokens=0, total_tokens=60, call_id="x")
    for _ in range(5):
        watch.see(Event("r", 1, "a", "t", usage, 0.0))
    assert list(watch.judge()) == []


def test_the_daily_budget_counts_the_other_runs() -> None:
    watch = Watch(Limits(daily=10.0), Clock(), lambda: 9.5)
    assert told(used(watch, 1, cost=0.6)) == [("daily-budget", "critical", "stop")]


def test_what_costs_an_unknown_amount_uses_no_budget_up() -> None:
    assert used(Watch(Limits(budget=1.0), Clock()), 10**9) == []


def test_memory() -> None:
    watch = Watch(Limits(memory_mb=100.0), Clock())
    assert told([*watch.sampled(sample(memory=None)), *watch.sampled(sample(memory=100.0))]) == []
    assert told(list(watch.sampled(sample(memory=100.1)))) == [("max-memory", "critical", "warn")]


def test_cpu_must_stay_high() -> None:
    clock = Clock()
    watch = Watch(Limits(cpu_percent=300.0, cpu_for=60.0), clock)
    seen = []
    for percent in (400.0, 400.0, 200.0, 400.0, 400.0, 400.0, 400.0):
        seen.append(told(list(watch.sampled(sample(cpu=percent)))))
        clock.now += 30
    assert seen == [[], [], [], [], [], [("max-cpu", "critical", "warn")], []]


def test_a_stall_is_neither_output_nor_cpu() -> None:
    clock = Clock()
    watch = Watch(Limits(stall=10.0), clock)

    def after(seconds: float, cpu_time: float) -> list[tuple[str, str, str]]:
        clock.now += seconds
        return told(list(watch.sampled(sample(cpu_time=cpu_time))))

    assert after(9, 0.0) == []
    watch.saw_output()
    assert after(9, 0.0) == []
    assert after(9, 5.0) == []  # it computes
    assert after(9, 5.0) == []
    assert after(1, 5.0) == [("stall", "critical", "warn")]
    assert after(9, 5.0) == []
    watch.saw_output()
    assert after(1, 5.0) == []
    assert after(10, 5.0) == [("stall", "critical", "warn")]  # another one
