"""Channel: frames arrive in order and whole, or what is missing is counted where it is missing."""

import os
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.relay import channel as channels
from agentmon.relay.channel import DATA, EXIT, LOST, START, Channel, Frame, FrameReader, Spool


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    """A pipe of one page, a memory of 8 KiB, a spool of 64 KiB."""
    monkeypatch.setattr(channels, "PIPE_SIZE", 4096)
    monkeypatch.setattr(channels, "MEMORY", 8192)
    made = Channel()
    made.spool.limit = 65536
    os.set_blocking(made.read_fd, False)
    yield made
    for fd in (made.read_fd, made.write_fd, made.spool.fd):
        if fd is not None:
            os.close(fd)


class Reader:
    """The collector's end."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.frames = channel, FrameReader()
        self.got: list[Frame] = []

    def read(self, size: int = 4096) -> int:
        """One read; how many bytes came."""
        try:
            data = os.read(self.channel.read_fd, size)
        except BlockingIOError:
            return 0
        self.got += self.channel.frames(self.frames, data)
        return len(data)

    def read_all(self) -> None:
        """Until relay and reader have nothing left."""
        self.channel.flush()
        while self.read() or self.channel.behind:
            self.channel.flush()


def _bytes(frames: list[Frame], stream: int = 0) -> int:
    return sum(len(f.data) for f in frames if f.kind == DATA and f.stream == stream)


def _lost(frames: list[Frame], stream: int = 0) -> int:
    return sum(int.from_bytes(f.data, "little") for f in frames if f.kind == LOST and f.stream == stream)


def test_frames_through_the_pipe(channel: Channel) -> None:
    reader = Reader(channel)
    channel.tell(START, 1.0, pid=7)
    channel.send(DATA, 2.0, b"out", 0)
    channel.send(DATA, 3.0, b"err", 1)
    reader.read_all()
    assert reader.got[0].fields() == {"pid": 7}
    assert reader.got[1:] == [Frame(DATA, 0, 2.0, b"out"), Frame(DATA, 1, 3.0, b"err")]


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 1000), max_size=10))
def test_frames_in_any_cuts(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(channels._HEADER.pack(DATA, i % 4, len(body), float(i)) + body for i, body in enumerate(bodies))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    reader = FrameReader()
    found = [frame for a, b in pairwise(places) for frame in reader.feed(data[a:b])]
    assert found == [Frame(DATA, i % 4, float(i), body) for i, body in enumerate(bodies)]


@pytest.mark.parametrize("seed", range(6))
def test_a_reader_that_comes_and_goes(channel: Channel, seed: int) -> None:
    """Order and bytes hold over pipe, memory and a ring that wraps many times; losses are counted exactly."""
    chance = random.Random(seed)
    reader = Reader(channel)
    sent: dict[int, int] = {0: 0, 1: 0}
    number = 0
    for _ in range(60):
        for _ in range(chance.randrange(30)):
            size, stream = chance.choice((8, 100, 3000)), chance.randrange(2)
            channel.send(DATA, float(number), number.to_bytes(8, "big") + b"." * (size - 8), stream)
            sent[stream] += size
            number += 1
        if channel.behind and chance.random() < 0.7:
            channel.flush()
        for _ in range(chance.randrange(8)):
            reader.read(chance.choice((5, 4096)))
            channel.flush()
    channel.tell(EXIT, 9.0, code=3)
    reader.read_all()
    numbers = [int.from_bytes(f.data[:8], "big") for f in reader.got if f.kind == DATA]
    assert numbers == sorted(set(numbers))
    assert [f.time for f in reader.got if f.kind == DATA] == [float(n) for n in numbers]
    assert reader.got[-1].fields() == {"code": 3}
    for stream in (0, 1):
        assert _bytes(reader.got, stream) + _lost(reader.got, stream) == sent[stream]
    assert channel.counters.get("lost_bytes") == _lost(reader.got, 0) + _lost(reader.got, 1)
    assert channel.counters.get("sent_bytes") == sum(sent.values())


def test_losses_are_told_where_they_are(channel: Channel) -> None:
    reader = Reader(channel)
    for _ in range(100):
        channel.send(DATA, 1.0, b"a" * 2000)
    reader.read_all()
    channel.send(DATA, 1.0, b"b")
    reader.read_all()
    kinds = [frame.kind for frame in reader.got]
    assert kinds.count(LOST) == 1
    assert [frame.data[:1] for frame in reader.got[kinds.index(LOST) + 1 :] if frame.kind == DATA] in (
        [b"b"],
        [b"a", b"b"],
    )
    assert _bytes(reader.got) + _lost(reader.got) == 200_001


def test_without_a_spool(channel: Channel) -> None:
    """No room on any disk: the memory is all there is, and the end of the run still gets through."""
    assert channel.spool.fd is not None
    os.close(channel.spool.fd)
    channel.spool.fd = None
    reader = Reader(channel)
    for _ in range(50):
        channel.send(DATA, 1.0, b"a" * 1000)
    channel.tell(EXIT, 2.0, code=0)
    reader.read_all()
    assert reader.got[-1].kind == EXIT
    assert _lost(reader.got) > 0
    assert _bytes(reader.got) + _lost(reader.got) == 50_000
    assert not channel.behind


def test_the_disk_is_given_back(channel: Channel) -> None:
    assert channel.spool.fd is not None
    reader = Reader(channel)
    for _ in range(20):
        channel.send(DATA, 1.0, b"a" * 2000)
    assert os.fstat(channel.spool.fd).st_size > 0
    reader.read_all()
    channel.send(DATA, 1.0, b"b")
    assert os.fstat(channel.spool.fd).st_size == 0
    for _ in range(20):  # and it is as good as new
        channel.send(DATA, 1.0, b"c" * 2000)
    reader.read_all()
    assert _bytes(reader.got) == 80_001


def test_what_a_killed_relay_left_in_the_spool(channel: Channel) -> None:
    reader = Reader(channel)
    for _ in range(20):
        channel.send(DATA, 1.0, b"a" * 2000)
    while reader.read():
        pass
    rest = list(channel.rest())
    kept_in_memory = len(channel._pending)
    assert 0 < len(rest) < 20
    assert _bytes(reader.got) + _bytes(rest) >= 40_000 - kept_in_memory - 4096
    assert {frame.data for frame in rest} == {b"a" * 2000}


def test_a_collector_that_is_gone(channel: Channel) -> None:
    os.close(channel.read_fd)
    with pytest.raises(BrokenPipeError):
        channel.send(DATA, 1.0, b"x")
    channel.read_fd = os.open(os.devnull, os.O_RDONLY)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20))
def test_the_ring_wraps(parts: list[bytes]) -> None:
    spool = Spool(limit=64)
    assert spool.fd is not None
    position = 0
    for part in parts:
        assert spool.write(position, part)
        assert b"".join(spool.read(position, len(part))) == part
        position += len(part)
    assert os.fstat(spool.fd).st_size <= 64
    os.close(spool.fd)
