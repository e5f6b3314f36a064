"""Pipeline: the lines of all streams -> findings, in order. What `run` and `parse` share.

One multi-pattern scan over a whole block decides which lines anybody looks at; all others stay as they are in
their block, where they cost nanoseconds a line.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from ahocorasick_rs import BytesAhoCorasick, Implementation

from agentmon import redact
from agentmon.collect.framer import Block, Framer, by_length
from agentmon.collect.parsers import Line, Parser, levels
from agentmon.collect.parsers.agents import Agents
from agentmon.collect.plain import Changed, Plain, iso
from agentmon.events import ActivityLog, Finding, GitActivity, Level, LogSource, Stream, TokenUsage

MESSAGE_LIMIT = 4096
_WINDOW = 64 * 1024
_LEVELS, _SECRETS, _AGENTS, _LONG, _FIRST_PARSER = 1, 2, 4, 8, 16  # bits: why a line is looked at
_PARSERS, _PARSERS_AND_AGENTS, _ALL = -_FIRST_PARSER, -_FIRST_PARSER | _AGENTS, -1
_PLAIN: tuple[Level, float | None] = ("info", None)
_CHECKED = 48  # bytes before a needle that its check sees


class Pipeline:
    """Bytes of every stream in; plain blocks and findings out.

    Parsers see the lines of all streams in the order of arrival, so that what git says on stderr and the commit
    that it prints on stdout meet.
    """

    def __init__(
        self, parsers: Sequence[Parser], *, logs: bool = True, redacted: bool = True,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._parsers = [(_FIRST_PARSER << i, parser) for i, parser in enumerate(parsers)]
        self._notice = notice
        self._agents = Agents()
        self._logs = logs
        self._redacted = redacted
        self._streams: dict[Stream, _StreamState] = {}
        self._wanted = 0  # the bits of those who want the next line
        self._look_ahead()
        askers: dict[str, int] = {}
        wanted = [(bit, parser.needles) for bit, parser in self._parsers]
        wanted.append((_AGENTS, self._agents.needles))
        if logs:
            wanted += [(_LEVELS, levels.NEEDLES), (_SECRETS, redact.NEEDLES if redacted else ())]
        for bit, needles in wanted:
            for needle in needles:
                askers[needle] = askers.get(needle, 0) | bit
        self._askers = tuple(askers.values())
        self._checks = tuple(self._check(needle, bits) for needle, bits in askers.items())
        self._longest = max((len(needle.encode()) for needle in askers), default=0)
        self._needles = BytesAhoCorasick([n.encode() for n in askers], implementation=Implementation.DFA)

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
                yield from self._entry(stream, state, entry, "orchestrator", self._agents.current(stream))
        for bit, parser in self._parsers:
            try:
                yield from parser.close()
            except Exception as error:
                self._leave_out(bit, error)

    def cut_bytes(self, stream: Stream) -> int:
        """How many bytes of over-long lines of this stream no parser saw."""
        return self._streams[stream].framer.cut_bytes if stream in self._streams else 0

    def _block(self, stream: Stream, state: "_StreamState", block: Block) -> Iterator[Plain | Finding]:
        for data, is_long in by_length(_valid(block.data), MESSAGE_LIMIT + 1):
            if not is_long and not (block.truncated and data.count(b"\n") == 1):
                yield from self._lines(stream, state, data, block.time)
                continue
            asked = _ALL
            if not block.truncated:
                asked = self._wanted | state.wanted | _LONG
                for _, asker in self._hits(data):
                    asked |= asker
            text = data[:-1].decode()
            if told := self._line(stream, state, Line(stream, text, block.time, block.truncated), asked):
                yield from told[-1]

    def _lines(
        self, stream: Stream, state: "_StreamState", data: bytes, time: float
    ) -> Iterator[Plain | Finding]:  # fmt: skip
        """Lines of UTF-8 of which none is too long for a log entry."""
        silent = not self._logs or state.framer.full_screen
        never = (len(data) + 1, 0)
        hits = self._hits(data)
        end, asker = next(hits, never)
        agent = self._agents.current(stream)
        changed: list[Changed] = []
        start = done = 0
        while done < len(data):
            begin = done
            asked = self._wanted | state.wanted
            if not asked:
                if end > len(data):
                    break
                begin = data.rfind(b"\n", done, end) + 1 or done
            done = data.find(b"\n", begin) + 1
            while end < done:
                asked |= asker
                end, asker = next(hits, never)
            told = self._line(stream, state, Line(stream, data[begin : done - 1].decode(), time), asked)
            if told is None:
                continue
            if silent:
                yield from told[-1]
                continue
            changed.append(Changed(begin - start, done - start, *told))
            if asked & _AGENTS and (acting := self._agents.current(stream)) != agent:
                yield Plain(stream, data[start:done], time, agent, changed)
                agent, changed, start = acting, [], done
        if start < len(data) and not silent:
            yield Plain(stream, data[start:] if start else data, time, agent, changed)

    def _hits(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where a needle's last byte is (it may be the LF), and the bits of those who asked.

        In windows, as a hit takes 100 bytes of memory.
        """
        if len(data) <= _WINDOW:
            return iter(self._window(data, data, 0, 0))
        begins = ((max(0, at - self._longest), at) for at in range(0, len(data), _WINDOW))
        windows = (self._window(data, data[begin : at + _WINDOW], begin, at) for begin, at in begins)
        return chain.from_iterable(windows)

    def _window(self, data: bytes, part: bytes, begin: int, at: int) -> list[tuple[int, int]]:
        """The hits in `part` of `data`, which begins at `begin`, as far as they end behind `at`."""
        askers, checks = self._askers, self._checks
        return [
            (begin + end - 1, askers[needle])
            for needle, start, end in self._needles.find_matches_as_indexes(part, overlapping=True)
            if begin + end > at
            and ((check := checks[needle]) is None
                 or check.search(data, max(0, begin + start - _CHECKED), begin + end))
        ]  # fmt: skip

    def _check(self, needle: str, bits: int) -> re.Pattern[bytes] | None:
        """What must match up to the end of a needle to make it a hit, if it is one asker's alone and that says so."""
        if bits == _SECRETS:
            return redact.CHECKS.get(needle)
        return next((getattr(p, "checks", {}).get(needle) for bit, p in self._parsers if bit == bits), None)

    def _look_ahead(self) -> None:
        """See who wants the next line, whatever it holds."""
        self._wanted = _AGENTS if self._agents.attentive else 0
        for bit, parser in self._parsers:
            if parser.attentive:
                self._wanted |= bit

    def _line(
        self, stream: Stream, state: "_StreamState", line: Line, asked: int
    ) -> tuple[Level | None, float | None, LogSource, Sequence[Finding]] | None:
        """What a line gives to those who asked for it, as in Changed; None where it is plain after all."""
        before = agent = self._agents.current(stream)
        if asked & _AGENTS:
            agent = self._agents.feed(line)
        findings: list[Finding] = []
        if asked & _PARSERS:
            for bit, parser in self._parsers:
                if asked & bit:
                    try:
                        findings += parser.feed(line)
                    except Exception as error:
                        self._leave_out(bit, error)
        if asked & _PARSERS_AND_AGENTS:
            self._look_ahead()
        source: LogSource = "orchestrator"
        if findings:
            if agent is not None:
                findings = [f if f.agent is not None else replace(f, agent=agent) for f in findings]
            source = _source(findings)
        if not self._logs or state.framer.full_screen:
            return (None, None, source, findings) if findings else None
        if asked & _SECRETS:
            state.secrets = True
        if not (state.secrets or state.masker.inside_key or asked & _LONG or agent != before or line.truncated):
            known = state.levels.of(line) if asked & _LEVELS else _PLAIN
            if known is not None:
                return (*known, source, findings) if findings or known != _PLAIN else None
        as_it_is = levels.Entry(line.text, "info", line.time, line.truncated)
        entries = [*state.levels.feed(line)] if asked & _LEVELS else [as_it_is]
        found = [logged for entry in entries for logged in self._entry(stream, state, entry, source, agent)]
        state.wanted = _SECRETS if state.masker.inside_key else 0
        if state.levels.attentive:
            state.wanted |= _LEVELS
        else:
            state.secrets = False
        return None, None, source, found + findings

    def _leave_out(self, bit: int, error: Exception) -> None:
        """A parser that fails is a fault of ours, not of the line: it goes, the others go on."""
        name = next(getattr(p, "name", type(p).__name__) for b, p in self._parsers if b == bit)
        self._parsers = [(b, parser) for b, parser in self._parsers if b != bit]
        self._notice(f"{name} failed and is left out from here on: {type(error).__name__}: {error}")

    def _entry(
        self, stream: Stream, state: "_StreamState", entry: levels.Entry, source: LogSource, agent: str | None
    ) -> Sequence[Finding]:
        text = entry.text
        if self._redacted and (state.secrets or state.masker.inside_key):
            text = state.masker.mask(text)
        short = _shorten(text)
        truncated = True if entry.truncated or len(short) < len(text) else None
        return (Finding(ActivityLog(iso(entry.time), entry.level, short, source, stream, truncated), agent),)


class _StreamState:
    def __init__(self) -> None:
        self.framer = Framer()
        self.levels = levels.Levels()
        self.masker = redact.Masker()
        self.wanted = 0  # the bits of those who want the next line of this stream
        self.secrets = False  # whether a line of the entry that is being made may hold one


def _valid(data: bytes) -> bytes:
    """As UTF-8, whatever it was."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace").encode()
    return data


def _source(findings: Iterable[Finding]) -> LogSource:
    for finding in findings:
        if isinstance(finding.payload, GitActivity):
            return "git"
        if isinstance(finding.payload, TokenUsage):
            return "llm"
    return "orchestrator"


def _shorten(text: str) -> str:
    """At most MESSAGE_LIMIT bytes of UTF-8: the beginning, of several lines also the end, where the error is."""
    if len(text) * 4 <= MESSAGE_LIMIT:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MESSAGE_LIMIT:
        return text
    if "\n" in text:
        head, tail = raw[: MESSAGE_LIMIT // 4], raw[-(MESSAGE_LIMIT * 3 // 4 - 8) :]
        return head.decode("utf-8", "ignore") + "\n…\n" + tail.decode("utf-8", "ignore")
    return raw[:MESSAGE_LIMIT].decode("utf-8", "ignore")
