"""What comes and is no event, or one that PostgreSQL does not take: kept aside or cleaned, counted, and no obstacle."""

import json

import orjson
import pytest
from history_database import event, said
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon import ndjson
from agentmon.events import (
    Lifecycle,
    TokenUsage,
)
from agentmon.fleet import folding, storing
from agentmon.fleet.arrivals import Arrival, Refused, Taken, look_at

POISON = {
    "nothing": b"",
    "no JSON": b"\xff\xfe not json",
    "no object": b"[1, 2]",
    "no event": b'{"a": 1}',
    "a lone surrogate": event(2).replace(b'"m"', b'"\\ud800"'),
    "a number beyond all": event(2).replace(b"15", b"1e400"),
    "a number out of range": event(2).replace(b"15", b"9007199254740993"),
    "a cost out of range": event(2).replace(b"0.5", b"1e300"),
    "a seq out of range": event(2).replace(b'"seq":2', b'"seq":9223372036854775808'),
    "a negative seq": event(2).replace(b'"seq":2', b'"seq":-1'),
    "a time out of range": event(2).replace(b'"timestamp":1700000002.0', b'"timestamp":1e15'),
    "a text for a number": event(2).replace(b"15", b'"many"'),
    "a run id that is long": event(2, "r" * 600),
    "models that are none": event(2).replace(b'"scope"', b'"models":{"m":{"input_tokens":"x"}},"scope"'),
    "too deep": b"[" * 100_000,
    "another event of this seq": event(1, payload=said("not the same")),
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON)
def test_poison_is_kept_aside_and_counted(db, body):
    good = [event(1), event(3)]
    count = db.store([good[0], body, good[1]])
    assert (count.stored, count.rejected) == (2, 1)
    again = db.store([good[0], body, good[1]])  # redelivered
    assert (again.stored, again.known, again.rejected) == (0, 2, 0)
    ((kept, size, reason),) = db.ask("SELECT body, size, reason FROM agentmon.rejects")
    assert (kept, size) == (body[: 1 << 16], len(body))
    assert reason
    assert db.ask("SELECT calls, total_tokens, events FROM agentmon.runs") == [(2, 30, 2)]


def test_characters_that_postgresql_does_not_take(db):
    lines = [
        event(1, payload=said("a\0b \\u0000 \t\n\\.")), event(2, payload=TokenUsage("m\0", 1, 2, 3, source="sdk")),
        event(3, payload=Lifecycle("started", argv=("\0",), labels={"k\0": "\0v"})), event(4, agent="crew\0"),
        event(5, payload=said("plain \\u0000")),
    ]  # fmt: skip
    count = db.store(lines)
    assert (count.stored, count.cleaned, count.rejected) == (5, 4, 0)
    assert db.ask("SELECT cleaned, labels FROM agentmon.runs") == [(4, {"k\ufffd": "\ufffdv"})]
    ((message,), (plain,)) = db.ask("SELECT data->'activity_log'->>'message' FROM agentmon.events WHERE seq IN (1, 5)")
    assert message == "a\ufffdb \\u0000 \t\n\\."
    assert plain == "plain \\u0000"
    assert db.ask("SELECT model FROM agentmon.usage WHERE model <> 'm'") == [("m\ufffd",)]
    assert db.store(lines).known == 5


def test_what_postgresql_alone_refuses_is_found_among_the_rest(db, monkeypatch):
    def careless(arrival: Arrival) -> Taken | Refused:
        return Taken(arrival, ndjson.decode(arrival.body), orjson.dumps(orjson.loads(arrival.body)["data"]))

    monkeypatch.setattr(storing, "look_at", careless)
    bad = event(17, payload=said("\0"))
    lines = [event(n) if n != 17 else bad for n in range(40)]
    count = db.store(lines)
    assert (count.stored, count.rejected) == (39, 1)
    ((body, reason),) = db.ask("SELECT body, reason FROM agentmon.rejects")
    assert body == bad
    assert reason.startswith("PostgreSQL: ")


def test_a_run_that_cannot_be_folded_stops_nobody(db, monkeypatch):
    figures = folding.figures

    def failing(state):
        if state.run_id == "bad" and state.start is None and state.usage.calls():
            raise TypeError("unexpected")
        return figures(state)

    monkeypatch.setattr(folding, "figures", failing)
    db.store([event(1, "bad"), event(1, "good")])
    rows = {name: (reason, calls) for name, reason, calls in db.ask("SELECT run_id, reason, calls FROM agentmon.runs")}
    assert rows["good"] == (None, 1)
    assert "TypeError" in rows["bad"][0]


@given(st.binary(max_size=80) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_looked_at(body):
    assert isinstance(look_at(Arrival("s", body)), Refused)


FIELDS = st.sampled_from(["run_id", "seq", "agent_id", "team_id", "event", "data", "timestamp", "v"])
VALUES = st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({"token_usage": {}})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(FIELDS, VALUES), max_size=3),
    st.dictionaries(
        st.sampled_from(["model", "input_tokens", "call_id", "scope", "source", "models", "status", "tool", "pid"]),
        VALUES,
    ),
)
def test_events_that_were_tampered_with_stop_nothing(shared, envelope, usage):
    shared.empty()
    raw = orjson.loads(event(1))
    raw["data"]["token_usage"] |= usage
    raw |= dict(envelope)
    body = json.dumps(raw).encode()
    count = shared.store([event(1, "good"), body, event(2, "good")])
    assert count.stored + count.rejected == 3
    assert shared.ask("SELECT calls, total_tokens FROM agentmon.runs WHERE run_id = 'good'") == [(2, 30)]
