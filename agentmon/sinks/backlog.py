"""Backlog: what a sink could not write yet. Bounded; what does not fit becomes a gap in its place."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agentmon.piece import Piece


LIMIT = 8 << 20
_IOV_MAX = 1024  # Linux and macOS


class GapLine(Protocol):
    """Makes the line of a gap event."""

    def __call__(self, first_seq: int, events: int, size: int, reason: str, sink: str) -> bytes: ...


class Backlog:
    """Lines in order. Once full, it takes nothing until half of it has been written, so that gaps are few."""

    def __init__(self, name: str, gap_line: GapLine, limit: int = LIMIT) -> None:
        self._name, self._gap_line, self._limit = name, gap_line, limit
        self._queue: deque[bytes] = deque()
        self.size = 0
        self._hole: tuple[int, int, int, str] | None = None
        self.lost_events = 0

    def add(self, piece: Piece, reason: str = "the reader is too slow") -> None:
        """Take a piece, or widen the hole."""
        room = self._limit if self._hole is None else self._limit // 2
        if self.size and self.size + len(piece.data) > room:
            self.lose(piece, reason)
            return
        self.close_hole()
        self._append(piece.data)

    def lose(self, piece: Piece, reason: str) -> None:
        """Count a piece as missing."""
        self.lost_events += piece.count
        if self._hole is None:
            self._hole = (piece.first_seq, piece.count, len(piece.data), reason)
        else:
            first, events, size, was = self._hole
            self._hole = (first, events + piece.count, size + len(piece.data), was)

    def close_hole(self) -> None:
        """Write the gap down, at the end of what is there."""
        if self._hole is not None:
            hole, self._hole = self._hole, None
            self._append(self._gap_line(*hole, self._name))

    def take(self, most: int = 1 << 20) -> bytes:
        """Whole pieces, about `most` bytes of them, out of the queue."""
        return b"".join(self.take_parts(most))

    def take_parts(self, most: int = 1 << 20) -> list[bytes]:
        """The same as they are, as many as one writev(2) takes."""
        parts: list[bytes] = []
        size = 0
        while self._queue and len(parts) < _IOV_MAX and (not parts or size + len(self._queue[0]) <= most):
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        self.size -= size
        return parts

    def put_back(self, *parts: bytes) -> None:
        """What was taken and could not be written."""
        self._queue.extendleft(reversed(parts))
        self.size += sum(map(len, parts))

    def __bool__(self) -> bool:
        return bool(self._queue) or self._hole is not None

    def _append(self, data: bytes) -> None:
        self._queue.append(data)
        self.size += len(data)
