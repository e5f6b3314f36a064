"""Sinks: where events go. Each has a bounded buffer and its own fate; a broken one is reported once and detached."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agentmon.piece import Piece
    from agentmon.sinks.backlog import GapLine


class SinkBroken(Exception):
    """This sink takes no more; the text says why."""


class Sink(Protocol):
    """What the collector asks of every sink. Sinks are opened before the fork and run in the collector.

    must: whether the end of a run waits for it (a file, `-`), or only while it makes progress.
    """

    name: str
    must: bool

    def attach(self, gap_line: GapLine) -> None:
        """In the collector, once: what writes this sink's gaps."""

    def descriptors(self) -> set[int]:
        """Descriptors that the collector must keep open."""

    def offer(self, piece: Piece) -> None:
        """Take a piece, or count it as lost."""

    def pump(self, now: float) -> bool:
        """Write what can be written without waiting (now: monotonic seconds); whether anything moved.
        Raises SinkBroken."""

    def interests(self) -> dict[int, int]:
        """Descriptors to poll for, with their poll(2) events."""

    @property
    def idle(self) -> bool:
        """Whether nothing is left to write."""

    def close(self) -> None:
        """The end of the run."""


@runtime_checkable
class Listening(Protocol):
    """A sink whose readers come at any time: each gets a snapshot (one line) first."""

    snapshot: Callable[[], bytes]

    def attach(self, gap_line: GapLine) -> None: ...
