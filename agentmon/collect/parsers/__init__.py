"""Parsers: complete lines in, findings out. No input or output, no clock."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from agentmon.events import Finding, Stream


class Line(NamedTuple):
    """One complete line: decoded, without escapes and line end. time is Unix seconds when it was read."""

    stream: Stream
    text: str
    time: float
    truncated: bool = False


class Parser(Protocol):
    """What every parser offers.

    needles: a line that holds none of them (case counts) is not shown to the parser, unless it is attentive.
    attentive: whether the parser wants to see every line for now, because the last one opened something.
    """

    @property
    def needles(self) -> tuple[str, ...]: ...

    @property
    def attentive(self) -> bool: ...

    def feed(self, line: Line) -> Iterable[Finding]: ...

    def close(self) -> Iterable[Finding]: ...
