"""Plain: lines that nobody had to look at, on their way from the pipeline to the recorder."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from agentmon.events import Stream


@dataclass(frozen=True, slots=True)
class Plain:
    """Lines that nobody had to look at: log entries of level info. Each ends in LF. agent: as in a finding."""

    stream: Stream
    data: bytes
    time: float
    agent: str | None = None


@lru_cache(maxsize=8)
def iso(time: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
