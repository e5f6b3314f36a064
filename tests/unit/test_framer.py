"""Framer: bytes in any cuts -> clean lines."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collect.framer import JSON_LIMIT, JSON_MARKS, LINE_LIMIT, Framer

CASES = {
    "LF": (b"a\nb\n", ["a", "b"]),
    "CRLF": (b"a\r\nb\r\n", ["a", "b"]),
    "no newline at the end": (b"a\nb", ["a", "b"]),
    "empty lines": (b"\n\na\n", ["", "", "a"]),
    "a progress bar is one line": (b" 10%\r 50%\r100%\nnext\n", ["100%", "next"]),
    "a progress bar that ends in CR": (b"10%\r20%\r\n", ["20%"]),
    "colours": (b"\x1b[1;31mred\x1b[0m and \x1b[38;2;1;2;3mmore\x1b[m\n", ["red and more"]),
    "a title": (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", ["textlink"]),
    "a move to the right is blanks": (b"a\x1b[3Cb\n", ["a   b"]),
    "a move to another place is another line": (b"one\x1b[2;1Htwo\n", ["one", "two"]),
    "control characters": (b"a\x00b\x07c\x08\x7fd\n", ["abcd"]),
    "a tab stays": (b"a\tb\n", ["a\tb"]),
    "invalid UTF-8": (b"\xff\xfe ok\n", ["\ufffd\ufffd ok"]),
    "a character of four bytes": ("😀 ż\n".encode(), ["😀 ż"]),
    "nothing": (b"", []),
}


def _lines(chunks: list[bytes]) -> list[tuple[str, bool]]:
    framer = Framer()
    blocks = [block for chunk in chunks for block in framer.feed(chunk, 1.0)]
    blocks += framer.close(1.0)
    assert all(block.data.endswith(b"\n") for block in blocks)
    return [
        (line.decode("utf-8", "replace"), block.truncated) for block in blocks for line in block.data[:-1].split(b"\n")
    ]


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize("name", CASES)
def test_lines(name: str) -> None:
    data, expected = CASES[name]
    assert [text for text, _ in _lines([data])] == expected
    assert [text for text, _ in _lines([bytes([byte]) for byte in data])] == expected


@pytest.mark.parametrize("byte", [*range(32), 127])
def test_one_byte_in_a_large_block(byte: int) -> None:
    """As in a small one."""
    odd = b"odd" + bytes([byte]) + b"line\n"
    small = _lines([odd])
    large = _lines([b"as all others\n" * 1000 + odd + b"as all others\n" * 1000])
    assert large == [("as all others", False)] * 1000 + small + [("as all others", False)] * 1000


PARTS = st.sampled_from(
    [b"a", b"word ", b"\n", b"\r\n", b"\r", b"\x1b[31m", b"\x1b[0m", b"\x1b[2C", b"\x1b[1;1H", b"\x1b]0;t\x07", b"\x1b",
     b"[",
     b"\xff", "ż".encode(), b"\0", b"\t", b'{"a":1}', b"x" * 300]
)  # fmt: skip


@given(st.lists(PARTS, max_size=40).map(b"".join), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_chunking_gives_the_same(data: bytes, cuts: list[int]) -> None:
    assert _lines(_cut(data, cuts)) == _lines([data])


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_bytes_in_any_chunks(data: bytes, cuts: list[int]) -> None:
    assert _lines(_cut(data, cuts)) == _lines([data])


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_control_characters_are_left(chunks: list[bytes]) -> None:
    framer = Framer()
    blocks = [block for chunk in chunks for block in framer.feed(chunk, 0.0)]
    data = b"".join(block.data for block in [*blocks, *framer.close(0.0)])
    assert not set(data) & ({*range(32), 0x7F} - {*b"\t\n\r\x1b"})


LONG = {
    "at the limit": (b"x" * (LINE_LIMIT - 1), LINE_LIMIT - 1, False),
    "over it": (b"x" * (LINE_LIMIT + 5), LINE_LIMIT, True),
    "far over it": (b"x" * (10 * LINE_LIMIT), LINE_LIMIT, True),
    "JSON may be longer": (b'{"a":"' + b"x" * (3 * LINE_LIMIT) + b'"}', 3 * LINE_LIMIT + 8, False),
    "JSON over its own limit": (b'{"a":"' + b"x" * JSON_LIMIT + b'"}', LINE_LIMIT, True),
    "a bomb of little objects": (b"[" + b"{}," * JSON_MARKS + b"]", LINE_LIMIT, True),
}


@pytest.mark.parametrize("step", [1 << 30, 65_536, 60_001])
@pytest.mark.parametrize("name", LONG)
def test_long_lines(name: str, step: int) -> None:
    body, size, truncated = LONG[name]
    data = b"before\n" + body + b"\nafter\n"
    found = _lines([data[at : at + step] for at in range(0, len(data), step)])
    assert [(len(text), cut) for text, cut in found] == [(6, False), (size, truncated), (5, False)]


def test_what_was_cut_is_counted() -> None:
    framer = Framer()
    list(framer.feed(b"x" * (LINE_LIMIT + 100), 1.0))
    list(framer.feed(b"y" * 50 + b"\nok\n", 1.0))
    assert framer.cut_bytes == 151  # with the newline of the line that was cut


@pytest.mark.parametrize("size", [1, 3, 100])
def test_full_screen(size: int) -> None:
    framer = Framer()
    seen = []
    data = b"text\x1b[?1049hscreen\x1b[?25l\x1b[?1049l"
    for at in range(0, len(data), size):
        list(framer.feed(data[at : at + size], 1.0))
        seen.append(framer.full_screen)
    assert not seen[-1]
    assert size == 100 or any(seen)
