"""Apart: what sources give, told apart by run and team, so that each feed is of one run and of one team.

A file may hold many runs, a socket's path may be used by one run after another, and one run may be told by several
sources: the first that tells it is believed. A view that may show a team nothing of another relies on this.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import orjson

from agentmon.errors import AgentmonError
from agentmon.feeds.feed import Feed, Feeds

RunKey = tuple[str, str]  # run_id and team_id

# The beginning of a line as we write it. A quote inside of a JSON text is escaped: no text can look like this.
_HEAD = re.compile(
    rb'\{"v":1,"type":"agent_telemetry","run_id":"([^"\\]*)","seq":\d+,'
    rb'"agent_id":"(?:[^"\\]|\\.)*","team_id":"([^"\\]*)","event":"'
)
_CLAIMS_KEPT = 4096
_ENVELOPE_BYTES = 4096  # of a line, in which it tells what it is
_READING_S = 0.02  # in one call: whoever asks has other things to do
_YOUNG_S = 10.0  # a feed that is over, and gave nothing at all, is asked so long


def key_of(line: bytes) -> RunKey | None:
    """Whose line it is; None where it does not tell."""
    try:
        found = _HEAD.match(line)
        if found is not None:
            return found[1].decode(), found[2].decode()
        raw = orjson.loads(line)
        run_id, team_id = raw["run_id"], raw["team_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return (run_id, team_id) if isinstance(run_id, str) and isinstance(team_id, str) else None


def _singles(line: bytes) -> Sequence[bytes]:
    """The events of a batch as lines of their own, each of which may be another team's; any other line as it is."""
    if line.find(b'"event":"batch"', 0, _ENVELOPE_BYTES) < 0:
        return (line,)
    try:
        return [orjson.dumps(event) for event in orjson.loads(line)["data"]["events"]]
    except (ValueError, KeyError, TypeError):
        return (line,)


class Claims:
    """Which source tells a run. One that has ended stays with its source, as far as memory goes."""

    def __init__(self) -> None:
        self._owners: OrderedDict[RunKey, object] = OrderedDict()

    def claim(self, key: RunKey, owner: object) -> bool:
        """Whether this source tells the run from now on."""
        if self._owners.setdefault(key, owner) is not owner:
            return False
        while len(self._owners) > _CLAIMS_KEPT:
            self._owners.popitem(last=False)
        return True

    def release(self, key: RunKey, owner: object) -> None:
        """Another source may tell the run."""
        if self._owners.get(key) is owner:
            del self._owners[key]


class Part:
    """The lines of one run of one team: a feed."""

    def __init__(self, source: "_Source", key: RunKey, name: str) -> None:
        self._source, self._key, self._name = source, key, name
        self._lost = False
        self.lines: list[bytes] = []

    @property
    def name(self) -> str:
        """Where it comes from; of a source with many runs, which."""
        return self._name

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""
        return self._source.rest_of(self)

    def poll(self) -> list[bytes]:
        """The lines that have come for it; its source is read on where all of them were taken."""
        if not self.lines:
            self._source.read()
        lines, self.lines = self.lines, []
        return lines

    def over(self, closed: bool) -> bool:
        """Whether nothing more will come."""
        over = not self.lines and self._source.over(closed)
        self._lost = over and not closed
        return over

    def close(self) -> None:
        """Nobody looks at this run any more."""
        self._source.leave(self, self._key, self._lost)


class _Source:
    """One feed, and the runs that it was found to hold."""

    def __init__(self, feed: Feed, claims: Claims, say: Callable[[str], None]) -> None:
        self.feed = feed
        self.parts: dict[RunKey, Part] = {}
        self.new: list[Part] = []
        self._claims, self._say = claims, say
        self._last: Part | None = None
        self._left: set[RunKey] = set()
        self._broken = self._empty = self._gave = False
        self._since = time.monotonic()

    def read(self) -> None:
        """Read on, and share out. What cannot be read at all is said once."""
        if self._broken:
            return
        try:
            lines = self.feed.poll()
        except AgentmonError as error:
            self._broken = True
            self._say(error.message)
            return
        self._empty = not lines
        for line in lines:
            for single in _singles(line):
                key = key_of(single)
                part = self._part(key) if key is not None else self._last
                if part is not None:
                    part.lines.append(single)
                    self._last = part

    def over(self, closed: bool) -> bool:
        """Whether nothing more will come for a run that is closed, or is not."""
        return self._broken or (self._empty and self.feed.over(closed))

    @property
    def is_done(self) -> bool:
        """Whether its runs were left, or there never was one."""
        if self.parts or self.new:
            return False
        is_young = time.monotonic() - self._since < _YOUNG_S
        return self._broken or self._gave or (self._empty and not is_young and self.feed.over(False))

    def rest_of(self, part: Part) -> bytes:
        """A line that has not ended belongs to the run that was written last."""
        return self.feed.rest if part is self._last else b""

    def leave(self, part: Part, key: RunKey, lost: bool) -> None:
        """A run is not looked at any more. What still comes of it, from wherever, is late; unless it was lost here."""
        if self.parts.get(key) is part:
            del self.parts[key]
            if lost:
                self._claims.release(key, self)
            else:
                self._left.add(key)

    def _part(self, key: RunKey) -> Part | None:
        part = self.parts.get(key)
        if part is not None or key in self._left or not self._claims.claim(key, self):
            return part
        name = f"{self.feed.name} (run {key[0]} of {key[1]})" if self._gave else self.feed.name
        part = self.parts[key] = Part(self, key, name)
        self.new.append(part)
        self._gave = True
        return part


class Apart:
    """Feeds of one run and one team each, made of others. claims: shared by all that are shown together."""

    def __init__(self, feeds: Feeds, claims: Claims, say: Callable[[str], None]) -> None:
        self.keeps = feeds.keeps
        self._feeds, self._claims, self._say = feeds, claims, say
        self._sources: list[_Source] = []
        self._turn = 0

    def found(self) -> list[Feed]:
        """The runs that are new. Reads where no run is read that would do it, a little at a time."""
        self._sources += [_Source(feed, self._claims, self._say) for feed in self._feeds.found()]
        if not self.keeps:
            for source in self._sources:
                if source.is_done:
                    source.feed.close()
            self._sources = [source for source in self._sources if not source.is_done]
        until = time.monotonic() + _READING_S
        for _ in range(len(self._sources)):
            self._turn = (self._turn + 1) % len(self._sources)
            source = self._sources[self._turn]
            if not source.parts:
                source.read()
                if time.monotonic() > until:
                    break
        new: list[Feed] = [part for source in self._sources for part in source.new]
        for source in self._sources:
            source.new.clear()
        return new

    def close(self) -> None:
        """Let the feeds go."""
        for source in self._sources:
            source.feed.close()
        self._feeds.close()
