"""Outlet: a way out for recorded events; what a shipper needs of one, and nothing of what is behind it.

outlet.resume(mark)                 # of the process before, if there was one
mark = outlet.mark()                # saved on disk before anything is sent
outlet.send(records)                # all of them are at the far end, in this order, once it returns
...                                 # then the cursor moves, and the next mark is saved with it
arrived = outlet.arrived(mark, ...) # after a crash or a failure: what of the doubtful events is there already
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Place = tuple[int, int]  # of an event in its run: (turn, seq), in the order in which they were recorded
Mark = Mapping[str, Any]  # what an outlet wants to be told again after a crash; JSON


class Unreachable(Exception):
    """The far end cannot be had, or does not take anything now. Nothing is lost: try again, with patience.

    Its text says to a person what is the matter; it holds no secret.
    """


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it was recorded. line: its NDJSON without the newline. event: its kind, `llm_call` and so on.

    turn: 0, and one more for each time that `seq` began anew in the run log (another process wrote on).
    """

    run_id: str
    turn: int
    seq: int
    team_id: str
    agent_id: str
    event: str
    line: bytes

    @property
    def place(self) -> Place:
        """Where it stands in its run."""
        return self.turn, self.seq


class Outlet(Protocol):
    """One far end. All methods may wait, are called from one thread, and raise Unreachable."""

    @property
    def name(self) -> str:
        """What a person is told of it: an address, without its secrets."""

    @property
    def refused(self) -> int:
        """How many `units` the far end will never take, each of them told to a person (too large, ...)."""

    @property
    def units(self) -> str:
        """What the far end takes, in words for people: events, or what became of them."""

    def resume(self, mark: Mark) -> None:
        """Go on where another process stood: the last mark that it saved. Called first, and does not wait."""

    def mark(self) -> Mark:
        """Where the far end stands now. What is sent after this can be found again from here on."""

    def arrived(self, mark: Mark, teams: Mapping[str, str]) -> Mapping[str, Place]:
        """By run id, the last event that arrived after `mark`; runs of which nothing did are left out.

        teams: the runs that are in doubt, each with its team. An outlet that cannot know gives nothing.
        """

    def send(self, records: Sequence[Record]) -> None:
        """Send the events of one or many runs, those of each run in order, and wait until all were acknowledged.

        If it raises, some of them may have arrived, of each run the first ones.
        """

    def idle(self) -> None:
        """All that was recorded so far was sent: time for what follows from that nothing came."""

    def close(self) -> None:
        """Let connections and threads go."""
