"""Replay: run logs read as events, with the faults that files have; finished ones, and those still being written.

    state = fold_file(path, say)             # one run's state, fast: log entries are counted, and only the last decoded
    for event in read(path, say): ...        # every event, decoded
    for events in follow(path, say): ...     # what is there, then what comes; an empty list where nothing came: sleep

`records` and `follow_records` give lists of events with their lines, for those who pass on what was recorded.

`say` takes one line of text that a person should know (a corrupt line by its number, a newer version), without any
prefix: `say("run.ndjson:17: not an event: ...")`. No fault of a file ends the reading. `path` may be `-` for stdin.
"""

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from agentmon import checked, ndjson
from agentmon.decoder import END, LOG_LINE, Decoder, Say, Wants
from agentmon.errors import AgentmonError
from agentmon.events import ActivityLog, Event
from agentmon.follow import BLOCK, Follower, Lines, last_lines
from agentmon.telemetry import LOGS_KEPT, RunTelemetry, apply, count_entry

__all__ = [
    "Decoder", "Entries", "Fold", "Progress", "Record", "Say", "Wants", "fold_file", "follow",
    "follow_records", "read", "records",
]  # fmt: skip

Progress = Callable[[int], None]
Entries = Callable[[str, bytes], None]  # an agent, and the line of its log entry
Record = tuple[Event, bytes]

_ISO = len("2026-01-01T00:00:00.000000Z")


def read(path: str, say: Say, progress: Progress | None = None) -> Iterator[Event]:
    """All events of a file, in its order. progress: is told how many more bytes were read."""
    return (event for found in records(path, say, progress=progress) for event, _ in found)


def records(
    path: str, say: Say, wants: Wants | None = None, last: int | None = None, progress: Progress | None = None
) -> Iterator[list[Record]]:  # fmt: skip
    """All events of a file with their lines, as many at a time as were read at once.

    wants: asked of each log entry that can be told by its bytes; one that is not wanted is passed over undecoded.
    last: only so many lines from the end, where the file has an end. progress: as in `read`.
    """
    offset, before = last_lines(path, last) if last is not None else (0, 0)
    decoder = Decoder(path, say, wants, before)
    lines = Lines()
    for data in _blocks(path, progress, offset):
        yield [record for line in lines.feed(data) for record in with_line(line, decoder.events(line))]
    yield [*with_line(lines.rest, decoder.close(lines.rest))]


def fold_file(
    path: str, say: Say, watch: Callable[[Event], None] | None = None, state: RunTelemetry | None = None,
    progress: Progress | None = None,
) -> RunTelemetry:  # fmt: skip
    """The state after all events of a file. watch: is given each event that is no log entry, and errors among these,
    once they are in the state. state: to fold into, for watchers who look at it."""
    decoder = Decoder(path, say)
    folder = Fold(decoder, watch, state)
    lines = Lines()
    for data in _blocks(path, progress):
        folder.take(lines.feed(data))
    folder.end(lines.rest)
    return folder.state


def follow(path: str, say: Say) -> Iterator[list[Event]]:
    """What is there, then what comes, without waiting; ends with the run. Sleep where a list is empty.

    Goes on across rotation, removal and truncation of the file.
    """
    return ([event for event, _ in found] for found in follow_records(path, say))


def follow_records(path: str, say: Say, wants: Wants | None = None, last: int | None = None) -> Iterator[list[Record]]:
    """`follow`, each event with its line; `wants` and `last` as in `records`."""
    offset, before = last_lines(path, last) if last is not None else (0, 0)
    follower = Follower(path, offset)
    decoder = Decoder(path, say, wants, before)
    try:
        while True:
            found = [r for line in follower.poll() for r in with_line(line, decoder.events(line))]
            yield found
            if not found and follower.over(decoder.closed):
                break
        yield [*with_line(follower.rest, decoder.close(follower.rest))]
        if not decoder.closed:
            say(f"{decoder.name}: no closing event, and nobody writes it any more: the run was lost")
    finally:
        follower.close()


def with_line(line: bytes, events: Iterable[Event]) -> Iterator[Record]:
    """Events of one line; those of a batch get a line each."""
    found = [*events]
    return ((event, line if len(found) == 1 else ndjson.encode(event).rstrip()) for event in found)


class Fold:
    """One run's state from its lines. A log entry is told by its bytes and counted; the last of each agent are kept
    as they are, and decoded when somebody looks.

    A log entry that is damaged inside of its text only is counted like any other (decoding all of them takes five
    times as long); `read` names it.
    """

    def __init__(
        self, decoder: Decoder, watch: Callable[[Event], None] | None = None, state: RunTelemetry | None = None,
        entries: Entries | None = None,
    ) -> None:  # fmt: skip
        """watch: as in `fold_file`. entries: is given each log entry as its line, once it is counted."""
        self._decoder = decoder
        self._watch = watch
        self._entries = entries
        self._state = RunTelemetry() if state is None else state
        self._raw: dict[str, deque[tuple[int, bytes]]] = {}  # by agent: numbers and lines
        self._head, self._who = b"\n", b""  # of the log entry before
        self._run = self._agent = self._team = ""

    @property
    def state(self) -> RunTelemetry:
        """The state so far, with the last log entries decoded."""
        for agent_id in tuple(self._raw):
            self._decode(agent_id)
        return self._state

    def take(self, lines: Iterable[bytes]) -> None:
        """Fold whole lines."""
        last = b""
        for line in lines:
            level = self._entry(line)
            if level is None:
                last = b""
                self._take_others(line)
            else:
                last = line
                self._decoder.number += 1
        if last:
            self._state.last_updated = _time(last)

    def end(self, rest: bytes) -> None:
        """Fold what is left at the end of a file."""
        for event in self._decoder.close(rest):
            self._apply(event)

    def _take_others(self, line: bytes) -> None:
        for event in self._decoder.events(line):
            self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event.payload, ActivityLog):
            self._decode(event.agent_id)
        apply(self._state, event)
        if self._entries is not None and isinstance(event.payload, ActivityLog):
            self._entries(event.agent_id, ndjson.encode(event))
        if self._watch is not None and (not isinstance(event.payload, ActivityLog) or event.payload.level == "error"):
            self._watch(event)

    def _entry(self, line: bytes) -> str | None:
        """Count a log entry in the form that we write; its level. None for any other line."""
        head = self._head
        if line.startswith(head):  # the same run as before, and mostly the same agent
            comma = line.find(b",", len(head))
            at = comma + len(self._who) + _ISO
            if line.startswith(self._who, comma) and line.startswith(b'","level":"', at) and _is_whole(line):
                end = line.find(b'"', at + 11)
                level = _LEVELS.get(line[at + 11 : end])
                digits = line[len(head) : comma]
                if level is not None and digits.isdigit():
                    return self._count(line, int(digits), level)
        found = LOG_LINE.match(line)
        if found is None or END.search(line, max(0, len(line) - 64)) is None:
            return None
        first, seq, who, agent, team, level_name = found.groups()
        try:
            self._agent, self._team = agent.decode(), team.decode()
            self._run = first[len(_BEFORE_RUN) : -len(_BEHIND_RUN)].decode()
        except UnicodeDecodeError:
            return None
        self._head, self._who = first, who
        if self._state.run_id is None:
            return None  # the first event of all is folded whole
        return self._count(line, int(seq), _LEVELS[level_name])

    def _count(self, line: bytes, seq: int, level: str) -> str:
        count_entry(self._state, self._run, self._agent, self._team, seq, level)
        kept = self._raw.get(self._agent)
        if kept is None:
            kept = self._raw[self._agent] = deque(maxlen=LOGS_KEPT)
        kept.append((self._decoder.number + 1, line))
        if self._entries is not None:
            self._entries(self._agent, line)
        if level == "error" and self._watch is not None:
            with contextlib.suppress(ndjson.NotAnEvent):
                self._watch(checked.decode(line))
        return level

    def _decode(self, agent_id: str) -> None:
        for number, line in self._raw.pop(agent_id, ()):
            try:
                event = checked.decode(line)
            except ndjson.NotAnEvent as error:
                self._decoder.fault(f"not an event: {error}", number)
                continue
            assert isinstance(event.payload, ActivityLog)
            agent = self._state.agents[agent_id]
            agent.activity_logs.append(event.payload)
            agent.last_updated = max(agent.last_updated or 0.0, event.timestamp)


def _blocks(path: str, progress: Progress | None = None, offset: int = 0) -> Iterator[bytes]:
    """The bytes of a file, from an offset on. Raises AgentmonError."""
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", buffering=0, closefd=path != "-") as source:
            if offset:
                source.seek(offset)
            while data := source.read(BLOCK):
                if progress is not None:
                    progress(len(data))
                yield data
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None


_BEFORE_RUN, _BEHIND_RUN = b'{"v":1,"type":"agent_telemetry","run_id":"', b'","seq":'
_LEVELS = {b"info": "info", b"warning": "warning", b"error": "error"}


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"}") and line.find(b'}},"timestamp":', len(line) - 48) > 0


def _time(line: bytes) -> float | None:
    found = END.search(line, max(0, len(line) - 64))
    return float(found[1]) if found else None
