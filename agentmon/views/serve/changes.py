"""Changes: what happened to one agent since its last frame, brought down to what a second may hold; and the journal
of all frames, from which every client is served."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

LOGS_TOLD = 50  # in one frame
_FRAME_BYTES = 512 << 10  # clients commonly refuse messages beyond 1 MiB
_KEPT_BYTES = 8 << 20

Line = tuple[int, bytes]  # the number of an event of this agent, and its line


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a snapshot went into the changes that were waiting: the number of its last event, its log entries."""

    taken: int
    logs_taken: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one frame tells: lines by their numbers, in their order. logs_before, logs_taken: log entries so far."""

    lines: list[Line]
    logs: list[Line]
    logs_before: int
    logs_taken: int

    def after(self, mark: Mark) -> "Taken":
        """What came after a snapshot."""
        lines, logs = ([line for line in lines if line[0] > mark.taken] for lines in (self.lines, self.logs))
        return Taken(lines, logs, max(self.logs_before, mark.logs_taken), self.logs_taken)

    def __iter__(self) -> Iterator[bytes]:
        """All lines, in the order of their events."""
        return (line for _, line in sorted([*self.lines, *self.logs]))

    @property
    def omitted(self) -> int:
        """Log entries that were left out."""
        return self.logs_taken - self.logs_before - len(self.logs)


@dataclass(slots=True)
class Changes:
    """Lines of events that wait for the next frame. Nothing but log entries and samples is ever left out of it.

    touched: something beside the events changed. whole: the next frame is a snapshot, because changes do not tell it.
    """

    taken: int = 0  # events so far: each has this as its number
    touched: bool = False
    whole: bool = True  # of a new agent all is to be told
    logs_taken: int = 0
    _kept: deque[Line] = field(default_factory=deque)
    _held: int = 0
    _sample: Line | None = None
    _logs: deque[Line] = field(default_factory=lambda: deque(maxlen=LOGS_TOLD))
    _logs_told: int = 0

    def __bool__(self) -> bool:
        return bool(self.touched or self.whole or self._kept or self._sample or self._logs)

    def keep(self, line: bytes) -> None:
        """An event that must be told."""
        self.taken += 1
        self._kept.append((self.taken, line))
        self._held += len(line)
        if self._held > _KEPT_BYTES:
            self.whole = True

    def sample(self, line: bytes) -> None:
        """A metrics_update, which replaces the one before."""
        self.taken += 1
        self._sample = (self.taken, line)

    def say(self, line: bytes) -> None:
        """A log entry."""
        self.taken += 1
        self.logs_taken += 1
        self._logs.append((self.taken, line))

    def take(self) -> Taken:
        """What goes into the next frame. What is too much for one waits for the one after."""
        kept: list[Line] = []
        size = 0
        while self._kept and size < _FRAME_BYTES:
            kept.append(self._kept.popleft())
            size += len(kept[-1][1])
        self._held -= size
        sample = [self._sample] if self._sample is not None else []
        taken = Taken(sorted([*kept, *sample]), [*self._logs], self._logs_told, self.logs_taken)
        self._logs.clear()
        self._logs_told, self._sample, self.touched = self.logs_taken, None, bool(self._kept)
        return taken

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return Mark(self.taken, self.logs_taken)

    def clear(self) -> None:
        """A snapshot tells it all."""
        self._kept.clear()
        self._logs.clear()
        self._held, self._sample, self._logs_told = 0, None, self.logs_taken
        self.touched = self.whole = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One message for clients, encoded once. seq grows through the life of a hub; at is on its clock.

    variants: the same message for those who had a snapshot while it was gathered, without what that told.
    """

    seq: int
    key: tuple[str, str, str]
    payload: bytes
    at: float
    removal: bool = False
    variants: dict[Mark, bytes] = field(default_factory=dict)


class Journal:
    """The frames of the last while, as far as memory goes."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._frames: deque[Frame] = deque()
        self._held = 0
        self.head = 0  # seq of the newest
        self.dropped = 0  # seq of the newest that is not held any more

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self._frames.append(frame)
        self._held += len(frame.payload)
        self.head = frame.seq
        while self._held > self._most and len(self._frames) > 1:
            old = self._frames.popleft()
            self._held -= len(old.payload)
            self.dropped = old.seq

    def covers(self, seq: int) -> bool:
        """Whether all that came after `seq` is here."""
        return self.dropped <= seq <= self.head

    def after(self, seq: int) -> Iterator[Frame]:
        """The frames after `seq`, oldest first. Their numbers have no holes."""
        first = self.head - len(self._frames)
        for place in range(max(0, seq - first), len(self._frames)):
            yield self._frames[place]
