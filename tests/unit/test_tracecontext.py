"""traceparent and tracestate by the W3C's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.tracecontext import Parent, parse, recorded

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        (f"00-{TRACE}-{SPAN}-01", Parent(int(TRACE, 16), int(SPAN, 16), 1)),
        (f"00-{TRACE}-{SPAN}-00", Parent(int(TRACE, 16), int(SPAN, 16), 0)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", Parent(int(TRACE, 16), int(SPAN, 16), 1)),
        (f"cc-{TRACE}-{SPAN}-01", Parent(int(TRACE, 16), int(SPAN, 16), 1)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
        (None, None),
    ],
)
def test_traceparents(text, parent):
    assert parse(text) == parent


@given(st.text())
def test_any_text_is_read(text):
    parent = parse(text)
    assert parent is None or text.startswith(f"{text[:2]}-{parent.trace_id:032x}-{parent.span_id:016x}-")


@pytest.mark.parametrize(
    ("state", "kept"),
    [("a=1,b=2", "a=1,b=2"), ("", None), (None, None), ("x" * 600, None), ("a=\n", None), ("a=é", None)],
)
def test_a_state_is_kept_with_its_parent(state, kept):
    parent = f"00-{TRACE}-{SPAN}-01"
    assert recorded(f" {parent} ", state) == (parent, kept)
    assert recorded("no parent", state) == (None, None)
