"""The reader of printed objects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collect.parsers.literals import DEPTH, NotALiteral, Record, read, read_pairs

JSONLIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, min_size=1, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1, 'b': [1, 2.5, None, True]}", {"a": 1, "b": [1, 2.5, None, True]}),
        ("{ a: 1, b: undefined }", {"a": 1, "b": None}),
        ("Name(a=1, b=Inner(c='x, y'))", {"a": 1, "b": {"c": "x, y"}}),
        ("Name { a: 1, b: Some(2), c: None }", {"a": 1, "b": 2, "c": None}),
        ("Name{A:1 B:2}", {"A": 1, "B": 2}),
        ("Name(cost=Decimal('0.5'), at=<object at 0x7f>)", {"cost": 0.5, "at": None}),
        ("Name(a='x' 'y', b=1_000)", {"a": "xy", "b": 1000}),
        ("Name(\n  a=1,\n  b=[\n    B(\n      c=2\n    ),\n  ]\n)", {"a": 1, "b": [{"c": 2}]}),
        ('{"it\'s": "b\\"c"}', {"it's": 'b"c'}),
        ("Empty()", {}),
    ],
)
def test_read(text: str, value: Any) -> None:
    found, end = read(text)
    assert found == value
    assert end == len(text)


@pytest.mark.parametrize("text", ["{'a': ", "Name(a='x", "Name(\n  a=1,"])
def test_unfinished(text: str) -> None:
    with pytest.raises(NotALiteral) as problem:
        read(text)
    assert problem.value.unfinished


@pytest.mark.parametrize(
    "text", ["{'a': ;}", "(" * (DEPTH + 2) + ")" * (DEPTH + 2), "[" + "1," * 5000 + "]", "Name(a=1]"]
)
def test_refused(text: str) -> None:
    with pytest.raises(NotALiteral):
        read(text)


def test_a_record_has_a_name() -> None:
    value, _ = read("Usage(a=1)")
    assert isinstance(value, Record)
    assert value.name == "Usage"


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1 b=2, c=3", {"a": 1, "b": 2, "c": 3}),
        ("model=gpt-4o a=1", {"model": "gpt-4o", "a": 1}),
        ("content='it is' usage={'a': 1} id='x'", {"content": "it is", "usage": {"a": 1}, "id": "x"}),
        ("a=1 and so on", {"a": 1}),
        ("took=1.2s", {"took": "1.2s"}),
    ],
)
def test_pairs(text: str, pairs: dict[str, Any]) -> None:
    assert read_pairs(text)[0] == pairs


@given(JSONLIKE)
def test_reprs_read_back(value: Any) -> None:
    text = repr({"k": value})
    try:
        found, end = read(text)
    except NotALiteral:
        assert "\\" in text or "''" in text or '""' in text  # escapes that nobody needs are not undone
        return
    assert end == len(text)
    if "\\" not in text:
        assert found == {"k": value}


@given(st.text(alphabet="{}()[]'\"=:,a1. \\\n<>", max_size=80))
def test_any_text_ends(text: str) -> None:
    for reader in (read, read_pairs):
        try:
            _, end = reader(text)
        except NotALiteral:
            continue
        assert 0 <= end <= len(text)
