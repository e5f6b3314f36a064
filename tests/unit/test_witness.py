"""The witness of a signal: its answer counts for the question it was given to."""

import os
import signal
from collections.abc import Iterator

import pytest

from agentmon.relay import signals
from agentmon.relay.signals import Witness


@pytest.fixture
def ends() -> Iterator[tuple[Witness, int, int]]:
    """A witness without a process; where its questions come, where answers go."""
    asked_read, asked_write = os.pipe()
    answer_read, answer_write = os.pipe()
    witness = Witness.__new__(Witness)
    witness._ask, witness._answer, witness._asked = asked_write, answer_read, 0
    yield witness, asked_read, answer_write
    for fd in (asked_read, asked_write, answer_read, answer_write):
        os.close(fd)


def test_an_answer_that_came_too_late_is_not_the_next_one(
    ends: tuple[Witness, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_TURNS", 2)
    witness, asked, answer = ends
    assert not witness.saw(signal.SIGUSR1)
    number, turn = os.read(asked, 100)
    assert number == signal.SIGUSR1
    os.write(answer, bytes([turn, False]))
    os.write(answer, bytes([turn + 1, True]))
    assert witness.saw(signal.SIGUSR2)
    assert os.read(asked, 100) == bytes([signal.SIGUSR2, turn + 1])


def test_turns_begin_anew(ends: tuple[Witness, int, int]) -> None:
    witness, _, answer = ends
    for turn in [*range(1, 256), 0, 1]:
        os.write(answer, bytes([turn, turn % 2]))
        assert witness.saw(signal.SIGUSR1) == bool(turn % 2)
