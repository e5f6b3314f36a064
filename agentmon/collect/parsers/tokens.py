"""Tokens: the usage that tools print as text: in lines of their own form, as objects, and under labels."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache, lru_cache
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation

from agentmon.collect.parsers import Line, labels, stats_table, usage_objects
from agentmon.collect.parsers.accounts import Accounts
from agentmon.collect.parsers.figures import usage_of
from agentmon.collect.parsers.labels import Labelled, Labels
from agentmon.collect.parsers.literals import NotALiteral, Record, read, read_pairs
from agentmon.collect.parsers.patterns import Matched, Pattern
from agentmon.collect.parsers.quotes import in_backticks, is_code, is_unused
from agentmon.collect.parsers.stats_table import StatsTable
from agentmon.collect.parsers.token_patterns import TOKENS
from agentmon.collect.parsers.token_shapes import shape_in
from agentmon.events import Finding, Stream, TokenUsage

SECTION_LINES = 40
OBJECT_LINES = 400
OBJECT_CHARS = 64 * 1024
_KEYS = 8  # of usage, that are looked at on one line
_READS = 16  # of literals, that may be tried on one line
_ENDS = 4  # of an open object, that may turn out to be none
_BRACKETS = str.maketrans("([{)]}", "((()))")
_PRINTED = ("usage", "tokens", "namespace", "mappingproxy", "dict", "defaultdict")  # classes whose names are small
_PARTS_OF_STREAM = ("message_start", "message_delta")
_PARTS = ("cache_read", "cache_write", "reasoning")

# Keys of usage objects, as reprs, dicts and `util.inspect` print them; JSON's have double quotes and are not ours.
_OBJECT_NEEDLES = (
    "_tokens=", "_tokens':", "_tokens: ", "_token_count=", "_token_count':", "_token_count: ", "okens: ", "Tokens':",
    "Tokens=", "Usage(", "Usage {", "UsageMetadata(", "Metrics(", "eval_count=", "eval_count':",
    "usage': {", "usage: {", "usage_metadata': {",
)  # fmt: skip
_KEY = re.compile(
    r"(?:_tokens|_token_count|eval_count|Tokens|TokenCount)(?:_details|Details)?'?\s?[=:]"
    r"|(?:Usage|UsageMetadata|Metrics)(?:\(| \{)"
)
_OPENER = re.compile(r"(?<![\w.])[A-Za-z_][\w.]{0,80} ?[({]|\{")
_PAIR_START = re.compile(r"(?<![\w.'\"])[a-z_]{1,40}=(?=[\d'\"{\[A-Za-z])")
_JSON = re.compile(r"\s*+[{\[]\s*+[\"{\[]")
_OPEN_OBJECT = re.compile(r"(?:Usage|UsageMetadata|Metrics|usage(?:_metadata)?'?[:=]) ?[({]\s*$")
_MODEL_BEFORE = re.compile(
    r"((?:claude|gpt|gemini|qwen|llama|mistral|deepseek|grok|kimi|glm|o[1-9]|command|nova|phi|codestral|devstral)[\w.:/@-]{0,80}):?\s$"
)

_Span = tuple[Mapping[str, Any], int, int]  # a literal, and where it stands


@lru_cache(maxsize=256)
def _candidates(asked: int, section: str | None) -> Sequence[Pattern]:
    """The patterns that count in this section and have a needle in the line, or have none."""
    return [
        pattern
        for i, pattern in enumerate(TOKENS)
        if pattern.within in (None, section) and (not pattern.needles or asked & 1 << i)
    ]


_NEEDLES = tuple(dict.fromkeys(needle for pattern in TOKENS for needle in pattern.needles))
_ASKED = [sum(1 << i for i, pattern in enumerate(TOKENS) if needle in pattern.needles) for needle in _NEEDLES]


@cache
def _scan() -> AhoCorasick:
    return AhoCorasick(_NEEDLES, implementation=Implementation.ContiguousNFA)


class Tokens:
    """Token usage in text. `matched` hears which pattern matched, and what it took."""

    needles = tuple(
        dict.fromkeys(
            n
            for source in (*(p.needles for p in TOKENS), _OBJECT_NEEDLES, labels.NEEDLES, stats_table.NEEDLES)
            for n in source
        )
    )

    def __init__(self, matched: Matched | None = None) -> None:
        self._accounts = Accounts()
        self._matched = matched
        self._streams: dict[Stream, _StreamState] = {}
        self._begun: TokenUsage | None = None
        self.attentive = False  # whether an object, a section or a block of labels is open

    def feed(self, line: Line) -> Iterable[Finding]:
        """The usage that this line shows or completes."""
        state = self._streams.get(line.stream)
        if state is None:
            state = self._streams[line.stream] = _StreamState()
        if line.truncated:
            return ()
        found = self._feed(state, line.text)
        self.attentive = state.attentive
        if len(self._streams) > 1 and not self.attentive:
            self.attentive = any(other.attentive for other in self._streams.values())
        return found

    def _feed(self, state: "_StreamState", text: str) -> list[Finding]:
        found: list[Finding] = []
        if state.object and self._continue(state, text, found):
            return found
        if state.table.open or " Metric " in text:
            found += self._stats(state.table.feed(text))
            if state.table.open:
                return found
        if _JSON.match(text):
            found += self._labelled(state.labels.close())
            return found
        if (usages := self._pattern(state, text)) is not None:
            if state.labels.attentive:
                found += self._labelled(state.labels.close())
            found += map(Finding, usages)
            return found
        objects = list(self._objects(state, text))
        if objects or state.object or state.code:
            found += self._labelled(state.labels.close())
            for value, before in objects:
                found += map(Finding, self._read(value, before))
            return found
        found += self._labelled(state.labels.feed(text))
        return found

    def close(self) -> Iterable[Finding]:
        """What was still open."""
        if self._begun:
            yield from map(Finding, self._accounts.place(self._begun))
        for state in self._streams.values():
            yield from self._labelled(state.labels.close())
            yield from self._stats(state.table.close())

    # ------------------------------------------------------------ lines of their own form

    def _pattern(self, state: "_StreamState", text: str) -> Sequence[TokenUsage] | None:
        """What the first pattern that matches says; None if none does."""
        section = state.section
        if section is not None:
            state.section_lines += 1
            if state.section_lines > SECTION_LINES:
                state.section = section = None
        asked = 0
        for needle, _, _ in _scan().find_matches_as_indexes(text, overlapping=True):
            asked |= _ASKED[needle]
        for pattern in _candidates(asked, section):
            match = pattern.compiled.search(text)
            if match is None:
                continue
            groups = match.groupdict()
            if groups and _is_quoted(pattern, match):
                continue
            if self._matched is not None:
                self._say(pattern.name, {k: v for k, v in groups.items() if v is not None})
            if pattern.opens is not None:
                state.section, state.section_lines = pattern.opens, 0
            usage = usage_of(pattern, groups) if groups else None
            if usage is None:
                return ()
            step = int(groups["step"]) if groups.get("step") else None
            return self._accounts.place(
                usage, part=_part(pattern, usage), certain=_certain(pattern), exact=False, step=step
            )
        return None

    # ------------------------------------------------------------ objects

    def _objects(self, state: "_StreamState", text: str) -> Iterator[tuple[Mapping[str, Any], str]]:
        """The usage objects on this line, with what stands before them; one that does not end here is kept open."""
        done, any_read = 0, False
        state.reads, state.code = _READS, False
        for _ in range(_KEYS):
            hit = _KEY.search(text, done)
            if hit is None:
                break
            span = self._pairs(text, done, hit) or self._around(state, text, done, hit)
            if span is not None:
                value, start, done = span
                any_read = True
                if _is_code(value, text, start):
                    state.code = True
                    continue
                if in_backticks(text, start) or is_unused(text, start, start):
                    continue
                yield value, text[max(0, start - 100) : start]
                continue
            done = hit.end()
        if not any_read and (end := _OPEN_OBJECT.search(text)):
            first = next(_OPENER.finditer(text, max(0, end.start() - 80)), None)
            if first is not None:
                state.open(text[first.start() :])

    def _pairs(self, text: str, start: int, hit: re.Match[str]) -> _Span | None:
        """Pairs without brackets around a key of usage: `model='x' usage={...}`, as pydantic and loggers print."""
        first = next((m for m in _PAIR_START.finditer(text, start, hit.end() + 1)), None)
        if first is None or any(m.start() < first.start() for m in _OPENER.finditer(text, start, first.start())):
            return None
        values, end = read_pairs(text, first.start())
        return (values, first.start(), end) if end > hit.start() and usage_objects.find(_plain(values)) else None

    def _around(self, state: "_StreamState", text: str, start: int, hit: re.Match[str]) -> _Span | None:
        """The outermost literal that holds a key of usage."""
        openers = [m for m in _OPENER.finditer(text, start, hit.end()) if not _is_json(text, m)]
        for opener in (*openers[:4], *openers[4:][-4:]):
            if not state.reads:
                return None
            state.reads -= 1
            try:
                value, end = read(text, opener.start())
            except NotALiteral:
                continue
            if end > hit.start() and isinstance(value, Mapping) and usage_objects.find(_plain(value)):
                return value, opener.start(), end
        return None

    def _continue(self, state: "_StreamState", text: str, found: list[Finding]) -> bool:
        """Take the next line of an open object: whether it belongs to it."""
        state.extend(text)
        over = state.object_lines > OBJECT_LINES or len(state.object) > OBJECT_CHARS or not state.ends
        if state.depth > 0 and not over:
            return True
        state.ends -= 1
        try:
            value, _ = read(state.object)
        except NotALiteral as problem:
            if problem.unfinished and not over:
                return True
            state.object = ""
            return False
        state.object = ""
        if isinstance(value, Mapping):
            found += map(Finding, self._read(value, ""))
        return True

    def _read(self, value: Mapping[str, Any], before: str) -> Iterator[TokenUsage]:
        shape = shape_in(value)
        tool = shape.tool if shape else None
        model = match[1] if (match := _MODEL_BEFORE.search(before)) else None
        usages = []
        for found in usage_objects.find(_plain(value)):
            usage = usage_objects.usage(found, tool=tool, model=model)
            scope = usage.scope if usage.scope == "session" or shape is None or shape.scope is None else shape.scope
            usages.append(replace(usage, scope=scope))
            self._say((shape.name if shape else None) or "object", _figures(usage))
        if usages and (kind := value.get("type")) in _PARTS_OF_STREAM:
            usages = self._of_stream(str(kind), usages[0])
        certain = bool(shape and shape.scope) or len(usages) > 1
        if len(usages) > 1 and self._accounts.all_known(usages):
            return
        for usage in usages:
            yield from self._accounts.place(usage, certain=certain or usage.scope == "session")

    def _of_stream(self, kind: str, usage: TokenUsage) -> list[TokenUsage]:
        """A message of Anthropic's stream is one call: what its begin knows waits for its last figures."""
        begun, self._begun = self._begun, None
        if kind == "message_start":
            self._begun = replace(usage, output_tokens=None, total_tokens=None)  # a placeholder
            return [begun] if begun else []
        if begun is None:
            return [usage]
        known = {f.name: v for f in fields(TokenUsage) if (v := getattr(usage, f.name)) is not None}
        whole = replace(begun, **known)
        if whole.input_tokens is not None and whole.output_tokens is not None:
            whole = replace(whole, total_tokens=whole.input_tokens + whole.output_tokens)
        return [whole]

    # ------------------------------------------------------------ tables and labels

    def _stats(self, usages: Iterable[TokenUsage]) -> Iterator[Finding]:
        for usage in usages:
            self._say("stats-table", _figures(usage))
            yield from map(Finding, self._accounts.place(usage, part=usage.model or "", certain=True))

    def _labelled(self, blocks: Iterable[Labelled]) -> Iterator[Finding]:
        for block in blocks:
            figures = block.figures
            parts = {name: _int(figures.get(name, figures.get(f"{name}_apart"))) for name in _PARTS}
            apart = {name: int(figures.get(f"{name}_apart", 0)) for name in _PARTS}
            given = int(figures["input"]) + apart["cache_read"] + apart["cache_write"]
            made = int(figures["output"]) + apart["reasoning"]
            cost = figures.get("cost")
            usage = TokenUsage(
                input_tokens=given,
                output_tokens=made,
                total_tokens=given + made,
                cost_usd=cost,
                cache_read_tokens=parts["cache_read"],
                cache_write_tokens=parts["cache_write"],
                reasoning_tokens=parts["reasoning"],
                scope="session" if block.running else "call",
                estimated=block.estimated or None,
                cost_source=None if cost is None else "tool",
            )
            self._say("labels", _figures(usage))
            yield from map(Finding, self._accounts.place(usage, certain=False, exact=False))

    def _say(self, name: str, took: Mapping[str, Any]) -> None:
        if self._matched is not None:
            self._matched(name, took)


class _StreamState:
    def __init__(self) -> None:
        self.labels = Labels()
        self.table = StatsTable()
        self.section: str | None = None
        self.section_lines = 0
        self.reads = 0
        self.code = False  # whether this line makes an object, as source code does
        self.object = ""
        self.object_lines = self.depth = self.ends = 0

    def open(self, text: str) -> None:
        """An object begins that does not end on this line."""
        self.object, self.object_lines, self.depth, self.ends = "", 0, 0, _ENDS
        self.extend(text)

    def extend(self, text: str) -> None:
        """The next line of the open object. Brackets in strings make the depth a guess, no more."""
        self.object += text + "\n"
        self.object_lines += 1
        marks = text.translate(_BRACKETS)
        self.depth += marks.count("(") - marks.count(")")

    @property
    def attentive(self) -> bool:
        return bool(self.object) or self.section is not None or self.labels.attentive or self.table.open


def _is_quoted(pattern: Pattern, match: re.Match[str]) -> bool:
    """Whether the figures stand in a code span, or are those of nobody's and no consumption."""
    text = match.string
    if text.startswith("|") and text.rstrip().endswith("|"):  # a row of a Markdown table
        return True
    known = pattern.tool is not None or pattern.within is not None
    if known and "`" not in text:
        return False
    start = min([begin for begin, _ in match.regs[1:] if begin >= 0])
    return in_backticks(text, start) or (not known and is_unused(text, start, match.end()))


def _part(pattern: Pattern, usage: TokenUsage) -> str:
    return (usage.model or "") if pattern.of == "model" else ""


def _certain(pattern: Pattern) -> bool:
    return pattern.tool is not None or pattern.scope == "session" or pattern.name == "token-usage"


def _plain(value: Any) -> Any:
    """Without what Python prints beside the figures: pydantic-ai's `details` repeat them as the API counts them."""
    if isinstance(value, Record) and "details" in value and "input_tokens" in value:
        return {k: v for k, v in value.items() if k != "details"}
    return value


def _is_code(value: Mapping[str, Any], text: str, start: int) -> bool:
    """Whether this is no object, but code that makes one: an assignment, or the call of a function."""
    if isinstance(value, Record) and value.name[:1].islower() and value.name not in _PRINTED:
        return text.startswith(f"{value.name}(", start)
    return is_code(text[:start])


def _is_json(text: str, opener: re.Match[str]) -> bool:
    return opener[0].endswith("{") and text[opener.end() : opener.end() + 16].lstrip()[:1] == '"'


def _figures(usage: TokenUsage) -> Mapping[str, Any]:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd")
    return {name: value for name in names if (value := getattr(usage, name)) is not None}


def _int(value: int | float | None) -> int | None:
    return None if value is None else int(value)
