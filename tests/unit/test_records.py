"""Records through the whole pipeline: captures of real agents, any cuts, any bytes."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.records import Records
from agentmon.collect.pipeline import Pipeline
from agentmon.events import Finding, GitActivity, TokenUsage
from agentmon.usage import Ledger

DATA = Path(__file__).parent.parent / "data" / "records"
EXPECTED = json.loads((DATA / "expected.json").read_text())


class Commands:
    """A GitReader that only remembers what it was given."""

    def __init__(self):
        self.seen = []

    def command(self, command, output, exit_code):
        self.seen.append((command, output, exit_code))
        return [Finding(GitActivity("commit", message=command))]


def run(data, cuts=(), git=None):
    pipeline = Pipeline([Records(git or Commands())], logs=False)
    found, start = [], 0
    for end in (*sorted(cuts), len(data)):
        found += pipeline.feed("stdout", data[start:end], 0.0)
        start = end
    return found + list(pipeline.close(0.0))


def ledger(found):
    usage = Ledger()
    for finding in found:
        if isinstance(finding.payload, TokenUsage):
            usage.add(finding.agent or "main", finding.payload)
    return usage


def lines(*records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize("name", EXPECTED)
def test_capture(name):
    usage = ledger(run((DATA / f"{name}.out").read_bytes()))
    totals, expected = usage.totals(), EXPECTED[name] or {}
    got = {k: getattr(totals, k) for k in expected if k not in ("models", "cost_usd", "reasoning_tokens")}
    assert got == {k: expected[k] for k in got}
    if name.startswith("gemini-0.61.0-stream"):  # told by the total only
        assert totals.reasoning_tokens is None
    else:
        assert totals.reasoning_tokens == expected.get("reasoning_tokens")
    if not name.startswith("langchain"):  # its cost comes from the price list
        assert totals.cost_usd == (None if expected.get("cost_usd") is None else pytest.approx(expected["cost_usd"]))
    if expected.get("models"):
        assert sorted(m.removesuffix("[1m]") for m in usage.by_model()) == expected["models"]
    if not expected:
        assert not any(getattr(totals, k) for k in totals.__slots__)


@pytest.mark.parametrize(
    "name", ["claude-code-2.1.197-json", "codex-0.169.0-json", "gemini-0.61.0-json", "langchain-debug"]
)
@settings(max_examples=15, deadline=None)
@given(draw=st.data())
def test_cuts_do_not_matter(name, draw):
    data = (DATA / f"{name}.out").read_bytes()
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=20))
    assert run(data, cuts) == run(data)


def test_byte_by_byte():
    data = (DATA / "gemini-0.61.0-json.out").read_bytes()
    assert run(data, range(len(data))) == run(data)


PIECES = st.sampled_from(
    [
        b'{"usage":',
        b'{"id":"a","input":{"command":"git"},',
        b'"output":"x"}',
        b'{"type":["a"],',
        b'"usage":{"input_tokens":',
        b'1,"output_tokens":2}}',
        b"\n",
        b"{\n",
        b"[\n",
        b"}\n",
        b"]",
        b'"a": 1,\n',
        b'"model": {}',
        b"null",
        b"\xff",
        b'{"type":"message_start","message":',
        b'{"tool_use_id":"a","content":[',
        b'"\\ud800"',
        b"1e999",
        b'{"modelUsage":{}}',
        b"x token usage ",
        b'{"models":{"a-1":',
        b"\x1b[1m",
        b"9" * 30,
        b'{"parent_tool_use_id":{}}\n',
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES | st.binary(max_size=12), max_size=40).map(b"".join))
def test_no_bytes_raise(data):
    found = run(data)
    assert run(data, range(0, len(data), 7)) == found
    ledger(found).totals()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**62) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "usage",
                    "tokens",
                    "input",
                    "output",
                    "input_tokens",
                    "output_tokens",
                    "total",
                    "models",
                    "modelUsage",
                    "message",
                    "event",
                    "stop_reason",
                    "tool_use_id",
                    "content",
                    "command",
                    "cost",
                    "status",
                    "session_id",
                    "stats",
                    "result",
                    "cache",
                    "state",
                    "metrics",
                    "parent_tool_use_id",
                    "subagent_type",
                ]
            ),
            inner | st.sampled_from(["result", "message_start", "message_delta", "session"]),
            max_size=6,
        )
    ),
    max_leaves=40,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(JSON, max_size=4))
def test_no_json_raises(values):
    ledger(run(lines(*values))).by_model()


def assistant(number, session="s", parent=None, **usage):
    figures = {"input_tokens": 10, "output_tokens": 1} | usage
    return {
        "type": "assistant",
        "session_id": session,
        "parent_tool_use_id": parent,
        "message": {"id": f"msg_{number}", "model": "claude-x-1", "stop_reason": None, "usage": figures},
    }


def result(session="s", cost=1.0, **figures):
    model = {"inputTokens": 100, "outputTokens": 50, "costUSD": cost} | figures
    return {"type": "result", "session_id": session, "total_cost_usd": cost, "modelUsage": {"claude-x-1": model}}


def test_sub_agents_have_their_names():
    started = {
        "type": "assistant",
        "session_id": "s",
        "parent_tool_use_id": None,
        "message": {
            "id": "msg_0",
            "content": [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "Task",
                    "input": {"subagent_type": "Explore", "prompt": "p"},
                }
            ],
        },
    }
    found = run(lines(started, assistant(1), assistant(2, parent="toolu_1"), assistant(3, parent="toolu_9"), result()))
    assert [f.agent for f in found] == [None, "Explore", "subagent", None]
    agents = ledger(found).by_agent()
    assert (agents["Explore"].input_tokens, agents["main"].input_tokens) == (10, 80)
    assert ledger(found).totals().input_tokens == 100


def test_a_sub_agent_that_its_call_does_not_name():
    started = {
        "type": "system",
        "subtype": "task_started",
        "session_id": "s",
        "tool_use_id": "toolu_1",
        "subagent_type": "general-purpose",
    }
    assert [f.agent for f in run(lines(started, assistant(2, parent="toolu_1")))] == ["general-purpose"]


def test_what_a_sub_agent_does_in_git_is_its_own():
    call = {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {"command": "git commit -m x"}}
    done = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "[main abc1234] x"}
    data = lines(
        {"message": {"content": [{"type": "tool_use", "id": "toolu_1", "input": {"subagent_type": "Explore"}}]}},
        {"parent_tool_use_id": "toolu_1", "message": {"content": [call]}},
        {"parent_tool_use_id": "toolu_1", "message": {"content": [done]}},
    )
    assert [(f.agent, f.payload.message) for f in run(data)] == [("Explore", "git commit -m x")]


def test_a_killed_session_has_input_but_no_output():
    totals = ledger(run(lines(assistant(1), assistant(1), assistant(2)))).totals()
    assert (totals.input_tokens, totals.output_tokens, totals.total_tokens) == (20, None, None)


def test_stream_events_complete_a_message():
    data = lines(
        {
            "type": "stream_event",
            "session_id": "s",
            "event": {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "model": "claude-x-1",
                    "stop_reason": None,
                    "usage": {"input_tokens": 10, "output_tokens": 1},
                },
            },
        },
        {"type": "stream_event", "session_id": "s", "event": {"type": "message_delta", "usage": {"output_tokens": 70}}},
        assistant(1),
    )
    found = run(data)
    assert [(f.payload.call_id, f.payload.output_tokens) for f in found] == [("msg_1", None), ("msg_1", 70)]
    assert ledger(found).totals().total_tokens == 80


def test_anthropic_stream_printed_by_a_script():
    data = b'message_start {"input_tokens":262,"output_tokens":1}\nmessage_delta {"output_tokens":98}\n' * 2
    totals = ledger(run(data)).totals()
    assert (totals.input_tokens, totals.output_tokens, totals.total_tokens) == (524, 196, 720)


@pytest.mark.parametrize(
    ("second", "turn", "total", "cost"),
    [
        ({"inputTokens": 300, "outputTokens": 80, "cost": 2.0}, {"input_tokens": 200, "output_tokens": 30}, 300, 2.0),
        ({"inputTokens": 30, "outputTokens": 80, "cost": 0.5}, {"input_tokens": 30, "output_tokens": 80}, 130, 1.5),
        ({"inputTokens": 300, "outputTokens": 80, "cost": 2.0}, {"input_tokens": 290, "output_tokens": 80}, 400, 3.0),
    ],
    ids=["goes on", "resumed", "resumed, and larger"],
)
def test_two_results_of_a_session(second, turn, total, cost):
    both = lines(assistant(1), result(cost=1.0), assistant(2), result(**second) | {"usage": turn})
    totals = ledger(run(both)).totals()
    assert (totals.input_tokens, totals.cost_usd) == (total, cost)


def test_two_sessions_of_one_tool_are_added():
    totals = ledger(run(lines(result("a"), result("b")))).totals()
    assert (totals.input_tokens, totals.cost_usd) == (200, 2.0)


def test_an_orchestrators_own_records_are_not_its_agents():
    own = {"usage": {"prompt_tokens": 7, "completion_tokens": 2}, "id": "chatcmpl-1"}
    assert ledger(run(lines(assistant(1), result(), own))).totals().input_tokens == 107
    assert ledger(run(lines({"type": "thread.started", "thread_id": "t"}, own))).totals().input_tokens == 7


def test_codex_threads():
    turn = {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 0, "output_tokens": 9}}
    found = run(
        lines(
            {"type": "thread.started", "thread_id": "t"},
            turn,
            turn | {"usage": {"input_tokens": 150, "output_tokens": 12}},
            {"type": "thread.started", "thread_id": "u"},
            turn,
        )
    )
    assert {(f.payload.tool, f.payload.session_id) for f in found} == {("codex", "t"), ("codex", "u")}
    assert ledger(found).totals().input_tokens == 250


@pytest.mark.parametrize(
    "text",
    [
        '{"usage": {"input_tokens": 7, "output_tokens": 2}}',
        '2026-01-01 INFO app: reply {"usage": {"input_tokens": 7, "output_tokens": 2}} in 3 ms',
        'data: {"usage": {"input_tokens": 7, "output_tokens": 2}}',
        'usage {"input_tokens": 7, "output_tokens": 2}',
        '{\n  "usage": {\n    "input_tokens": 7,\n    "output_tokens": 2\n  }\n}',
        'reply: {\n  "usage": {\n    "input_tokens": 7,\n    "output_tokens": 2\n  }\n}',
        '[\n  {\n    "usage": {\n      "input_tokens": 7,\n      "output_tokens": 2\n    }\n  }\n]',
        'func() {\n{"usage": {"input_tokens": 7, "output_tokens": 2}}',
        '{\n  "a": 1,\nno JSON after all\n{"usage": {"input_tokens": 7, "output_tokens": 2}}',
        '{\n"a": {"usage": {"input_tokens": 7, "output_tokens": 2}},\n',
        'x {"not": json} {"usage": {"input_tokens": 7, "output_tokens": 2}}',
    ],
)
def test_where_json_stands(text):
    (finding,) = run(text.encode())
    assert (finding.payload.input_tokens, finding.payload.output_tokens) == (7, 2)


def test_documents_of_two_streams_do_not_mix():
    records = Records(Commands())
    texts = [
        ("stdout", "{"),
        ("stderr", "{"),
        ("stdout", '"usage": {"input_tokens": 7, "output_tokens": 2}'),
        ("stderr", '"a": 1'),
        ("stdout", "}"),
        ("stderr", "}"),
    ]
    found = [f for stream, text in texts for f in records.feed(Line(stream, text, 0.0))]
    assert len(found) == 1
    assert not records.attentive


@pytest.mark.parametrize("block", [b"{\n", b"[\n", b'{\n"a": 1,\n', b'"', b'{"', b'{"a":', b"x {\n"])
def test_hostile_shapes_are_linear(block):
    run(block * (200_000 // len(block)))
