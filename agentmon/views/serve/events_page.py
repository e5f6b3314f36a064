"""Events, a page at a time: read from the log where the page is, forwards or backwards, and no more than that.

A place is between two events: the offset of a line, and how many events of that line are before it (a line may be a
batch). A place stays what it is while the log grows. A page that has to search for long ends where its time is up, and
says so; the next one goes on from there.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from agentmon import ndjson
from agentmon.decoder import Decoder
from agentmon.events import Event
from agentmon.follow import LONGEST
from agentmon.views.serve.outline import BLOCK, FOREIGN, HEAD, Outline, read_block
from agentmon.views.serve.wanted import Sieve, Wanted

BUDGET_S = 0.5
_MOST_BYTES = 8 << 20
_CHUNK = 1 << 18

Place = tuple[int, int]
START: Place = (0, 0)


@dataclass(slots=True)
class Page:
    """Some events, oldest first, as lines. older, newer: the places before the first and after the last; whether there
    may be more there. complete: it did not end because its time was up. size: of the log, in bytes."""

    older: Place
    newer: Place
    size: int
    lines: list[bytes] = field(default_factory=list)
    has_older: bool = False
    has_newer: bool = False
    complete: bool = True


@dataclass(slots=True)
class _Block:
    """Whole lines. foreign: some of them must be decoded to know what they are."""

    offset: int
    lines: bytes
    end: int
    foreign: bool


class Pager:
    """Pages of one log, whose descriptor is its own. outline: of as much of it as was read already."""

    def __init__(self, fd: int, wanted: Wanted, outline: Outline | None = None) -> None:
        self._fd = fd
        self._wanted = wanted
        self._sieve = Sieve(wanted)
        self._outline = outline or Outline()
        self._decoder = Decoder("", lambda _: None)
        self._size = os.fstat(fd).st_size

    def forwards(self, after: Place, before: Place | None, limit: int, budget_s: float = BUDGET_S) -> Page:
        """The first wanted events after a place."""
        after = self._aligned(after)
        page = Page(after, after, self._size, has_older=after > START)
        until = time.monotonic() + budget_s
        held = 0
        for place, following, line in self._found_after(after):
            if before is not None and (place >= before if line is not None else following >= before):
                page.newer = max(page.newer, min(place, before))
                return page
            if line is None:  # a block is done
                page.newer = following
                left = following[0] < self._size
                if left and len(page.lines) >= limit:
                    page.has_newer = True
                    return page
                if left and time.monotonic() >= until:
                    page.complete, page.has_newer = False, True
                    return page
                continue
            if len(page.lines) >= limit or held >= _MOST_BYTES:
                page.has_newer = True
                return page
            page.lines.append(line)
            held += len(line)
            page.newer = following
        return page

    def backwards(self, before: Place | None, after: Place | None, limit: int, budget_s: float = BUDGET_S) -> Page:
        """The last wanted events before a place, by default before the end."""
        end = self._end()
        before = end if before is None else min(before, end)
        page = Page(before, before, self._size, has_newer=before < end)
        until = time.monotonic() + budget_s
        held = 0
        for place, line in self._found_before(before):
            if after is not None and place < after:
                page.older = max(place, after)
                break
            if line is None:
                page.older = place
                if place > START and len(page.lines) >= limit:
                    page.has_older = True
                    break
                if place > START and time.monotonic() >= until:
                    page.complete, page.has_older = False, True
                    break
                continue
            if len(page.lines) >= limit or held >= _MOST_BYTES:
                page.has_older = True
                break
            page.lines.append(line)
            held += len(line)
            page.older = place
        page.lines.reverse()
        return page

    def chunks(self, after: Place, before: Place | None, limit: int | None) -> Iterator[bytes]:
        """All wanted lines from a place on, as they were recorded, some at a time; nothing at times while searching."""
        if self._wanted == Wanted() and before is None and limit is None and not after[1]:
            yield from self._all_chunks(self._aligned(after)[0])
            return
        lines: list[bytes] = []
        held = given = 0
        for place, _, line in self._found_after(self._aligned(after)):
            if before is not None and place >= before:
                break
            if line is not None:
                lines.append(line)
                held += len(line) + 1
                given += 1
                if given == limit:
                    break
            if held >= _CHUNK or (line is None and not lines):
                yield b"".join(b"%s\n" % line for line in lines)
                lines, held = [], 0
        if lines:
            yield b"".join(b"%s\n" % line for line in lines)

    def _all_chunks(self, at: int) -> Iterator[bytes]:
        """All lines from an offset on. Those in our form need only be JSON: decoding each takes ten times as long."""
        while (block := self._block_after(at)) is not None:
            at = block.end
            if block.foreign:
                found = [
                    line for begin, end in _all_lines(block.lines) for _, line in self._events(block.lines[begin:end])
                ]
            else:
                found = [line for line in block.lines.split(b"\n") if line and _is_json(line)]
            yield b"".join(b"%s\n" % line for line in found)

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _found_after(self, after: Place) -> Iterator[tuple[Place, Place, bytes | None]]:
        """Wanted events with the places before and after them; after each block none, with the place that follows."""
        at, skip = after
        while (block := self._block_after(at)) is not None:
            for begin, end in self._lines(block, backwards=False):
                offset = block.offset + begin
                following = (min(offset + end - begin + 1, block.end), 0)
                events = self._events(block.lines[begin:end])
                for n, (event, line) in enumerate(events, 1):
                    if (offset > at or n > skip) and self._wanted.takes(event):
                        yield (offset, n - 1), following if n == len(events) else (offset, n), line
            at, skip = block.end, 0
            yield (at, 0), (at, 0), None

    def _found_before(self, before: Place) -> Iterator[tuple[Place, bytes | None]]:
        """Wanted events with the places before them; after each block none, with the place before it."""
        at, skip = before
        if skip:
            line, _ = self._line_at(at)
            for n, (event, text) in reversed([*enumerate(self._events(line)[:skip])]):
                if self._wanted.takes(event):
                    yield (at, n), text
        while (block := self._block_before(at)) is not None:
            for begin, end in self._lines(block, backwards=True):
                for n, (event, text) in reversed([*enumerate(self._events(block.lines[begin:end]))]):
                    if self._wanted.takes(event):
                        yield (block.offset + begin, n), text
            at = block.offset
            yield (at, 0), None

    def _block_after(self, at: int) -> _Block | None:
        """The next block; without lines where there can be nothing wanted in it."""
        known = self._outline.block(at)
        if known is not None:
            number, _, end = known
            kinds = self._outline.kinds[number]
            if not self._may_have(number):
                return _Block(at, b"", end, False)
            return _Block(at, _ended(os.pread(self._fd, end - at, at)), end, bool(kinds & FOREIGN))
        data, end = read_block(self._fd, at)
        if not data:
            rest = self._rest(at)
            return _Block(at, rest + b"\n", at + len(rest), True) if rest else None
        return _Block(at, data, end, _is_foreign(data))

    def _block_before(self, at: int) -> _Block | None:
        if at <= 0:
            return None
        known = self._outline.block(at - 1)
        if known is not None:
            number, begin, _ = known
            if not self._may_have(number):
                return _Block(begin, b"", at, False)
            data = os.pread(self._fd, at - begin, begin)
            return _Block(begin, _ended(data), at, bool(self._outline.kinds[number] & FOREIGN))
        begin = at
        data = b""
        while begin > self._outline.end and len(data) < LONGEST:
            size = min(BLOCK, begin - self._outline.end)
            begin -= size
            data = os.pread(self._fd, size, begin) + data
            cut = 0 if begin == self._outline.end else data.find(b"\n") + 1
            if cut < len(data) and (cut or begin == self._outline.end):
                return _Block(begin + cut, _ended(data[cut:]), at, _is_foreign(data[cut:]))
        return _Block(self._line_begin(begin), b"", at, False)  # too long to be an event

    def _may_have(self, number: int) -> bool:
        outline = self._outline
        return self._wanted.takes_block(outline.since[number], outline.until[number], outline.kinds[number])

    def _lines(self, block: _Block, backwards: bool) -> Iterator[tuple[int, int]]:
        """Where the lines begin and end that may be wanted."""
        if not block.foreign:
            return self._sieve.begins(block.lines, backwards)
        return iter([*_all_lines(block.lines)][:: -1 if backwards else 1])

    def _events(self, line: bytes) -> list[tuple[Event, bytes]]:
        if not line:
            return []
        found = [*self._decoder.events(line)]
        if len(found) == 1 and b'"batch"' not in line:
            return [(found[0], line)]
        return [(event, ndjson.encode(event).rstrip()) for event in found]

    def _rest(self, at: int) -> bytes:
        """The last line if it has no end but is a whole event."""
        rest = os.pread(self._fd, min(LONGEST, max(0, os.fstat(self._fd).st_size - at)), at)
        return rest if rest and b"\n" not in rest and _is_json(rest) else b""

    def _end(self) -> Place:
        """After the last event."""
        begin = self._line_begin(self._size)
        return (begin + len(self._rest(begin)), 0)

    def _aligned(self, place: Place) -> Place:
        """A place as it was given, or the next line where that is within one."""
        at, skip = place
        if at <= 0:
            return (0, max(0, skip))
        if os.pread(self._fd, 1, at - 1) in (b"\n", b""):
            return (min(at, self._size), skip)
        return (self._line_at(at)[1], 0)

    def _line_at(self, at: int) -> tuple[bytes, int]:
        """What is there of a line from an offset on, and where the next one begins."""
        parts: list[bytes] = []
        end = at
        while data := os.pread(self._fd, BLOCK, end):
            stop = data.find(b"\n")
            if stop >= 0:
                return b"".join([*parts, data[:stop]]), end + stop + 1
            parts.append(data)
            end += len(data)
        return b"".join(parts), end

    def _line_begin(self, at: int) -> int:
        """Where the line begins that an offset is in."""
        while at > 0:
            begin = max(0, at - BLOCK)
            stop = os.pread(self._fd, at - begin, begin).rfind(b"\n")
            if stop >= 0:
                return begin + stop + 1
            at = begin
        return 0


def _all_lines(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        yield at, end
        at = end + 1


def _is_foreign(data: bytes) -> bool:
    """Whether some line is not in the form that we write."""
    ours = data.count(b"\n" + HEAD) + data.startswith(HEAD)
    return ours < data.count(b"\n") + (not data.endswith(b"\n")) or b'"event":"batch"' in data


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
