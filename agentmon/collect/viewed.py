"""Viewed: what a run adds up to so far, for readers that come late and for the line at its end."""

from collections import deque
from typing import Any

from agentmon import ndjson
from agentmon.piece import Piece
from agentmon.telemetry import LOGS_KEPT, RunTelemetry, apply, one_line, telemetry_dict


class Viewed:
    """The fold of all pieces, for readers that come late. Log entries are held as bytes: most are never looked at."""

    def __init__(self) -> None:
        self.state = RunTelemetry()
        self._logs: deque[Piece] = deque()
        self._held = 0

    def add(self, piece: Piece) -> None:
        """Take one piece."""
        if piece.event is not None:
            apply(self.state, piece.event)
        elif piece.logs:
            self._logs.append(piece)
            self._held += piece.count
            while self._held - self._logs[0].count >= LOGS_KEPT:
                self._held -= self._logs.popleft().count

    def telemetry(self) -> dict[str, Any]:
        """The whole AgentTelemetry now."""
        state = self.state
        place = state.last_seq, state.stream, state.streams
        for piece in self._logs:
            for line in piece.data.splitlines()[-LOGS_KEPT:]:
                apply(state, ndjson.decode(line))
        state.last_seq, state.stream, state.streams = place  # they came late: no other stream has begun
        self._logs.clear()
        self._held = 0
        return telemetry_dict(self.state)

    def one_line(self) -> str:
        """The run in one line."""
        return one_line(self.state)
