"""Agents: who acts, where an orchestrator's output tells.

A mark is a line that names the agent whose turn begins, or that ends the turn. Names are as printed. Lines that
nobody claimed belong to the run's own agent.
"""

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.agent_marks import MARKS
from agentmon.events import Stream

_LONGEST = 1000
_COMMON = [mark for mark in MARKS if not mark.needles]


class Agents:
    """Sees lines before the parsers do, and says whose each is."""

    needles = tuple(dict.fromkeys(needle for mark in MARKS for needle in mark.needles))

    def __init__(self) -> None:
        self._acting: dict[Stream, str | None] = {}
        self._seen: set[str] = set()
        self.attentive = False  # whether any line may name an agent from now on

    def feed(self, line: Line) -> str | None:
        """The agent that this line belongs to; None is the run's own."""
        text = line.text
        if line.truncated or len(text) > _LONGEST:
            return self.current(line.stream)
        for mark in MARKS:
            if mark.after and self._seen.isdisjoint(mark.after):
                continue
            if mark.needles and not any(needle in text for needle in mark.needles):
                continue
            match = mark.compiled.search(text)
            if match is None:
                continue
            if mark.name not in self._seen:
                self._seen.add(mark.name)
                self.attentive = any(not self._seen.isdisjoint(common.after) for common in _COMMON)
            agent = match["agent"].strip() if mark.names else None
            if not mark.this_line:
                self._acting[line.stream] = agent
            return agent
        return self.current(line.stream)

    def current(self, stream: Stream) -> str | None:
        """Who acts in this stream."""
        return self._acting.get(stream)
