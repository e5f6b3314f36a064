"""Quotes: what an agent read or cites is not what it used.

Diffs, the listing of `git log`, code blocks of Markdown, files that a command shows, and whole transcripts of tools
that never print usage: figures in there were printed by somebody else, some other time. `Unquoted` stands before a
parser and keeps these lines from it.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from ahocorasick_rs import AhoCorasick

from agentmon.collect.parsers import Line, Parser
from agentmon.events import Finding, Stream

_HELD_LINES = 300
_HELD_CHARS = 64 * 1024
_SHOWN_LINES = 2000
_RECORDS = ("{", "[", '"', "}", "]")  # what begins in this way is no quote, and mostly a record
_EDGES = " \t│┃║|"

_FENCE = re.compile(r"(`{3,9})([^`]{0,80})$")
_HUNK = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
_HEADER = re.compile(
    r"(?:index |--- |\+\+\+ |old mode |new mode |new file mode |deleted file mode |similarity index |rename |copy |"
    r"dissimilarity index |Binary files |\\ No newline)"
)
_SHOWS = (
    "cat", "head", "tail", "less", "more", "bat", "nl", "grep", "rg", "sed", "awk", "jq", "printf", "echo", "git log",
    "git show", "git diff", "git blame", "git grep",
)  # fmt: skip
_ECHO = re.compile(rf"(?:\$|❯) (?:cd \S{{1,200}} && )?(?:{'|'.join(_SHOWS)})(?= |$)")
_CALL = re.compile(r"[●⏺✗✓] \S")  # copilot-cli 1.0.102, claude-code 2.1.197: a tool's call, and below what it was told
_OF_CALL = re.compile(r" {2,6}[│└⎿] | {4,}\S")
_BOX = re.compile(  # crewai 1.15.30: boxes about tools, tasks and answers; none of them tells usage
    r"╭─{1,200} [^╭╮─]{0,8}(?:Tool |Task |Agent (?:Started|Final Answer)|Crew |Reasoning|Thought)[^╭╮]{0,60} ─{1,200}╮"
)
_MESSAGE = re.compile(r"={8,} (\w{1,20}) Message ={8,}$")  # langchain-core 1.7.2: `pretty_print`
_ARGS = re.compile(r"\s{1,2}Args:$")
_CITED = re.compile(  # by grep, which names the file; by its number; by the mark of a change
    r"(?:[\w.@~/-]{1,200}\.(?:md|rst|txt|log|json|jsonl|ndjson|html|ya?ml|toml|csv|out|diff|patch)"
    r"|[\w./-]{1,200}\.[a-z]{1,4}(?=[:-]\d{1,7}[:-]\S|[:-]\d{1,7}[:-] {2,}))[:-]\d{1,7}[:-]"
    r"| {0,8}\d{1,7}(?:\t|→|│ |: {2,}|:\")|[+-](?=[\w{\"'])"
    r"|\s{0,40}(?://|#{1,6} |>>> |\"\"\")"  # and the lines of code that are comments, or typed
)
_CODE = re.compile(  # what stands before an object that is made, not printed
    r"\s{0,80}(?:return|yield|assert|const|let|var|export|raise|expect|(?:self|cls|this)\.)\b"
    r"|\s{0,80}(?:\w{1,40}\.){1,8}\w{1,40} = $|\s{2,80}[a-z_]\w{0,60}(?:: [\w.\[\]]{1,60})? = $"
    r"|(?:mock|fake|dummy|stub|expected|example|sample|test|default)\w{0,40} = $"
)
# Around figures of no known tool: they are no consumption, or none of this run's.
_UNUSED_BEFORE = re.compile(  # in the lookahead, the first letters of all these words: a third of the time
    r"\b(?=[abcdelpqrstuvw])"
    r"(?:estimat(?:e|ed|es|ing|ion)(?! cost)|budget|remaining|quota|limits?|allowance|allowed|available|averages?|avg"
    r"|expected|predicted|projected|sav(?:ed|es|ings?)|training|dataset|tokeniz(?:e|ed|er|ing)|would|assert|const|let|var"
    r"|return|expect|plan includes|up to|example|e\.g\.|config(?:uration)?:|settings?:)(?![\w./-])|==",
    re.IGNORECASE,
)
_UNUSED_WORDS = (  # of which each of these holds one
    "estimat", "budget", "remaining", "quota", "limit", "allow", "available", "average", "avg", "expect", "predicted",
    "projected", "sav", "training", "dataset", "tokeniz", "would", "assert", "const", "let", "var", "return",
    "plan includes", "up to", "example", "e.g.", "config", "setting", "==",
)  # fmt: skip
_UNUSED_AFTER = re.compile(
    r"[\s)\].]{0,4}(?:would|will|max(?:imum)?|limits?|remaining|left|available|budget|allowed|saved|per)\b"
    r"| (?:tokens? )?(?:in|is|as|are|was|were|from|of) (?:the|an?|this|that|these|those|each|every|our|your)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a tool prints of its work as text, from its banner to its last line, and none of it usage."""

    begins: str
    ends: str
    seen_in: str


TRANSCRIPTS = (Transcript("OpenAI Codex v", "tokens used", "codex 0.169.0"),)
_STARTS = frozenset("d@A●⏺✗✓╭=$❯").union(t.begins[0] for t in TRANSCRIPTS)  # of all that `_opens` knows by its start

NEEDLES = (
    "```", "● ", "⏺ ", "✗ ", "✓ ", "diff --git ", "@@ -", "Author: ", "╭─", " Message ===",
    " Args:", *(t.begins for t in TRANSCRIPTS),
    *(f"{prompt} {start}" for prompt in ("$", "❯") for start in (*_SHOWS, "cd ")),
)  # fmt: skip


class Unquoted:
    """A parser that does not see what is quoted."""

    def __init__(self, behind: Parser) -> None:
        self._behind = behind
        self._streams: dict[Stream, _Quotes] = {}
        self._open = False
        self.needles = tuple(dict.fromkeys((*behind.needles, *NEEDLES)))

    @property
    def name(self) -> str:
        """As the parser behind it is called."""
        return type(self._behind).__name__

    @property
    def attentive(self) -> bool:
        """Whether a quote is open, or the parser behind wants every line."""
        return self._open or self._behind.attentive

    def feed(self, line: Line) -> Iterable[Finding]:
        """What the parser behind finds, in this line or in those that turned out to be no quote."""
        quotes = self._streams.get(line.stream)
        if quotes is None:
            quotes = self._streams[line.stream] = _Quotes()
        if not quotes.open and (line.text[:1] in _RECORDS or not quotes.may_open(line.text)):
            return self._behind.feed(line)
        found = [finding for shown in quotes.feed(line) for finding in self._behind.feed(shown)]
        self._open = any(quotes.open for quotes in self._streams.values())
        return found

    def close(self) -> Iterable[Finding]:
        """What was held back, and what the parser behind still holds."""
        for quotes in self._streams.values():
            for shown in quotes.close():
                yield from self._behind.feed(shown)
        yield from self._behind.close()


class _Quotes:
    """Lines of one stream in; out come those that are no quote."""

    def __init__(self) -> None:
        self._reader: Callable[[str], bool] | None = None  # whether a line belongs to what is open
        self._transcript: Transcript | None = None
        self._fence = ""
        self._held: list[Line] = []
        self._held_chars = 0
        self._old = self._new = 0  # lines of a hunk that are still to come
        self._lines = 0

    @property
    def open(self) -> bool:
        return self._reader is not None or self._transcript is not None or bool(self._fence)

    @staticmethod
    def may_open(text: str) -> bool:
        """Whether a line may be a quote or begin one, by a quick look: most are none."""
        return text.lstrip(_EDGES)[:1] in _STARTS or text.endswith("Args:") or "```" in text or is_cited(text)

    def feed(self, line: Line) -> Iterator[Line]:
        text = line.text
        if self._transcript is not None:
            if text == self._transcript.ends:
                self._transcript = None
            return
        if self._reader is not None:
            if self._reader(text):
                return
            self._reader = None
        bare = text.strip(_EDGES) if "```" in text or self._fence else ""
        fence = _FENCE.match(bare) if bare.startswith("```") else None
        if self._fence:
            if fence is not None and not fence[2] and len(fence[1]) >= len(self._fence):
                self._drop()
                return
            if fence is None and len(self._held) < _HELD_LINES and self._held_chars < _HELD_CHARS:
                self._held.append(line)
                self._held_chars += len(text)
                return
            yield from self.close()  # it was never closed: the end of another
        if fence is not None:
            self._fence = fence[1]
            return
        if not self._opens(text):
            yield line

    def close(self) -> Iterator[Line]:
        """What was held back and is no quote after all."""
        held = self._held
        self._drop()
        yield from held

    def _drop(self) -> None:
        self._fence, self._held, self._held_chars = "", [], 0

    def _opens(self, text: str) -> bool:
        """Whether a line is a quote, or begins one."""
        bare = text.lstrip(_EDGES)
        if bare.startswith("diff --git "):
            self._reader = self._in_diff
        elif bare.startswith("@@ -") and _HUNK.match(bare):
            self._in_diff(text)
            self._reader = self._in_diff
        elif text.startswith("Author: ") and "<" in text:
            self._reader = _in_log
        elif text[:1] in "●⏺✗✓" and _CALL.match(text):
            self._reader = _in_call
            return False
        elif text.startswith("╭─") and _BOX.match(text):
            self._reader = _in_box
        elif text.startswith("=====") and (message := _MESSAGE.match(text)):
            self._reader = _in_message if message[1] != "Ai" else None
        elif text.endswith("Args:") and _ARGS.match(text):
            self._reader = _in_arguments
        elif bare[:2] in ("$ ", "❯ ") and _ECHO.match(bare):
            self._reader, self._lines = self._in_shown, 0
        else:
            found = next((t for t in TRANSCRIPTS if t.begins in text and text.startswith(t.begins)), None)
            self._transcript = found
            return found is not None or is_cited(text)
        return True

    def _in_diff(self, text: str) -> bool:
        bare = text.lstrip("│┃║|")
        if self._old > 0 or self._new > 0:
            mark = bare[:1]
            if mark in (" ", "", "\t"):
                self._old -= 1
                self._new -= 1
                return True
            if mark in ("-", "+"):
                self._old -= mark == "-"
                self._new -= mark == "+"
                return True
            if mark == "\\":
                return True
            self._old = self._new = 0
        bare = text.lstrip(_EDGES)
        if hunk := _HUNK.match(bare):
            self._old, self._new = int(hunk[1] or 1), int(hunk[2] or 1)
            return True
        return bool(_HEADER.match(bare)) or bare.startswith("diff --git ")

    def _in_shown(self, text: str) -> bool:
        self._lines += 1
        return bool(text.strip(_EDGES)) and self._lines < _SHOWN_LINES and not text.startswith(("$ ", "❯ "))


def _in_log(text: str) -> bool:
    """`git log`: the head of a commit, its message indented by four."""
    return not text or text.startswith(("    ", "Date: ", "AuthorDate: ", "Commit: ", "CommitDate: "))


def _in_call(text: str) -> bool:
    return bool(_OF_CALL.match(text))


def _in_box(text: str) -> bool:
    return text.startswith("│")


def _in_message(text: str) -> bool:
    return not _MESSAGE.match(text)


def _in_arguments(text: str) -> bool:
    return text.startswith("    ")


def is_cited(text: str) -> bool:
    """Whether a line is one of a file, by what stands before it: its number, its name, or a diff's mark."""
    return _CITED.match(text) is not None


def is_code(before: str) -> bool:
    """Whether an object behind these words of its line is made there by source code."""
    return _CODE.match(before) is not None


def in_backticks(text: str, at: int) -> bool:
    """Whether what begins at `at` stands in a Markdown code span."""
    return "`" in text and text.count("`", 0, at) % 2 == 1


def is_unused(text: str, start: int, end: int) -> bool:
    """Whether the words around figures (from `start` to `end`) say that these are no consumption."""
    first = max(0, start - 120)
    before = _words().find_matches_as_indexes(text[first:start].lower())  # mostly none, and a sixth of the time
    return bool((before and _UNUSED_BEFORE.search(text, first, start)) or _UNUSED_AFTER.match(text, end))


@cache
def _words() -> AhoCorasick:
    return AhoCorasick(_UNUSED_WORDS)
