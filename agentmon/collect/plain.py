"""Plain: lines on their way from the pipeline to the recorder, most of which nobody had to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
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
    """Unix seconds as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
