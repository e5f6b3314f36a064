"""Plain: lines on their way from the pipeline to the recorder, most of which nobody had to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import floor
from typing import NamedTuple

from agentmon.events import Finding, Level, LogSource, Stream


class Changed(NamedTuple):
    """A line that is not as the others: where it begins and ends in the block, its level, own time (Unix seconds, if it
    tells one) and source, and what follows it.

    level is None where the line itself makes no entry: then all that stands in its place is in `found`.
    """

    begin: int
    end: int
    level: Level | None
    time: float | None
    source: LogSource
    found: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Plain:
    """Lines of valid UTF-8, each with its LF: log entries of level info, save those that are changed.

    agent: as in a finding.
    """

    stream: Stream
    data: bytes
    time: float
    agent: str | None = None
    changed: Sequence[Changed] = ()


@lru_cache(maxsize=8)
def iso(time: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with microseconds. Raises OverflowError, ValueError, OSError."""
    whole = floor(time)
    microseconds = round((time - whole) * 1e6)
    if microseconds == 1_000_000:
        whole, microseconds = whole + 1, 0
    return f"{_second(whole)}.{microseconds:06d}Z"


@lru_cache(maxsize=128)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat().removesuffix("+00:00")
