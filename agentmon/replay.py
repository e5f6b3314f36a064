"""Replay: run logs read as events, with the faults that files have; finished ones, and those still being written.

    state = fold_file(path, say)             # one run's state, fast: log entries are counted, and only the last decoded
    for event in read(path, say): ...        # every event, decoded
    for events in follow(path, say): ...     # what is there, then what comes; an empty list where nothing came: sleep

`records` and `follow_records` give each event with its line, for those who pass on what was recorded.

`say` takes one line of text that a person should know (a corrupt line by its number, a newer version), without any
prefix: `say("run.ndjson:17: not an event: ...")`. No fault of a file ends the reading. `path` may be `-` for stdin.
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from agentmon import checked, ndjson
from agentmon.errors import AgentmonError
from agentmon.events import VERSION, ActivityLog, Event, Lifecycle
from agentmon.follow import BLOCK, Follower, Lines
from agentmon.telemetry import LOGS_KEPT, RunTelemetry, apply, count_entry

Say = Callable[[str], None]
Record = tuple[Event, bytes]

_NAMED = 10  # faults that are named one by one; a file of garbage is not to fill the terminal
_PLAIN = b'{"v":%d,' % VERSION
_LOG_LINE = re.compile(
    rb'(\{"v":1,"type":"agent_telemetry","run_id":"[^"\\]*","seq":)(\d+)'
    rb'(,"agent_id":"([^"\\]*)","team_id":"([^"\\]*)","event":"log_entry","data":\{"activity_log":\{"timestamp":")'
    rb'[^"\\]*","level":"(info|warning|error)","message":"'
)
_END = re.compile(rb',"timestamp":(\d+(?:\.\d+)?)\}\s*\Z')
_ISO = len("2026-01-01T00:00:00.000000Z")


def read(path: str, say: Say) -> Iterator[Event]:
    """All events of a file, in its order."""
    return (event for event, _ in records(path, say))


def records(path: str, say: Say) -> Iterator[Record]:
    """All events of a file with their lines."""
    decoder = Decoder(path, say)
    lines = Lines()
    for data in _blocks(path):
        for line in lines.feed(data):
            yield from _with_line(line, decoder.events(line))
    yield from _with_line(lines.rest, decoder.close(lines.rest))


def fold_file(path: str, say: Say, watch: Callable[[Event], None] | None = None) -> RunTelemetry:
    """The state after all events of a file. watch: is given each event that is no log entry."""
    decoder = Decoder(path, say)
    folder = Fold(decoder, watch)
    lines = Lines()
    for data in _blocks(path):
        folder.take(lines.feed(data))
    folder.end(lines.rest)
    return folder.state


def follow(path: str, say: Say) -> Iterator[list[Event]]:
    """What is there, then what comes, without waiting; ends with the run. Sleep where a list is empty.

    Goes on across rotation, removal and truncation of the file.
    """
    return ([event for event, _ in found] for found in follow_records(path, say))


def follow_records(path: str, say: Say) -> Iterator[list[Record]]:
    """`follow`, each event with its line."""
    follower = Follower(path)
    decoder = Decoder(path, say)
    try:
        while True:
            found = [r for line in follower.poll() for r in _with_line(line, decoder.events(line))]
            yield found
            if not found and follower.over(decoder.closed):
                break
        yield [*_with_line(follower.rest, decoder.close(follower.rest))]
        if not decoder.closed:
            say(f"{decoder.name}: no closing event, and nobody writes it any more: the run was lost")
    finally:
        follower.close()


def _with_line(line: bytes, events: Iterable[Event]) -> Iterator[Record]:
    """Events of one line; those of a batch get a line each."""
    found = [*events]
    return ((event, line if len(found) == 1 else ndjson.encode(event).rstrip()) for event in found)


class Decoder:
    """Lines to events; says what is wrong with a line, and goes on."""

    def __init__(self, path: str, say: Say) -> None:
        self.name = "stdin" if path == "-" else path
        self.closed = False
        self._say = say
        self._open: set[str] = set()  # runs that began here and have not ended
        self.number = 0
        self._faults = 0
        self._said: set[str] = set()

    def events(self, line: bytes) -> Iterable[Event]:
        """The events of one whole line: one, none, or those of a batch."""
        self.number += 1
        try:
            event = checked.decode(line)
        except ndjson.NotAnEvent as error:
            return self._other(line, str(error))
        if not line.startswith(_PLAIN):
            self._look_at_version(line)
        self.saw(event)
        return (event,)

    def saw(self, event: Event) -> None:
        """Take note of beginnings and ends: the file is closed where all of its runs are."""
        if isinstance(event.payload, Lifecycle):
            if event.payload.state in ("stopped", "error"):
                self._open.discard(event.run_id)
                self.closed = not self._open
            else:
                self._open.add(event.run_id)
                self.closed = False

    def fault(self, what: str, number: int = 0) -> None:
        """Name a fault with the number of its line, by default of the one that was just read."""
        self._faults += 1
        if self._faults <= _NAMED:
            self._say(f"{self.name}:{number or self.number}: {what}")

    def close(self, rest: bytes = b"") -> Iterable[Event]:
        """What is left at the end: a line without its newline is a whole event, or cut. Says what was not named."""
        events: Iterable[Event] = ()
        if rest.strip(b"\0 \r\n\t"):
            self.number += 1
            try:
                event = checked.decode(rest)
                self.saw(event)
                events = (event,)
            except ndjson.NotAnEvent:
                self.fault("the last line is cut short; the rest was read")
        if self._faults > _NAMED:
            self._say(f"{self.name}: {self._faults - _NAMED} more lines that are no events")
        return events

    def _other(self, line: bytes, why: str) -> Iterable[Event]:
        """What is no event by itself: batches, snapshots, blank lines, versions to come, and faults."""
        if not line.strip():
            return ()
        try:
            raw = orjson.loads(line)
        except orjson.JSONDecodeError:
            raw = None
        if not isinstance(raw, dict):
            self.fault(f"not an event: {why}" if raw is None else "not an event: not a JSON object")
            return ()
        match raw.get("event"):
            case "batch" if isinstance(raw.get("data"), dict) and isinstance(raw["data"].get("events"), list):
                return [event for item in raw["data"]["events"] for event in self._item(item)]
            case "snapshot":
                self._once("begins inside a run: what came before is not in its sums")
                return ()
        if isinstance(raw.get("v"), int) and raw["v"] > VERSION:
            self._look_at_version(line)
            return ()
        self.fault(f"not an event: {why}")
        return ()

    def _item(self, item: Any) -> Iterable[Event]:
        try:
            event = checked.decode(orjson.dumps(item))
        except ndjson.NotAnEvent as error:
            self.fault(f"not an event in a batch: {error}")
            return ()
        self.saw(event)
        return (event,)

    def _look_at_version(self, line: bytes) -> None:
        version = orjson.loads(line).get("v")
        if isinstance(version, int) and version > VERSION:
            self._once(
                f"has events of version {version}; this agentmon knows {VERSION} and reads what it knows of them"
            )

    def _once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._say(f"{self.name}: {what}")


class Fold:
    """One run's state from its lines. A log entry is told by its bytes and counted; the last of each agent are kept
    as they are, and decoded when somebody looks."""

    def __init__(self, decoder: Decoder, watch: Callable[[Event], None] | None = None) -> None:
        self._decoder = decoder
        self._watch = watch
        self._state = RunTelemetry()
        self._raw: dict[str, deque[tuple[int, bytes]]] = {}  # by agent: numbers and lines
        self._head, self._who, self._agent, self._team = b"\n", b"", "", ""  # of the log entry before

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
        if self._watch is not None and not isinstance(event.payload, ActivityLog):
            self._watch(event)

    def _entry(self, line: bytes) -> str | None:
        """Count a log entry in the form that we write; its level. None for any other line."""
        head = self._head
        if line.startswith(head):  # the same run as before, and mostly the same agent
            comma = line.find(b",", len(head))
            at = comma + len(self._who) + _ISO
            if line.startswith(self._who, comma) and line.startswith(b'","level":"', at) and line.endswith(b"}"):
                end = line.find(b'"', at + 11)
                level = _LEVELS.get(line[at + 11 : end])
                digits = line[len(head) : comma]
                if level is not None and digits.isdigit():
                    return self._count(line, int(digits), level)
        found = _LOG_LINE.match(line)
        if found is None or _END.search(line, max(0, len(line) - 64)) is None:
            return None
        first, seq, who, agent, team, level_name = found.groups()
        try:
            self._agent, self._team = agent.decode(), team.decode()
        except UnicodeDecodeError:
            return None
        self._head, self._who = first, who
        if self._state.run_id is None:
            return None  # the first event of all is folded whole
        return self._count(line, int(seq), _LEVELS[level_name])

    def _count(self, line: bytes, seq: int, level: str) -> str:
        count_entry(self._state, self._agent, self._team, seq, level)
        kept = self._raw.get(self._agent)
        if kept is None:
            kept = self._raw[self._agent] = deque(maxlen=LOGS_KEPT)
        kept.append((self._decoder.number + 1, line))
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


def _blocks(path: str) -> Iterator[bytes]:
    """The bytes of a file. Raises AgentmonError."""
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", buffering=0, closefd=path != "-") as source:
            while data := source.read(BLOCK):
                yield data
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None


_LEVELS = {b"info": "info", b"warning": "warning", b"error": "error"}


def _time(line: bytes) -> float | None:
    found = _END.search(line, max(0, len(line) - 64))
    return float(found[1]) if found else None
