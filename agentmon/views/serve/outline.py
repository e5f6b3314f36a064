"""Outline: where in a run log which kinds of events and which times are, a block of it at a time.

It is made while the log is read for its fold, and lets a page of events pass over blocks that have nothing for it. It
is small: 26 bytes for a mebibyte of log.
"""

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from agentmon.decoder import LOG_LINE
from agentmon.events import PAYLOADS
from agentmon.follow import LONGEST

BLOCK = 1 << 20

# What we write begins so, and each name and value has its place: such a line can be looked at as bytes.
HEAD = b'{"v":1,"type":"agent_telemetry","run_id":"'
LEVELS = ("info", "warning", "error")
KINDS = {name: 1 << bit for bit, name in enumerate((*LEVELS, *(name for name in PAYLOADS if name != "log_entry")))}
FOREIGN = 1 << 15  # a line that must be decoded to know what it is
EVERYTHING = (1 << 16) - 1

_INFO = b'","level":"info"'
_ISO = len("2026-01-01T00:00:00.000000Z")
_KEPT = 100  # log entries of an agent that its fold keeps
_TIME = b',"timestamp":'
_TAIL = 32  # holds the time of an event: ten digits, a point and six more
_KIND = re.compile(rb',"event":"([a-z_]+)","data":\{')


@dataclass(slots=True)
class Outline:
    """Blocks of whole lines, as many bytes of the log as were read. since, until: no event of a block is outside of
    these (Unix seconds); infinite where that is not known."""

    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    since: "array[float]" = field(default_factory=lambda: array("d"))
    until: "array[float]" = field(default_factory=lambda: array("d"))
    kinds: "array[int]" = field(default_factory=lambda: array("H"))
    end: int = 0

    def add(self, size: int, since: float, until: float, kinds: int) -> None:
        """The next block."""
        if self.offsets and self.end + size - self.offsets[-1] <= BLOCK:  # a log that grows slowly
            self.since[-1], self.until[-1] = min(since, self.since[-1]), max(until, self.until[-1])
            self.kinds[-1] |= kinds
        else:
            self.offsets.append(self.end)
            self.since.append(since)
            self.until.append(until)
            self.kinds.append(kinds)
        self.end += size

    def block(self, offset: int) -> tuple[int, int, int] | None:
        """The block that an offset is in: its number, where it begins and ends; None beyond what was read."""
        if not 0 <= offset < self.end:
            return None
        number = bisect_right(self.offsets, offset) - 1
        last = number + 1 == len(self.offsets)
        return number, self.offsets[number], self.end if last else self.offsets[number + 1]


def read_block(fd: int, offset: int) -> tuple[bytes, int]:
    """Whole lines from an offset on, about BLOCK bytes of them, and the offset after them; no lines where there are
    no more. What is too long to be an event is passed over."""
    parts: list[bytes] = []
    at = offset
    while data := os.pread(fd, BLOCK, at):
        end = data.rfind(b"\n") if at - offset < LONGEST else data.find(b"\n")
        if end >= 0:
            at += end + 1
            if at - offset > LONGEST:
                return b"\n", at
            return b"".join([*parts, data[: end + 1]]), at
        at += len(data)
        if at - offset < LONGEST:
            parts.append(data)
    return b"", offset


class Skimmer:
    """Blocks of a log to the lines that its fold needs: all but the log entries that it would only count.

    Nearly all lines of a large log are plain log entries of one agent. They are told by the bytes at two places of the
    line, without a look at the rest: a tenth of what taking each of them would cost.
    """

    def __init__(self) -> None:
        self.outline = Outline()
        self._who = b"\n"  # agent, team and event of a log entry, up to its time
        self._at = 0  # where that stands in the lines

    def take(self, data: bytes, size: int) -> list[bytes]:
        """The lines to fold, of a block of whole lines that is so many bytes of the log."""
        lines = data.split(b"\n")
        lines.pop()
        needed, kinds = self._skim(lines)
        since, until = (-inf, inf) if kinds & FOREIGN else _span({line[-_TAIL:] for line in lines})
        self.outline.add(size, since, until, kinds)
        return needed

    def _skim(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        needed: list[bytes] = []
        kinds = 0
        begin = 0
        while begin < len(lines):  # as far as the log entries keep their form
            part = lines[begin:] if begin else lines
            at, who = self._at, self._who
            end = at + len(who)
            level = end + _ISO
            after = level + len(_INFO)
            others = [
                n for n, line in enumerate(part) if line[at:end] != who or line[level:after] != _INFO
            ]  # fmt: skip
            stop, found = self._look(part, others)
            kinds |= found
            seen = others if stop == len(part) else [n for n in others if n < stop]
            plain = stop - len(seen)
            if plain:
                kinds |= KINDS["info"]
            if plain <= _KEPT:
                needed += part[:stop]
            else:
                needed += [part[n] for n in _worth(seen, stop)]
            begin += stop
        return needed, kinds

    def _look(self, lines: list[bytes], others: list[int]) -> tuple[int, int]:
        """What the other lines are. Stops at a log entry whose form is a new one, which is then the one to know."""
        kinds = 0
        for n in others:
            line = lines[n]
            if not line:
                continue
            if not line.startswith(HEAD):
                kinds |= FOREIGN
                continue
            found = LOG_LINE.match(line)
            if found is None:
                kind = _KIND.search(line)
                kinds |= KINDS.get(kind[1].decode(), FOREIGN) if kind is not None else FOREIGN
                continue
            kinds |= KINDS[found[6].decode()]
            at, who = found.start(3), found[3]
            if (at, who) != (self._at, self._who) and found[6] == b"info":
                self._at, self._who = at, who
                if n + 1 < len(lines):
                    return n + 1, kinds
        return len(lines), kinds


def _worth(others: list[int], count: int) -> Iterator[int]:
    """Of `count` lines the others, the first plain log entry and the last ones."""
    known = set(others)
    first = next(n for n in range(count) if n not in known)
    last: list[int] = []
    n = count
    while len(last) < _KEPT:
        n -= 1
        if n not in known:
            last.append(n)
    yield from sorted({first, *others, *last})


def _span(tails: set[bytes]) -> tuple[float, float]:
    """The seconds that all lines are within, from their last bytes."""
    seconds = {tail.partition(_TIME)[2][:11] for tail in tails if tail}
    if not seconds or not all(s[:-1].isdigit() and s[-1:] in b".}" and len(s) == 11 for s in seconds):
        return -inf, inf
    return float(min(seconds)[:-1]), float(max(seconds)[:-1]) + 1.0
