"""Pipeline: the lines of all streams -> findings, in order. What `run` and `parse` share.

One multi-pattern scan over a whole block decides which lines anybody looks at; all others are passed on as
plain blocks, which cost nanoseconds a line.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ahocorasick_rs import BytesAhoCorasick, Implementation

from agentmon import redact
from agentmon.collect.framer import Block, Framer
from agentmon.collect.parsers import Line, Parser, levels
from agentmon.events import ActivityLog, Finding, GitActivity, LogSource, Stream, TokenUsage

MESSAGE_LIMIT = 4096
_CHECKED = 48  # bytes before a needle that its check sees


@dataclass(frozen=True, slots=True)
class Plain:
    """Lines that nobody had to look at: log entries of level info. Each ends in LF."""

    stream: Stream
    data: bytes
    time: float


class Pipeline:
    """Bytes of every stream in; plain blocks and findings out.

    Parsers see the lines of all streams in the order of arrival, so that what git says on stderr and the commit
    that it prints on stdout meet.
    """

    def __init__(self, parsers: Sequence[Parser], *, logs: bool = True, redacted: bool = True) -> None:
        self._parsers = parsers
        self._logs = logs
        self._redacted = redacted
        self._streams: dict[Stream, _StreamState] = {}
        needles = {n for parser in parsers for n in parser.needles}
        if logs:
            needles.update(levels.NEEDLES)
            if redacted:
                needles.update(redact.NEEDLES)
        ordered = sorted(needles)
        self._needles = BytesAhoCorasick([n.encode() for n in ordered], implementation=Implementation.DFA)
        self._checks = [self._check(n) for n in ordered]

    def feed(self, stream: Stream, data: bytes, time: float) -> Iterator[Plain | Finding]:
        """Take bytes of one stream, read at `time` (Unix seconds)."""
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = _StreamState()
        for block in state.framer.feed(data, time):
            yield from self._block(stream, state, block)

    def close(self, time: float) -> Iterator[Plain | Finding]:
        """The end of all streams: incomplete lines count as lines, open tracebacks end."""
        for stream, state in self._streams.items():
            for block in state.framer.close(time):
                yield from self._block(stream, state, block)
            for entry in state.levels.close():
                yield from self._entry(stream, state, entry, "orchestrator")
        for parser in self._parsers:
            yield from parser.close()

    def cut_bytes(self, stream: Stream) -> int:
        """How many bytes of over-long lines of this stream no parser saw."""
        return self._streams[stream].framer.cut_bytes if stream in self._streams else 0

    def _block(self, stream: Stream, state: "_StreamState", block: Block) -> Iterator[Plain | Finding]:
        data, done = block.data, 0
        hits: Iterator[int] | None = None
        while done < len(data):
            begin = done
            if not block.truncated and not self._attentive(state):
                if hits is None:
                    hits = self._hits(data)
                start = next((start for start in hits if start >= done), None)
                if start is None:
                    yield from self._plain(stream, state, data[done:] if done else data, block.time)
                    return
                begin = data.rfind(b"\n", done, start) + 1 or done
                if begin > done:
                    yield from self._plain(stream, state, data[done:begin], block.time)
            done = data.find(b"\n", begin) + 1
            text = data[begin : done - 1].decode("utf-8", "replace")
            yield from self._line(stream, state, Line(stream, text, block.time, block.truncated))

    def _check(self, needle: str) -> re.Pattern[bytes] | None:
        """What must match up to the end of a needle to make it a hit, if all who look for it say so."""
        found = {getattr(p, "checks", {}).get(needle) for p in self._parsers if needle in p.needles}
        return found.pop() if len(found) == 1 else None

    def _hits(self, data: bytes) -> Iterator[int]:
        for needle, start, end in self._needles.find_matches_as_indexes(data):
            check = self._checks[needle]
            if check is None or check.search(data, max(0, start - _CHECKED), end):
                yield start

    def _attentive(self, state: "_StreamState") -> bool:
        return state.levels.attentive or state.masker.inside_key or any(p.attentive for p in self._parsers)

    def _plain(self, stream: Stream, state: "_StreamState", data: bytes, time: float) -> Iterator[Plain | Finding]:
        if not self._logs or state.framer.full_screen:
            return
        done = 0
        at = 0
        while at + MESSAGE_LIMIT < len(data):  # a line over the limit leaves a window without an LF
            newline = data.rfind(b"\n", at, at + MESSAGE_LIMIT + 1)
            if newline >= 0:
                at = newline + 1
                continue
            if at > done:
                yield Plain(stream, data[done:at], time)
            done = data.find(b"\n", at) + 1
            text = data[at : done - 1].decode("utf-8", "replace")
            yield from self._entry(stream, state, levels.Entry(text, "info", time), "orchestrator")
            at = done
        if done < len(data):
            yield Plain(stream, data[done:] if done else data, time)

    def _line(self, stream: Stream, state: "_StreamState", line: Line) -> Iterator[Finding]:
        findings = [finding for parser in self._parsers for finding in parser.feed(line)]
        if self._logs and not state.framer.full_screen:
            source = _source(findings)
            for entry in state.levels.feed(line):
                yield from self._entry(stream, state, entry, source)
        yield from findings

    def _entry(self, stream: Stream, state: "_StreamState", entry: levels.Entry, source: LogSource) -> Iterator[Finding]:
        if not self._logs:
            return
        text = state.masker.mask(entry.text) if self._redacted else entry.text
        short = _shorten(text)
        truncated = True if entry.truncated or len(short) < len(text) else None
        yield Finding(ActivityLog(iso(entry.time), entry.level, short, source, stream, truncated))


class _StreamState:
    def __init__(self) -> None:
        self.framer = Framer()
        self.levels = levels.Levels()
        self.masker = redact.Masker()


def iso(time: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _source(findings: Iterable[Finding]) -> LogSource:
    for finding in findings:
        if isinstance(finding.payload, GitActivity):
            return "git"
        if isinstance(finding.payload, TokenUsage):
            return "llm"
    return "orchestrator"


def _shorten(text: str) -> str:
    """At most MESSAGE_LIMIT bytes of UTF-8: the beginning, and of several lines also the end, where the error stands."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MESSAGE_LIMIT:
        return text
    if "\n" in text:
        head, tail = raw[: MESSAGE_LIMIT // 4], raw[-(MESSAGE_LIMIT * 3 // 4 - 8) :]
        return head.decode("utf-8", "ignore") + "\n…\n" + tail.decode("utf-8", "ignore")
    return raw[:MESSAGE_LIMIT].decode("utf-8", "ignore")
