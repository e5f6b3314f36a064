"""Decoder: lines of a file to events; says what is wrong with a line, and goes on."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from agentmon import checked, ndjson
from agentmon.events import VERSION, Event, Lifecycle

Say = Callable[[str], None]
Wants = Callable[[str, str, float], bool]  # a log entry's agent, level and Unix time

# A log entry as we write it: up to its seq, seq, up to its time, agent, team, level. A quote inside of a JSON text is
# escaped: no text can look like this.
LOG_LINE = re.compile(
    rb'(\{"v":1,"type":"agent_telemetry","run_id":"[^"\\]*","seq":)(\d+)'
    rb'(,"agent_id":"([^"\\]*)","team_id":"([^"\\]*)","event":"log_entry","data":\{"activity_log":\{"timestamp":")'
    rb'[^"\\]*","level":"(info|warning|error)","message":"'
)
END = re.compile(rb',"timestamp":(\d+(?:\.\d+)?)\}\s*\Z')

_PLACE = re.compile(r": line 1 column \d+ \(char \d+\)\Z")  # beside the number of the line it only confuses
_NAMED = 10  # faults that are named one by one; a file of garbage is not to fill the terminal
_PLAIN = b'{"v":%d,' % VERSION


class Decoder:
    """Lines to events; says what is wrong with a line, and goes on."""

    def __init__(self, path: str, say: Say, wants: Wants | None = None, before: int = 0) -> None:
        self.name = "stdin" if path == "-" else path
        self.closed = False
        self._say = say
        self._open: set[str] = set()  # runs that began here and have not ended
        self._wants = wants
        self.number = before  # of the line that was read last
        self._faults = 0
        self._said: set[str] = set()

    def events(self, line: bytes) -> Iterable[Event]:
        """The events of one whole line: one, none, or those of a batch."""
        self.number += 1
        if self._wants is not None and self._is_unwanted(line):
            return ()
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
            self._say(f"{self.name}:{number or self.number}: {_PLACE.sub('', what)}")

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

    def _is_unwanted(self, line: bytes) -> bool:
        found, end = LOG_LINE.match(line), END.search(line, max(0, len(line) - 64))
        if found is None or end is None or self._wants is None:
            return False
        agent = found[4].decode("utf-8", "replace")
        return not self._wants(agent, found[6].decode(), float(end[1]))

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
