"""Framer: bytes in any cuts -> blocks of complete, clean lines.

Line ends are LF, CRLF and lone CR (a progress bar redraws one line: only its last update is a line). Terminal
escapes are taken out; moves of the cursor stand for the blanks or the new line that they make on the screen
(ECMA-48; xterm's control sequences). Everything here works on whole blocks: a line costs nanoseconds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE_LIMIT = 64 * 1024
JSON_LIMIT = 4 * 1024 * 1024
JSON_MARKS = 100_000

_STILL = re.compile(  # escapes that move nothing: colours, modes, titles
    rb"\x1b(?:\[[0-?]*[ -/]*[I-Zg-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?"
    rb"|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])"
)
_MOVE = re.compile(rb"\x1b(?:\[([0-?]*)[ -/]*([@-~]))?")
_WHOLE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*\x07|[ -/]+[0-~]|[0-OQ-WYZ`-~])")
_LONGEST_ESCAPE = 4096
_SCREEN = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")
_SKIPPED = b"\x1f"  # a column that the cursor passed over without writing, while escapes are taken out
_BLANKS = bytes(0x20 if b == 0x1F else b for b in range(256))
_CONTROL = bytes(set(range(32)) - {0x09, 0x0A, 0x0D, 0x1B, 0x1F}) + b"\x7f"
_TAKEN_OUT = [bytes([byte]) for byte in _CONTROL + _SKIPPED]
_LARGE = 16 * 1024  # from here on, to look for each of them takes less time than to go through all bytes
_CARRY = 16  # more than the longest escape that _SCREEN knows


@dataclass(frozen=True, slots=True)
class Block:
    """Complete lines, each with its LF. truncated: one line that was cut at the limit."""

    data: bytes
    time: float
    truncated: bool = False


class Framer:
    """The lines of one stream. `full_screen` says whether a program has the alternate screen."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._skipping = False
        self._carry = b""
        self.full_screen = False
        self.cut_bytes = 0

    def feed(self, data: bytes, time: float) -> Iterator[Block]:
        """Take the next bytes, read at `time` (Unix seconds). What stands before and behind a change of the screen is
        not of one block."""
        if b"\x1b" in data or self._carry:
            done = 0
            for end, full in self._changes(data):
                yield from self._take(data[done:end], time)
                yield from self._end_of_screen(time)
                self.full_screen, done = full, end
            data = data[done:] if done else data
        if data:
            yield from self._take(data, time)

    def _take(self, data: bytes, time: float) -> Iterator[Block]:
        end = data.rfind(b"\n") + 1
        if not end:
            yield from self._grow(data, time)
            return
        if self._skipping:
            start = data.find(b"\n") + 1
            self.cut_bytes += start
            self._skipping = False
        elif self._tail:
            start = data.find(b"\n") + 1
            yield from self._grow(data[:start], time)
            if self._tail:
                yield from self._complete(bytes(self._tail), time)
            self._skipping = False
            self._tail.clear()
        else:
            start = 0
        if start < end:
            yield from self._complete(data[start:end] if start or end < len(data) else data, time)
        if end < len(data):
            yield from self._grow(data[end:], time)

    def close(self, time: float) -> Iterator[Block]:
        """The rest at end-of-file, as a line."""
        if self._tail:
            yield from self._complete(bytes(self._tail) + b"\n", time)
            self._tail.clear()

    def _grow(self, data: bytes, time: float) -> Iterator[Block]:
        """Add to the line that is not complete; cut it where it grows past its limit."""
        if self._skipping:
            self.cut_bytes += len(data)
            return
        tail = self._tail
        tail += data
        if len(tail) <= LINE_LIMIT:
            return
        if b"\x1b" in tail:  # a full-width interface may move from row to row for ever, without one LF
            settled = _settled(tail)
            rows = _moved(bytes(tail[:settled]))
            end = rows.rfind(b"\n") + 1
            tail[:settled] = rows[end:]
            if end:
                yield from self._complete(rows[:end], time)
            if len(tail) <= LINE_LIMIT:
                return
        redrawn = tail.rstrip(b"\r\n").rfind(b"\r") + 1
        if redrawn:
            del tail[:redrawn]
        if len(tail) > _limit(tail):
            yield from self._cut(bytes(tail), time)
            self._skipping = True
            tail.clear()

    def _cut(self, line: bytes, time: float) -> Iterator[Block]:
        self.cut_bytes += len(line) - LINE_LIMIT
        yield Block(_clean(line[:LINE_LIMIT].replace(b"\n", b"") + b"\n"), time, truncated=True)

    def _complete(self, data: bytes, time: float) -> Iterator[Block]:
        """Blocks of `data`, which ends in LF. Lines over the limit stand alone."""
        if b"\r" in data:
            if b"\x1b" in data:  # a cursor that moves on to another row keeps the one that it leaves
                data = _moved(data)
            data = _last_updates(data)
        if len(data) <= LINE_LIMIT:  # no line can be too long: the usual case
            yield Block(_clean(data), time)
            return
        for part, is_long in by_length(data, LINE_LIMIT):
            if is_long and len(part) > _limit(part):
                yield from self._cut(part, time)
            else:
                yield Block(_clean(part), time)

    def _changes(self, data: bytes) -> list[tuple[int, bool]]:
        """Where in `data` the screen changes: the end of the escape, and whether it is the alternate one from there."""
        carried, seen = len(self._carry), self._carry + data
        changes, full = [], self.full_screen
        for match in _SCREEN.finditer(seen):
            if (match[1] == b"h") != full:
                full = not full
                changes.append((match.end() - carried, full))
        last = seen.rfind(b"\x1b", -_CARRY)
        self._carry = seen[last:] if last >= 0 and not _SCREEN.match(seen, last) else b""
        return changes

    def _end_of_screen(self, time: float) -> Iterator[Block]:
        """What stands in a line that is not complete stays on the screen that is left."""
        line, skipping = bytes(self._tail) + b"\n", self._skipping
        self._skipping = False
        self._tail.clear()
        if not skipping and not _clean(line).isspace():
            yield from self._complete(line, time)


def by_length(data: bytes, limit: int) -> Iterator[tuple[bytes, bool]]:
    """Lines, each with its LF, together as far as they can be; and whether it is one alone, of over `limit` bytes."""
    done = at = 0
    while at + limit < len(data):
        newline = data.rfind(b"\n", at, at + limit)
        if newline >= 0:  # every line that begins before it is short enough
            at = newline + 1
            continue
        if at > done:
            yield data[done:at], False
        done = data.find(b"\n", at) + 1
        yield data[at:done], True
        at = done
    if done < len(data):
        yield data[done:] if done else data, False


def _limit(line: bytes | bytearray) -> int:
    """How long this line may be: JSON may be longer, unless it is a bomb of tiny objects."""
    first = line[:64].lstrip()[:1]
    if first not in (b"{", b"["):
        return LINE_LIMIT
    marks = line.count(b"{") + line.count(b"[") + line.count(b",")
    return JSON_LIMIT if marks < JSON_MARKS else LINE_LIMIT


def _last_updates(data: bytes) -> bytes:
    data = data.replace(b"\r\n", b"\n")
    if b"\r" not in data:
        return data
    lines = data.split(b"\n")
    for i, line in enumerate(lines):
        if b"\r" in line:
            line = line.rstrip(b"\r" + _SKIPPED)  # nothing was written over it
            lines[i] = line[line.rfind(b"\r") + 1 :]
    return b"\n".join(lines)


def _clean(data: bytes) -> bytes:
    """Without escapes and control characters; cursor moves become what they mean for the text."""
    if b"\x1b" in data:
        data = _moved(data)
        if b"\r" in data:
            data = _last_updates(data)
    if len(data) >= _LARGE and not any(byte in data for byte in _TAKEN_OUT):
        return data
    return data.translate(_BLANKS, _CONTROL)


def _moved(data: bytes) -> bytes:
    """Without escapes; moves of the cursor as blanks and line ends."""
    data = _STILL.sub(b"", data)
    return _MOVE.sub(_blank, data) if b"\x1b" in data else data


def _settled(data: bytearray) -> int:
    """Where the last escape begins, if it may go on; else the end."""
    last = data.rfind(b"\x1b")
    if last < 0 or len(data) - last > _LONGEST_ESCAPE:
        return len(data)
    return len(data) if _WHOLE.match(data, last) else last


def _blank(match: re.Match[bytes]) -> bytes:
    argument, final = match.groups()
    if final is None:
        return b""
    if final == b"C":
        return _SKIPPED * min(_number(argument), 256)
    if final == b"G":
        return _SKIPPED if _number(argument) > 1 else b"\r"
    return b"\n" if final in b"ABEFHdf" else b""


def _number(argument: bytes) -> int:
    return int(argument) if argument.isdigit() and len(argument) < 6 else 1
