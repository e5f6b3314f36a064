"""What attributes mean under their many names, and which records tell a call that was told already."""

import gzip
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.intake.otlp_choice import GRACE_S, Choice
from agentmon.collect.intake.otlp_names import Figures, figures
from agentmon.collect.intake.otlp_records import MAX_INFLATED, inflate, parse_json, records
from agentmon.events import TokenUsage

NAMES = [
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}, Figures(10, 5)),
    ({"gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5}, Figures(10, 5)),
    ({"llm.usage.prompt_tokens": "10", "llm.usage.completion_tokens": "5"}, Figures(10, 5)),
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.prompt_tokens": 9, "gen_ai.usage.output_tokens": 5},
     Figures(10, 5)),
    ({"ai.usage.promptTokens": 10, "ai.usage.completionTokens": 5.0}, Figures(10, 5)),
    ({"llm.token_count.prompt": 10, "llm.token_count.completion": 5, "llm.token_count.prompt_details.cache_read": 4,
      "llm.cost.total": 0.5}, Figures(10, 5, 4, cost=0.5)),
    # semantic conventions: cached tokens are among the input; what is more than the whole was not
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 4,
      "gen_ai.usage.cache_creation.input_tokens": 3}, Figures(10, 5, 4, 3)),
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.cache_read_input_tokens": 400,
      "gen_ai.usage.cache_creation_input_tokens": 3}, Figures(413, 5, 400, 3)),
    # the total tells whether reasoning is among the output
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.reasoning_tokens": 3,
      "gen_ai.usage.total_tokens": 15}, Figures(10, 5, reasoning=3)),
    ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.reasoning_tokens": 3,
      "gen_ai.usage.total_tokens": 18}, Figures(10, 8, reasoning=3)),
    ({"input_tokens": 10, "output_tokens": 5}, Figures()),  # short names mean nothing outside of an agent's events
    ({"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -1}, Figures()),
    ({"gen_ai.usage.input_tokens": float("nan"), "gen_ai.usage.output_tokens": True}, Figures()),
]  # fmt: skip


@pytest.mark.parametrize(("found", "told"), NAMES)
def test_names(found: dict[str, Any], told: Figures) -> None:
    assert figures(found) == told


def test_agents_own_names() -> None:
    anthropic = {"input_tokens": "1", "output_tokens": "2", "cache_read_tokens": "30", "cache_creation_tokens": "400"}
    assert figures(anthropic, own=True, excludes_cache=True) == Figures(431, 2, 30, 400)
    gemini = {"input_token_count": 10, "output_token_count": 5, "thoughts_token_count": 3, "tool_token_count": 2}
    assert figures({**gemini, "total_token_count": 20}, own=True) == Figures(12, 8, reasoning=3)


def attributes(**named: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": value(text)} for key, text in named.items()]


def value(it: Any) -> dict[str, Any]:
    return {"stringValue": it} if isinstance(it, str) else {"intValue": str(it)}


def span(name: str, start: int, end: int, parent: str = "", trace: str = "t", scope: str = "s", **found: Any) -> Any:
    one = {
        "name": name, "traceId": trace, "spanId": f"{scope}:{name}", "parentSpanId": parent,
        "startTimeUnixNano": str(start * 10**9), "endTimeUnixNano": str(end * 10**9), "attributes": attributes(**found),
    }  # fmt: skip
    return {"scope": {"name": scope}, "spans": [one]}


def told(*bodies: dict[str, Any]) -> list[TokenUsage]:
    choice = Choice()
    found = [finding for body in bodies for finding in choice.take(records(body), None, 0.0)]
    found += choice.close()
    return [f.payload for f in found if isinstance(f.payload, TokenUsage)]


def spans(*groups: Any, service: str = "app") -> dict[str, Any]:
    return {
        "resourceSpans": [{"resource": {"attributes": attributes(service__name=service)}, "scopeSpans": list(groups)}]
    }


def usage(input_: int, output: int) -> dict[str, int]:
    return {"gen_ai__usage__input_tokens": input_, "gen_ai__usage__output_tokens": output}


def test_sums_of_outer_spans_are_not_added() -> None:
    """An agent's span around a chain around two calls: only the calls count, whatever the batches."""
    groups = [
        span("a", 2, 3, "s:chain", **usage(10, 5)),
        span("b", 4, 5, "s:chain", **usage(20, 6)),
        span("chain", 1, 6, "s:agent"),
        span("agent", 0, 7, **usage(30, 11)),
    ]
    for bodies in ([spans(*groups)], [spans(*reversed(groups))], [spans(group) for group in groups]):
        assert [(u.input_tokens, u.output_tokens) for u in told(*bodies)] == [(10, 5), (20, 6)]


def test_an_agents_span_alone_counts() -> None:
    assert [u.input_tokens for u in told(spans(span("agent", 0, 7, **usage(30, 11))))] == [30]


def test_twice_by_two_instrumentations() -> None:
    a, b = span("x", 1, 4, "", "t1", "one", **usage(10, 5)), span("x", 2, 3, "", "t2", "two", **usage(10, 5))
    assert len(told(spans(a, b))) == 1
    c = span("y", 5, 6, "", "t3", "two", **usage(10, 5))  # the same figures again, later: another call
    assert len(told(spans(a, b, c))) == 2


def test_response_id_counts_once() -> None:
    one = span("x", 1, 2, "", "t1", gen_ai__response__id="r1", **usage(10, 5))
    other = span("y", 7, 8, "", "t2", "z", gen_ai__response__id="r1", **usage(10, 5))
    (found,) = told(spans(one, other))
    assert (found.call_id, found.duration_s, found.scope) == ("r1", 1.0, "call")


def test_calls_without_usage() -> None:
    chat: dict[str, Any] = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "m"}
    unknown = span("x", 1, 2, "", "t1", **chat)
    (found,) = told(spans(unknown))
    assert (found.model, found.input_tokens, found.total_tokens) == ("m", None, None)
    failed = span("x", 1, 2, "", "t1", **chat)
    failed["spans"][0]["status"] = {"code": 2}
    assert told(spans(failed)) == []
    assert told(spans(span("x", 1, 2, "", "t1", gen_ai__operation__name="execute_tool"))) == []


def log(service: str, name: str, at: int, **found: Any) -> dict[str, Any]:
    record = {"timeUnixNano": str(at * 10**9), "attributes": attributes(event__name=name, **found)}
    resource = {"attributes": attributes(service__name=service)}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


def test_ids_that_a_server_repeats() -> None:
    """Ollama draws one of 999 ids: the same one with other figures at another time is another call."""
    event = {"response_id": "chatcmpl-7", "output_token_count": 5}
    one = log("qwen-code", "qwen-code.api_response", 1, input_token_count=10, **event)
    two = log("qwen-code", "qwen-code.api_response", 2, input_token_count=20, **event)
    found = told(one, two, one, two)
    assert [u.input_tokens for u in found] == [10, 20]
    assert found[0].call_id == "chatcmpl-7"
    assert found[1].call_id != "chatcmpl-7"


def test_held_spans_do_not_hide_the_events_they_wait_for() -> None:
    found = {"gen_ai__response__id": "r1", **usage(10, 5)}
    first = spans(span("x", 1, 2, "", "t1", **found), service="qwen-code")
    events = [
        log(
            "qwen-code",
            "qwen-code.api_response",
            n,
            response_id=f"r{n}",
            input_token_count=10 * n,
            output_token_count=5,
        )
        for n in (1, 2)
    ]
    assert [u.input_tokens for u in told(first, *events)] == [10, 20]
    assert [u.input_tokens for u in told(events[0], first, events[1])] == [10, 20]
    assert [u.input_tokens for u in told(first)] == [10]


def test_events_that_are_not_calls() -> None:
    failed = log("claude-code", "api_error", 1, error="529", attempt=1, input_tokens=10, output_tokens=1)
    assert told(failed) == []
    twin = log("gemini-cli", "gen_ai.client.inference.operation.details", 1, **usage(10, 5))
    assert told(twin) == []  # Gemini CLI tells each call by its own event too
    created = log("codex_cli_rs", "codex.sse_event", 1, event__kind="response.completed")
    assert told(created) == []


def test_a_call_of_no_tokens_is_unknown() -> None:
    nothing: dict[str, Any] = {"input_tokens": "0", "output_tokens": "0", "cost_usd": "0", "model": "claude-x"}
    (found,) = told(log("claude-code", "api_request", 1, **nothing))
    assert (found.model, found.input_tokens, found.output_tokens, found.cost_usd) == ("claude-x", None, None, None)


def test_forks_of_gemini_cli() -> None:
    (found,) = told(log("fork", "fork.api_response", 1, input_token_count=10, output_token_count=5, model="m"))
    assert (found.input_tokens, found.tool, found.model) == (10, None, "m")


def metric(
    name: str, kind: str, start: int, at: int, amount: int, temporality: int = 2, shape: str = "sum"
) -> dict[str, Any]:
    point = {"attributes": attributes(type=kind, model="m"), "startTimeUnixNano": str(start), "timeUnixNano": str(at)}
    point |= {"sum": amount, "count": 1} if shape == "histogram" else {"asInt": str(amount)}
    one = {"name": name, shape: {"aggregationTemporality": temporality, "dataPoints": [point]}}
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [one]}]}]}


QWEN, GENERAL, GEMINI = "qwen-code.token.usage", "gen_ai.client.token.usage", "gemini_cli.token.usage"


@pytest.mark.parametrize(
    ("bodies", "total"),
    [
        ([metric("x.token.usage", "input", 1, 2, 10)], None),
        ([metric(QWEN, "input", 1, 2, 10), metric(QWEN, "input", 1, 3, 25)], 25),
        # a program that began anew
        ([metric(QWEN, "input", 1, 2, 10), metric(QWEN, "input", 5, 6, 7)], 17),
        ([metric(QWEN, "input", 1, 2, 10, 1), metric(QWEN, "input", 2, 3, 7, 1)], 17),
        ([metric(QWEN, "input", 1, 2, 10, 1)] * 2, 10),
        ([metric(GENERAL, "input", 1, 2, 10, 1, "histogram"), metric(GENERAL, "input", 2, 3, 5, 1, "histogram")], 15),
        # deltas that come late, and once more
        ([metric(QWEN, "input", *at, 7, 1) for at in ((3, 4), (2, 3), (1, 2), (2, 3))], 21),
        # a cumulative point that comes late
        ([metric(QWEN, "input", 1, 3, 25), metric(QWEN, "input", 1, 2, 10)], 25),
        # nobody told when it began
        ([metric(QWEN, "input", 0, at, amount) for at, amount in ((2, 10), (3, 12), (4, 5), (5, 6))], 18),
        # a counter and a histogram of one thing
        ([metric(GEMINI, "input", 1, 2, 10), metric(GENERAL, "input", 1, 2, 10, 2, "histogram")], 10),
    ],
)
def test_metrics(bodies: list[dict[str, Any]], total: int | None) -> None:
    found = told(*bodies)
    assert [u.input_tokens for u in found] == ([] if total is None else [total])
    assert all((u.scope, u.model, bool(u.session_id)) == ("session", "m", True) for u in found)


def test_gemini_metrics_count_thoughts_apart() -> None:
    kinds = [("input", 10), ("output", 5), ("thought", 3), ("cache", 4), ("tool", 2)]
    (found,) = told(*(metric("gemini_cli.token.usage", kind, 1, 2, amount) for kind, amount in kinds))
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens, found.reasoning_tokens) == (12, 8, 4, 3)


KEYS = (
    "resourceLogs", "resourceSpans", "resourceMetrics", "scopeLogs", "scopeSpans", "scopeMetrics", "logRecords",
    "spans", "metrics", "attributes", "key", "value", "stringValue", "intValue", "doubleValue", "sum", "histogram",
    "dataPoints", "name", "resource", "scope", "startTimeUnixNano", "timeUnixNano", "asInt", "status", "code", "body",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60)
@given(JSON, JSON, JSON)
def test_any_document(one: Any, two: Any, three: Any) -> None:
    choice = Choice()
    for signal in ("Logs", "Spans", "Metrics"):
        item = {"Logs": "logRecords", "Spans": "spans", "Metrics": "metrics"}[signal]
        document = {f"resource{signal}": [{"resource": one, f"scope{signal}": [{"scope": two, item: [three, one]}]}]}
        list(choice.take(records(document), None, 0.0))
        list(choice.take(records(three), None, 0.0))
    list(choice.tick(GRACE_S * 2))
    list(choice.close())


def test_bombs() -> None:
    with pytest.raises(ValueError, match="items"):
        parse_json(b"[" + b"{}," * 2_000_000 + b"{}]")
    with pytest.raises(ValueError, match="limit"):
        inflate(gzip.compress(bytes(MAX_INFLATED + 1), 1))
    with pytest.raises(ValueError):
        parse_json(b"[" * 100_000)


def test_inflate() -> None:
    data = gzip.compress(b"x" * 1000)
    assert inflate(data) == b"x" * 1000
    for bad in (b"", b"x", data[:-9], b"\x1f\x8b" + data[5:]):
        with pytest.raises(ValueError):
            inflate(bad)
