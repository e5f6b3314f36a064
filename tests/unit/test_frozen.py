"""Frozen dataclasses that are made quickly are still what dataclasses are."""

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from agentmon.events import ActivityLog, Event, Finding, GitActivity, TokenUsage
from agentmon.frozen import quick
from agentmon.piece import Piece

MADE = [
    TokenUsage("m", 1, output_tokens=2),
    ActivityLog("now", "info", "text", "git", "stdout"),
    GitActivity("commit", "main"),
    Event("r", 1, "a", "t", TokenUsage(), 1.5),
    Finding(TokenUsage(), agent="x"),
    Piece(b"", 1, 1, True),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_quick(made: object) -> None:
    cls = type(made)
    name = fields(made)[0].name  # type: ignore[arg-type]
    again = replace(made)  # type: ignore[type-var]
    assert (again, hash(again), repr(again), type(again)) == (made, hash(made), repr(made), cls)
    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, None)
    with pytest.raises(FrozenInstanceError):
        delattr(made, name)
    with pytest.raises(TypeError, match="unexpected keyword"):
        cls(nonsense=1)
    with pytest.raises(AttributeError):
        object.__setattr__(made, "nonsense", 1)  # slots, as before


def test_defaults_are_told() -> None:
    assert TokenUsage() == TokenUsage(scope="call", source="output", model=None)
    assert Event("r", 1, "a", "t", TokenUsage(), 2.0).timestamp == 2.0
    with pytest.raises(TypeError, match="missing"):
        ActivityLog("now")  # type: ignore[call-arg]


def test_what_it_does_not_know_is_refused() -> None:
    from dataclasses import dataclass, field

    with pytest.raises(TypeError, match="default_factory"):

        @quick
        @dataclass(frozen=True, slots=True)
        class Listed:
            found: list[int] = field(default_factory=list)
