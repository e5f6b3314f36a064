"""Wanted: which events of a run are asked for, told by a line's bytes as far as they tell it, and then by the event."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from agentmon.events import PAYLOADS, ActivityLog, Event, GitActivity
from agentmon.views.serve.outline import EVERYTHING, FOREIGN, KINDS, LEVELS

_LOG = "log_entry"


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is given must hold. text: is in the message of a log entry or a git act; ASCII letters match in either
    case. since, until: Unix seconds, the last one excluded. run: in a file of several."""

    events: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    levels: frozenset[str] = frozenset()
    text: str = ""
    since: float | None = None
    until: float | None = None
    run: str | None = None

    def takes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        payload, time = event.payload, event.timestamp
        if self.events and payload.event not in self.events:
            return False
        if self.agents and event.agent_id not in self.agents:
            return False
        if self.run is not None and event.run_id != self.run:
            return False
        if self.levels and (not isinstance(payload, ActivityLog) or payload.level not in self.levels):
            return False
        if (self.since is not None and time < self.since) or (self.until is not None and time >= self.until):
            return False
        return not self.text or _folded(self.text) in _folded(_message(event))

    def takes_block(self, since: float, until: float, kinds: int) -> bool:
        """Whether a block with events of these times and kinds may have some."""
        if not kinds & self.kinds():
            return False
        return (self.since is None or until >= self.since) and (self.until is None or since < self.until)

    def kinds(self) -> int:
        """The kinds of lines that may be wanted."""
        if self.levels:
            known = self.levels if not self.events or _LOG in self.events else frozenset()
        elif self.events:
            known = self.events - {_LOG} | (frozenset(LEVELS) if _LOG in self.events else frozenset())
        else:
            return EVERYTHING
        return sum(KINDS[name] for name in known) | FOREIGN

    def needles(self) -> list[bytes]:
        """Bytes that each wanted line in our form has."""
        found = []
        if len(self.events) == 1:
            (event,) = self.events
            found.append(b'"event":"%s","data":{"%s":{' % (event.encode(), PAYLOADS[event].key.encode()))
        if len(self.levels) == 1:
            (level,) = self.levels
            found.append(b'","level":"%s"' % level.encode())
        if len(self.agents) == 1:
            (agent,) = self.agents
            found.append(b',"agent_id":%s,' % orjson.dumps(agent))
        if self.run is not None:
            found.append(b',"run_id":%s,' % orjson.dumps(self.run))
        return found


class Sieve:
    """What the bytes of a line in our form tell: whether it may be wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self._text = orjson.dumps(wanted.text)[1:-1].lower()
        self._needles = wanted.needles()

    def begins(self, data: bytes, backwards: bool) -> Iterator[tuple[int, int]]:
        """Where in a block of lines in our form those that may be wanted begin and end, each once."""
        hay = data.lower() if self._text else data
        needle = self._text or (self._needles[0] if self._needles else b"\n")
        if backwards:
            end = len(data)
            while (hit := hay.rfind(needle, 0, end)) >= 0:
                begin, stop = data.rfind(b"\n", 0, hit) + 1, data.find(b"\n", hit)
                if self._takes(data, begin, stop):
                    yield begin, stop
                end = begin
            return
        at = 0
        while (hit := hay.find(needle, at)) >= 0:
            begin, stop = data.rfind(b"\n", at, hit) + 1 or at, data.find(b"\n", hit)
            if self._takes(data, begin, stop):
                yield begin, stop
            at = stop + 1

    def _takes(self, data: bytes, begin: int, end: int) -> bool:
        return all(data.find(needle, begin, end) >= 0 for needle in self._needles)


def _message(event: Event) -> str:
    match event.payload:
        case ActivityLog(message=message):
            return message
        case GitActivity(message=message):
            return message or ""
    return ""


def _folded(text: str) -> str:
    return text.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
