"""`agentmon parse --explain`: which pattern matched on which line, and what it took."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmon.collect.framer import Framer
from agentmon.collect.parsers import Line
from agentmon.collect.parsers.agents import Agents
from agentmon.collect.parsers.all import standard
from agentmon.collect.parsers.patterns import Pattern
from agentmon.events import Finding, Stream
from agentmon.ndjson import payload_dict


class Explainer:
    """Feeds the parsers line by line, as the pipeline does, and tells what came of it."""

    def __init__(self, own: Sequence[Pattern] = ()) -> None:
        self._notes: list[str] = []
        self._parsers = standard(own, notice=self._notes.append, matched=self._matched)
        self._agents = Agents()
        self._framers: dict[Stream, Framer] = {}
        self._numbers: dict[Stream, int] = {}

    def feed(self, stream: Stream, data: bytes) -> Iterator[str]:
        """Lines of explanation for bytes of one stream."""
        framer = self._framers.setdefault(stream, Framer())
        for block in framer.feed(data, 0.0):
            for text in block.data.decode("utf-8", "replace").split("\n")[:-1]:
                yield from self._line(Line(stream, text, 0.0, block.truncated))

    def close(self) -> Iterator[str]:
        """What only the end tells."""
        for stream, framer in self._framers.items():
            for block in framer.close(0.0):
                for text in block.data.decode("utf-8", "replace").split("\n")[:-1]:
                    yield from self._line(Line(stream, text, 0.0, block.truncated))
        yield from self._told("at the end", [f for parser in self._parsers for f in parser.close()])

    def _line(self, line: Line) -> Iterator[str]:
        number = self._numbers[line.stream] = self._numbers.get(line.stream, 0) + 1
        found: list[Finding] = []
        before = self._agents.current(line.stream)
        looked = self._agents.attentive or _wants(self._agents.needles, line)
        agent = self._agents.feed(line) if looked else before
        if agent != before:
            self._notes.append(f"agent: {agent or '(the run itself)'}")
        if any(parser.attentive or _wants(parser.needles, line) for parser in self._parsers):
            found = [finding for parser in self._parsers for finding in parser.feed(line)]
        yield from self._told(f"{line.stream}:{number}: {line.text[:500]}", found)

    def _told(self, title: str, found: Sequence[Finding]) -> Iterator[str]:
        notes = [*self._notes, *(f"-> {f.payload.event}: {_pairs(payload_dict(f.payload))}" for f in found)]
        self._notes.clear()
        if notes:
            yield title
            yield from (f"    {note}" for note in notes)

    def _matched(self, name: str, took: Mapping[str, Any]) -> None:
        self._notes.append(f"{name}: {_pairs(took)}")


def _wants(needles: Sequence[str], line: Line) -> bool:
    return any(needle in line.text for needle in needles)


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items() if value is not None)
