"""Feed: the lines of one run as they come, wherever from; Feeds: the runs there are, as they are found.

Nothing here waits. A feed that is fed by the network has a thread of its own behind it, and holds a bounded amount.
"""

from collections.abc import Iterable
from typing import Protocol


class Feed(Protocol):
    """The lines of one run."""

    @property
    def name(self) -> str:
        """What tells it from others, and what a person is told of it: a path, an address."""

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""

    def poll(self) -> list[bytes]:
        """The whole lines that have come, without their ends. Raises AgentmonError for what cannot be read at all."""

    def over(self, closed: bool) -> bool:
        """Whether nothing more will come, once poll gave nothing. closed: the closing event was read."""

    def close(self) -> None:
        """Let files, threads and connections go."""


class Feeds(Protocol):
    """Runs as they are found. keeps: whether they are shown for good, also those that ended long ago."""

    keeps: bool

    def found(self) -> Iterable[Feed]:
        """The feeds that are new since the last call; each run once."""

    def close(self) -> None:
        """Let go of what it has beside the feeds it gave, which their owner closes."""
