"""Piece: recorded events on their way to the sinks."""

from dataclasses import dataclass

from agentmon.events import Event
from agentmon.frozen import quick


@quick
@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive events as they go to every sink: `count` lines, the first has `first_seq`.

    logs: all of them are log entries, the first to go where room is short. event: the event itself, if it is one
    and no log entry.
    """

    data: bytes
    first_seq: int
    count: int
    logs: bool
    event: Event | None = None
