"""Backlog: what does not fit becomes one gap in its place, with the right numbers."""

import random

import pytest
from stream import check_stream, lost_events, messages

from agentmon.collect.plain import Plain
from agentmon.collect.recorder import Recorder
from agentmon.events import Lifecycle
from agentmon.piece import Piece
from agentmon.sinks.backlog import Backlog


class Run:
    """Makes pieces, as the collector does."""

    def __init__(self, limit: int) -> None:
        self.recorder = Recorder("r", "a", "t")
        self.backlog = Backlog("the sink", self._gap, limit)

    def _gap(self, first_seq: int, events: int, size: int, reason: str, sink: str) -> bytes:
        return self.recorder.gap(first_seq, events, size, reason, sink, 1.0)

    def lines(self, *words: str) -> Piece:
        (piece,) = self.recorder.record([Plain("stdout", "".join(word + "\n" for word in words).encode(), 1.0)], 1.0)
        return piece

    def state(self, state: str) -> Piece:
        return self.recorder.event(Lifecycle(state), 1.0)  # type: ignore[arg-type]


def test_in_order_and_whole() -> None:
    run = Run(1 << 20)
    for piece in (run.state("started"), run.lines("a", "b"), run.state("stopped")):
        run.backlog.add(piece)
    assert messages(check_stream(run.backlog.take())) == ["a", "b"]
    assert (bool(run.backlog), run.backlog.size) == (False, 0)


@pytest.mark.parametrize("seed", range(8))
def test_gaps_stand_for_what_is_missing(seed: int) -> None:
    chance = random.Random(seed)
    run = Run(3000)
    written = b""
    run.backlog.add(run.state("started"))
    for number in range(300):
        run.backlog.add(run.lines(*(f"{number} {i}" for i in range(chance.randrange(1, 4)))))
        if chance.random() < 0.3:
            data = run.backlog.take(chance.choice((1, 1000, 5000)))
            if chance.random() < 0.3:
                run.backlog.put_back(data)  # it could not be written
            else:
                written += data
    run.backlog.add(run.state("stopped"))
    run.backlog.close_hole()
    while run.backlog:
        written += run.backlog.take()
    events = check_stream(written, whole=False)
    assert events[-1]["seq"] + (lost_events(events[-1:]) or 1) == run.recorder.last_seq + 1
    assert events[0]["seq"] == 1
    assert lost_events(events) == run.backlog.lost_events > 0
    assert run.backlog.size == 0


def test_a_piece_larger_than_the_limit_is_taken_when_there_is_nothing_else() -> None:
    run = Run(10)
    run.backlog.add(run.lines("much longer than the limit"))
    assert run.backlog.size > 10
    run.backlog.add(run.lines("lost"))
    assert run.backlog.lost_events == 1


def test_it_says_why() -> None:
    run = Run(10)
    run.backlog.add(run.lines("a"))
    run.backlog.add(run.lines("b"), "the disk is full")
    run.backlog.add(run.lines("c", "d"), "something else")
    run.backlog.close_hole()
    gap = check_stream(run.backlog.take() + run.backlog.take(), whole=False)[-1]
    assert (gap["seq"], gap["data"]["gap"]["lost_events"]) == (2, 3)
    assert (gap["data"]["gap"]["reason"], gap["data"]["gap"]["sink"]) == ("the disk is full", "the sink")
