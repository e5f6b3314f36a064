"""Tail: the stream as lines for people: time, agent, kind, and what was said."""

from collections.abc import Iterator
from dataclasses import dataclass

from agentmon.events import ActivityLog, Event, Level
from agentmon.views.figures import clock
from agentmon.views.phrases import kind, phrase
from agentmon.views.text import CYAN, DIM, LEVELS, PLAIN, Ink, clean, fit, width

RANK = {"info": 0, "warning": 1, "error": 2}
_WIDEST = 20
_CONTINUED = 40  # lines of one entry (a traceback)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown. kinds: names of events, all where empty. level: log entries at least as bad."""

    kinds: frozenset[str] = frozenset()
    agent: str | None = None
    level: Level | None = None
    since: float | None = None

    def __call__(self, event: Event) -> bool:
        payload = event.payload
        if isinstance(payload, ActivityLog):
            return self.entry(event.agent_id, payload.level, event.timestamp)
        named = payload.event in self.kinds if self.kinds else self.level is None
        return named and self._from(event.agent_id, event.timestamp)

    def entry(self, agent: str, level: str, timestamp: float) -> bool:
        """Whether a log entry is shown."""
        if self.kinds and ActivityLog.event not in self.kinds:
            return False
        if self.level is not None and RANK.get(level, 0) < RANK[self.level]:
            return False
        return self._from(agent, timestamp)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def _from(self, agent: str, timestamp: float) -> bool:
        return (self.agent is None or agent == self.agent) and (self.since is None or timestamp >= self.since)


class Lines:
    """Events as lines. today: the day of which the date goes without saying."""

    def __init__(self, ink: Ink, today: str) -> None:
        self._ink, self._day = ink, today
        self._agents = 8

    def of(self, event: Event) -> Iterator[str]:
        """The lines of one event; a new day has a line of its own."""
        ink = self._ink
        day = clock(event.timestamp, "%Y-%m-%d")
        if day != self._day:
            self._day = day
            yield ink.paint(DIM, f"--- {day} ---")
        agent = clean(event.agent_id, 256)
        self._agents = min(_WIDEST, max(self._agents, width(agent)))
        at = clock(event.timestamp, "%H:%M:%S.%f")
        style, name = kind(event.payload)
        head = f"{ink.paint(DIM, at)} {ink.paint(CYAN, fit(agent, self._agents))} {ink.paint(style, fit(name, 7))} "
        if isinstance(event.payload, ActivityLog) and "\n" in event.payload.message:
            first, *others = event.payload.message.split("\n")
            style = LEVELS.get(event.payload.level, PLAIN)
            yield head + ink.paint(style, clean(first))
            indent = " " * (12 + 1 + self._agents + 1 + 7 + 1)
            for text in others[:_CONTINUED]:
                yield indent + ink.paint(style, clean(text))
            if len(others) > _CONTINUED:
                yield indent + ink.paint(DIM, f"({len(others) - _CONTINUED} more lines)")
            return
        yield head + "".join(ink.paint(style, text) for style, text in phrase(event.payload))
