"""The wire format: what is written is read back, and the fast way of writing writes the same."""

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon import ndjson
from agentmon.collect.pipeline import Pipeline
from agentmon.collect.recorder import Recorder
from agentmon.events import PAYLOADS, ActivityLog, Event, Lifecycle, ProcessMetrics, TokenUsage, Tree

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
COUNT = st.none() | st.integers(0, 1 << 53)
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 1 << 40)
TREE = st.builds(Tree, st.integers(0, 500), NUMBER, NUMBER, NUMBER, COUNT, COUNT, COUNT)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "tree": TREE,
    "argv": st.none(),
    "labels": st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
    "sources": st.none()
    | st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers(0, 1 << 40), max_size=3), max_size=2),
    "models": st.none() | st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers(0, 9), max_size=2), max_size=2),
    "truncated": st.none() | st.booleans(),
    "estimated": st.none() | st.booleans(),
}


def _value(annotation: str, name: str) -> st.SearchStrategy[Any]:
    if name in VALUES:
        return VALUES[name]
    if "str" in annotation or "Literal" in annotation or not ("int" in annotation or "float" in annotation):
        return TEXT if "None" not in annotation else st.none() | TEXT
    numbers: st.SearchStrategy[Any] = (
        st.integers(0, 1 << 53) if "int" in annotation else st.floats(allow_nan=False, allow_infinity=False)
    )
    return numbers if "None" not in annotation else st.none() | numbers


def _payloads(cls: type) -> st.SearchStrategy[Any]:
    return st.builds(cls, **{f.name: _value(str(f.type), f.name) for f in fields(cls)})


ENVELOPE = (TEXT, st.integers(1, 1 << 53), TEXT, TEXT)


@pytest.mark.parametrize("cls", PAYLOADS.values(), ids=list(PAYLOADS))
@given(data=st.data())
def test_round_trip(cls: type, data: st.DataObject) -> None:
    run, seq, agent, team = (data.draw(one) for one in ENVELOPE)
    event = Event(run, seq, agent, team, data.draw(_payloads(cls)), data.draw(st.floats(0, 1e10)))
    line = ndjson.encode(event)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert ndjson.decode(line) == event
    body = json.loads(line)["data"][cls.key]  # type: ignore[attr-defined]
    assert {name for name in body if body[name] is None} <= {f.name for f in fields(cls)} - cls.optional  # type: ignore[attr-defined]


def test_optional_fields_are_left_out_and_others_are_null() -> None:
    body = json.loads(ndjson.encode(Event("r", 1, "a", "t", TokenUsage(), 1.0)))["data"]["token_usage"]
    assert body["input_tokens"] is None
    assert "call_id" not in body
    assert all(f.default is not MISSING for f in fields(TokenUsage))


def test_a_reader_passes_over_what_it_does_not_know() -> None:
    line = json.loads(ndjson.encode(Event("r", 1, "a", "t", Lifecycle("running", pid=3), 1.0)))
    line["new"] = line["data"]["lifecycle"]["new"] = 1
    assert ndjson.decode(json.dumps(line)).payload == Lifecycle("running", pid=3)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"7", b"{}", b'{"event":"gap"}', b'{"event":"nonsense","data":{}}', b"\xff"]
)
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(ndjson.NotAnEvent):
        ndjson.decode(line)


CONTROLS = bytes({*range(32), 127} - {*b"\t\r\x1b"})  # and LF: what the framer takes out of a line
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS.decode()), max_size=40)


@given(st.lists(LINE, min_size=1, max_size=8), st.integers(1, 1 << 40), TEXT, TEXT, TEXT)
def test_log_lines_in_bulk_are_the_same_events(lines: list[str], seq: int, run: str, agent: str, team: str) -> None:
    block = "".join(line + "\n" for line in lines).encode()
    entries = ndjson.LogLines(run, agent, team)
    numbers = tuple(range(seq, seq + len(lines)))
    stamp = "2025-01-02T03:04:05.000000Z"
    logs = [ActivityLog(stamp, "info", line, "orchestrator", "stdout") for line in lines]
    expected = [
        ndjson.encode(Event(run, number, agent, team, log, 1.5)) for number, log in zip(numbers, logs, strict=True)
    ]
    count, template = ndjson.LogBlock(entries, block, "stdout", 1.5, stamp).info(0, len(block))
    assert count == len(lines)
    assert [json.loads(line) for line in (b"".join(template) % numbers).split(b"\n")[:-1]] == [
        json.loads(line) for line in expected
    ]
    assert b"".join(entries.entry(log, 1.5) for log in logs) % numbers == b"".join(expected)


@given(st.lists(st.binary(max_size=20).map(lambda b: b.translate(None, CONTROLS + b"\r\x1b")), min_size=1, max_size=6))
def test_log_lines_of_any_bytes(lines: list[bytes]) -> None:
    made = Pipeline([], redacted=False).feed("tty", b"\n".join(lines) + b"\n", 1.5)
    data = b"".join(piece.data for piece in Recorder("r", "a", "t").record(made, 1.5))
    found = [ndjson.decode(line) for line in data.split(b"\n")[:-1]]
    assert [event.seq for event in found] == [*range(1, len(lines) + 1)]
    assert [event.payload.message for event in found if isinstance(event.payload, ActivityLog)] == [
        line.decode("utf-8", "replace") for line in lines
    ]


def test_metrics_without_a_tree_are_read() -> None:
    line = json.loads(
        ndjson.encode(Event("r", 1, "a", "t", ProcessMetrics(1, None, None, None, "dead", Tree(0, *[None] * 6)), 1.0))
    )
    del line["data"]["process_metrics"]["tree"]
    with pytest.raises(ndjson.NotAnEvent):
        ndjson.decode(b"not json")
    payload = ndjson.decode(json.dumps(line)).payload
    assert isinstance(payload, ProcessMetrics)
    assert payload.tree.memory_mb is None
