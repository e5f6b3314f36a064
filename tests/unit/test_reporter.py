"""Reporter: what the relay does at the end, with a collector that is slow, stopped or gone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from wrapper import stop

from agentmon.relay import reporter
from agentmon.relay.channel import EXIT, Channel, FrameReader
from agentmon.relay.reporter import Reporter


class Ends:
    """A reporter, and the collector's ends of what is between them."""

    def __init__(self, folder: Path) -> None:
        self.channel = Channel()
        notes, self.notes = os.pipe()
        self.folder = folder / "private"
        self.folder.mkdir()
        self.reporter = Reporter(self.channel, notes, str(self.folder))
        self.said: list[str] = []
        self.reporter.heard = self.said.append
        self.reporter.lost = lambda: self.said.append("lost")

    def say(self, note: bytes) -> None:
        os.write(self.notes, note + b"\n")

    def end(self) -> None:
        """As the collector's process ends; twice is as good as once."""
        for name in ("notes", "read_fd"):
            place = self if name == "notes" else self.channel
            if getattr(place, name) >= 0:
                os.close(getattr(place, name))
                setattr(place, name, -1)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path)
    yield made
    made.end()
    os.close(made.reporter.notes_fd)


def when_asked(monkeypatch: pytest.MonkeyPatch, does: Callable[[int], None], jump_s: float = 0.0) -> None:
    """A clock that is `jump_s` further each time it is asked, and does something then (it counts from 1)."""
    real, asked = reporter.time.monotonic, [0]

    def monotonic() -> float:
        asked[0] += 1
        does(asked[0])
        return real() + asked[0] * jump_s

    monkeypatch.setattr(reporter.time, "monotonic", monotonic)


def test_it_waits_while_the_collector_writes_also_where_the_machine_stood_still(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collector(turn: int) -> None:
        if turn == 5:
            ends.say(b"the last word")
            ends.channel.counters.set("complete", 1)
            ends.end()

    when_asked(monkeypatch, collector, jump_s=100.0)
    told = FrameReader()
    read_fd = os.dup(ends.channel.read_fd)
    ends.reporter.finish(exit_code=3)
    (frame,) = told.feed(os.read(read_fd, 4096))
    os.close(read_fd)
    assert (frame.kind, frame.fields()) == (EXIT, {"exit_code": 3})
    assert ends.said == ["the last word"]
    assert ends.folder.exists()  # the collector removes it


@pytest.mark.parametrize("turn", [1, 4])
def test_a_collector_that_dies_at_the_very_end_is_told(ends: Ends, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    when_asked(monkeypatch, lambda now: ends.end() if now == turn else None)
    ends.reporter.finish(exit_code=0)
    assert ends.said == ["lost"]
    assert not ends.folder.exists()


def test_a_collector_that_died_before_is_told_once(ends: Ends) -> None:
    ends.end()
    ends.reporter.listen()
    ends.reporter.finish(exit_code=0)
    assert ends.said == ["lost"]
    assert not ends.folder.exists()


def test_that_it_is_stopped_is_told_before_it_is_left(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    with Popen(["sleep", "600"]) as sleeper:
        try:
            stop(sleeper.pid)
            ends.channel.counters.set("collector_pid", sleeper.pid)
            when_asked(monkeypatch, lambda _: None, jump_s=100.0)
            ends.reporter.finish(exit_code=0)
        finally:
            sleeper.kill()
    (said,) = ends.said
    assert said.startswith("the collector is stopped")


def test_it_does_not_wait_for_ever(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    when_asked(monkeypatch, lambda turn: ends.channel.counters.set("progress", turn), jump_s=100.0)
    ends.reporter.finish(exit_code=0)
    assert ends.said == []
    assert ends.folder.exists()
