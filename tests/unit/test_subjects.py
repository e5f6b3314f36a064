"""Subjects and message ids: safe for the protocol, and back again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.fleet import subjects

ANY = st.text(st.characters(exclude_categories=()))  # lone surrogates too: JSON of other makers may have them


@given(ANY, ANY, ANY)
def test_a_subject_is_safe_and_gives_its_names_back(team, agent, event):
    subject = subjects.subject(team, agent, event)
    assert subject.isascii()
    assert not set(subject) & set(" *>\t\r\n")
    assert len(subject) < 3700
    tokens = subject.split(".")
    assert len(tokens) == 5
    assert all(tokens)
    for told, name in zip(subjects.parse(subject), (team, agent, event), strict=True):
        assert told == name or (told is None and len(name) > 90)


@given(ANY, st.integers(0, 5), st.integers(0))
def test_a_message_id_gives_the_event_back(run, turn, seq):
    identity = subjects.message_id(run, turn, seq)
    assert identity.isascii()
    assert identity.isprintable()
    assert " " not in identity
    assert subjects.parse_message_id(identity) == (run, (turn, seq))


@given(st.tuples(ANY, st.integers(0, 3), st.integers(0, 50)), st.tuples(ANY, st.integers(0, 3), st.integers(0, 50)))
def test_message_ids_of_two_events_differ(one, other):
    assert (subjects.message_id(*one) == subjects.message_id(*other)) == (one == other)


def test_the_usual_ones_are_plain():
    assert subjects.subject("web", "claude-code", "llm_call") == "agentmon.v1.web.claude-code.llm_call"
    assert subjects.subject("a.b", "crew.py", "") == "agentmon.v1.a%2Eb.crew%2Epy.%"
    assert subjects.message_id("20261122T131259123Z-c05da1ef", 0, 17) == "20261122T131259123Z-c05da1ef-17"


def test_long_names_are_told_apart():
    one, other = "x" * 2000 + "1", "x" * 2000 + "2"
    assert subjects.token(one) != subjects.token(other)
    assert subjects.parse(subjects.subject(one, "a", "e")) == (None, "a", "e")


@pytest.mark.parametrize("text", ["agentmon.v1.a.b", "agentmon.v2.a.b.c", "", "agentmon.v1.a.b.c.d"])
def test_other_subjects_are_none_of_ours(text):
    with pytest.raises(ValueError):
        subjects.parse(text)


@pytest.mark.parametrize(
    ("parts", "filter_"),
    [
        ((None, None, None), "agentmon.v1.>"),
        (("a.b", None, None), "agentmon.v1.a%2Eb.>"),
        ((None, "x", None), "agentmon.v1.*.x.>"),
        (("a", None, "llm_call"), "agentmon.v1.a.*.llm_call"),
        (("a", "x", "gap"), "agentmon.v1.a.x.gap"),
    ],
)
def test_filters(parts, filter_):
    assert subjects.matching(*parts) == filter_


@pytest.mark.parametrize("text", ["", "run", "run-x", "run-1~x", "run-" + "9" * 5000, "run-1~" + "9" * 5000, "run-٣"])
def test_ids_of_others(text):
    assert subjects.parse_message_id(text) is None
