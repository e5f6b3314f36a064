"""Descriptors that belong to others: written to without waiting, and left as they were."""

import fcntl
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmon.descriptors import Writer, let_go, same_file


@pytest.fixture(params=["pipe", "socket", "terminal"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Where to read, where to write."""
    if request.param == "socket":
        a, b = socket.socketpair()
        pair = a.detach(), b.detach()
    else:
        pair = os.pipe() if request.param == "pipe" else os.openpty()
    yield pair
    for fd in pair:
        os.close(fd)


def test_a_full_one_takes_no_more_and_nobody_waits(ends: tuple[int, int]) -> None:
    reader, target = ends
    flags = fcntl.fcntl(target, fcntl.F_GETFL)
    writer = Writer(target)
    total = 0
    while done := writer.write(b"x" * 5000):
        total += done
    assert total > 0
    assert fcntl.fcntl(target, fcntl.F_GETFL) == flags
    while select.select([reader], [], [], 0)[0]:
        os.read(reader, 65536)
    poll = select.poll()
    poll.register(writer.poll_fd, select.POLLOUT)
    assert poll.poll(60_000)
    assert writer.write(b"y") == 1
    writer.close()
    os.fstat(target)


def test_a_file_takes_everything(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    writer = Writer(fd)
    assert (writer.write(b"x" * 100_000), writer.waits) == (100_000, False)
    os.close(fd)


def test_nobody_reads() -> None:
    reader, target = os.pipe()
    writer = Writer(target)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        writer.write(b"x")
    writer.close()
    os.close(target)


def test_same_file(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    one = os.open(path, os.O_CREAT | os.O_WRONLY)
    twin, other = os.dup(one), os.open(path, os.O_WRONLY)
    pipe, second = os.pipe(), os.pipe()
    assert same_file(one, twin)
    assert not same_file(one, other)  # two offsets, which overwrite each other
    assert same_file(pipe[0], pipe[1])
    assert not same_file(pipe[1], second[1])
    for fd in (one, twin, other, *pipe, *second):
        os.close(fd)


def test_let_go() -> None:
    reader, target = os.pipe()
    let_go(target)
    assert os.read(reader, 1) == b""
    assert os.write(target, b"to nobody") == 9
    os.close(reader)
    os.close(target)
