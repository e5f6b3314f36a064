"""Real exports of real tools: whatever signals arrive, and in whatever order, every token counts once."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agentmon.collect.intake.otlp_choice import GRACE_S, Choice
from agentmon.collect.intake.otlp_records import parse_json, parse_protobuf, protobuf_here, records
from agentmon.events import Finding, TokenUsage
from agentmon.usage import Ledger

FOLDER = Path(__file__).parent.parent / "data" / "otlp"
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
AGENTS = {"claude-code-2.1.197": "claude-code", "codex-0.169.0": "codex", "qwen-code-0.15.10": "qwen-code"}


def findings(bodies: Iterable[Any]) -> list[TokenUsage]:
    choice = Choice()
    found: list[Finding] = []
    for body in bodies:
        found += choice.take(records(body), 4711, 0.0)
    found += choice.tick(GRACE_S / 2)
    found += choice.close()
    return [f.payload for f in found if isinstance(f.payload, TokenUsage)]


def sums(found: list[TokenUsage]) -> dict[str, int]:
    return {name: sum(getattr(usage, name) or 0 for usage in found) for name in COUNTS}


def load(name: str) -> tuple[dict[str, int], list[Any]]:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    truth = document["truth"]
    return {key: truth[key] for key in COUNTS} | {"calls": truth["calls"]}, document["bodies"]


def first(bodies: list[Any], signal: str) -> list[Any]:
    """That signal before the others; within a signal the order stays."""
    return sorted(bodies, key=lambda body: signal not in body)


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("order", ["as it came", "resourceLogs", "resourceSpans", "resourceMetrics"])
def test_every_call_once(name: str, order: str) -> None:
    truth, bodies = load(name)
    found = findings(first(bodies, order))
    assert sums(found) == {key: truth[key] for key in COUNTS}
    assert len(found) == truth["calls"]
    assert {(u.scope, u.source, u.tool, u.pid) for u in found} == {("call", "otlp", AGENTS[name], 4711)}
    assert len({u.call_id for u in found}) == truth["calls"]
    assert len({u.session_id for u in found}) == 1
    assert all(u.total_tokens == (u.input_tokens or 0) + (u.output_tokens or 0) for u in found)
    ledger = Ledger()
    for usage in found:
        ledger.add("agent", usage)
    assert ledger.totals().input_tokens == truth["input_tokens"]


@pytest.mark.parametrize("name", AGENTS)
def test_sent_twice(name: str) -> None:
    """An exporter that saw no answer sends a batch again."""
    truth, bodies = load(name)
    assert sums(findings([body for body in bodies for _ in range(2)])) == {key: truth[key] for key in COUNTS}


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("signal", ["resourceSpans", "resourceMetrics"])
def test_without_log_events(name: str, signal: str) -> None:
    """Where only metrics or spans are exported, they tell the same sums."""
    truth, bodies = load(name)
    only = [body for body in bodies if signal in body]
    found = findings(only)
    if not only:
        assert not found
        return
    assert sums(found) == {key: truth[key] for key in COUNTS}
    assert {u.scope for u in found} == {"session" if signal == "resourceMetrics" else "call"}


def test_cost_is_the_tools_own() -> None:
    _, bodies = load("claude-code-2.1.197")
    for only in ("resourceLogs", "resourceMetrics"):
        found = findings([body for body in bodies if only in body])
        assert sum(usage.cost_usd or 0 for usage in found) == pytest.approx(0.48135125)
        assert {usage.cost_source for usage in found} == {"tool"}


def test_metrics_are_told_while_the_run_goes_on() -> None:
    truth, bodies = load("qwen-code-0.15.10")
    choice = Choice()
    ledger = Ledger()
    now = 0.0
    for body in (b for b in bodies if "resourceMetrics" in b):
        assert not list(choice.take(records(body), None, now))
        now += GRACE_S + 1
        (finding,) = choice.tick(now)
        assert isinstance(finding.payload, TokenUsage)
        ledger.add("agent", finding.payload)
    assert not list(choice.close())
    assert ledger.totals().input_tokens == truth["input_tokens"]
    late = [f for b in bodies if "resourceLogs" in b for f in choice.take(records(b), None, now)]
    assert not late  # what was chosen stays: the same tokens are not told again


def openllmetry() -> list[TokenUsage]:
    return findings([parse_json((FOLDER / "openllmetry-openai-0.62.4.json").read_bytes())])


def test_openllmetry() -> None:
    found = openllmetry()
    assert [
        (u.call_id, u.model, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.reasoning_tokens) for u in found
    ] == [
        ("chatcmpl-0001", "gpt-4o", 1121, 50, 128, 12),
        ("chatcmpl-0002", "gpt-4o-mini", None, None, None, None),  # a stream without usage: a call of unknown size
        ("chatcmpl-0003", "gpt-4o-mini", 1399, 76, 0, None),  # that reasoning was among it, the span does not tell
        ("resp_0004", "gpt-5", 1559, 89, 128, 0),
        ("chatcmpl-0005", "gpt-4o", 1733, 102, 256, 16),
    ]


@pytest.mark.skipif(not protobuf_here(), reason="the extra otlp is not installed")
def test_openllmetry_in_protobuf() -> None:
    def plain(found: list[TokenUsage]) -> list[Any]:
        return [(u.model, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.reasoning_tokens) for u in found]

    body = (FOLDER / "openllmetry-openai-0.62.4.pb").read_bytes()
    assert plain(findings([parse_protobuf("traces", body)])) == plain(openllmetry())


@pytest.mark.skipif(not protobuf_here(), reason="the extra otlp is not installed")
def test_two_instrumentations_tell_of_each_call() -> None:
    """OpenInference around what the anthropic SDK tells by itself: nested for a call, side by side for a stream."""
    body = (FOLDER / "openinference-anthropic-3.1.0.pb").read_bytes()
    found = findings([parse_protobuf("traces", body)])
    assert [u.call_id for u in found] == [f"msg_000{n}" for n in range(1, 6)]
    assert sums(found) == {
        "input_tokens": 9692, "output_tokens": 490, "cache_read_tokens": 6462, "cache_write_tokens": 1920,
        "reasoning_tokens": 0,
    }  # fmt: skip
