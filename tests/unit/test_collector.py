"""The collector's end: what is waited for, and what is not."""

import contextlib

import pytest

from agentmon.collect import collector
from agentmon.collect.collector import Collector
from agentmon.relay.channel import Channel


class Sink:
    """Takes so many turns to write what it has."""

    must = True

    def __init__(self, turns: int) -> None:
        self.turns = turns

    @property
    def idle(self) -> bool:
        return self.turns == 0

    def pump(self, now: float) -> bool:
        self.turns -= self.turns > 0
        return True

    def interests(self) -> dict[int, int]:
        return {}


@pytest.mark.parametrize(("turns", "waits"), [([], 0), ([0], 0), ([1, 1], 0), ([1, 3], 2)])
def test_nothing_is_waited_for_once_all_is_written(
    monkeypatch: pytest.MonkeyPatch, turns: list[int], waits: int
) -> None:
    waited = []

    class Poll:
        def poll(self, timeout: int) -> None:
            waited.append(timeout)

    monkeypatch.setattr(collector.select, "poll", Poll)
    ending = Collector.__new__(Collector)
    ending._sinks, ending._channel = [Sink(count) for count in turns], Channel()
    with contextlib.ExitStack() as stack:
        stack.callback(collector.os.close, ending._channel.read_fd)
        stack.callback(collector.os.close, ending._channel.write_fd)
        ending._drain()
    assert len(waited) == waits
    assert all(sink.idle for sink in ending._sinks)
