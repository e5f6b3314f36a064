"""Documents: JSON in lines of text. A whole line, after a prefix, within a log line, or pretty-printed over many."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from agentmon.collect.framer import JSON_LIMIT, JSON_MARKS
from agentmon.collect.parsers import Line
from agentmon.collect.parsers.quotes import in_backticks, is_code
from agentmon.events import Stream

NEEDLES = ('{"', '{ "', "[{", "{\n", "[\n", "{ \n")
_STARTS = re.compile(r'\{ ?"|\[\{')
_TRIES = 3
_DEEPEST = 100  # of pretty-printed JSON: what is deeper is no record of anybody's
_OPENS = re.compile(r"(?:\[\s*)*[\[{]\s*$")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"')
_LAST_WORDS = re.compile(r"([A-Za-z_][\w.]{0,40})[\s:=>\"'`*-]{0,8}$")
_TEXTS = frozenset(
    {"content", "command", "cmd", "args", "arguments", "input", "output", "text", "stdout", "stderr", "observation",
     "printf", "echo", "prompt", "description", "code", "query", "message", "answer", "final_answer"}
)  # fmt: skip
_SENTENCE = re.compile(r"(?:^|[\s│┃║|(])[A-Za-z']{1,20},? (?:[\w']{1,20},? ){0,8}([a-z']{1,20}) $")
_NAMES = re.compile(
    r"usage|token|stat|metric|response|result|json|data|event|reply|chunk|output|completion|message|body"
)
_AFTER: dict[str, str] = {  # what the next line of pretty-printed JSON may begin with
    "{": '"}',
    "[": '"{[]-0123456789tfn',
    ",": '"{[-0123456789tfn',
    ":": '"{[-0123456789tfn',
}
_CLOSERS = "}]"


class Document(NamedTuple):
    """One parsed JSON value. text: its source; before: the word that stood right before it, if any."""

    value: Any
    text: str
    before: str = ""


@dataclass(slots=True)
class _Open:
    """A document that goes on: its lines so far."""

    before: str
    parts: list[str] = field(default_factory=list)
    size: int = 0
    marks: int = 0
    depth: int = 0


class Documents:
    """Lines of every stream in, documents out. What turns out to be no JSON is given up in linear time."""

    def __init__(self) -> None:
        self._open: dict[Stream, _Open] = {}

    @property
    def attentive(self) -> bool:
        """Whether a document is open: then every line is needed."""
        return bool(self._open)

    def feed(self, line: Line) -> list[Document]:
        """The documents that this line holds or completes."""
        if line.truncated:
            self._open.pop(line.stream, None)
            return []
        found: list[Document] = []
        text = line.text.strip()
        opened = self._open.get(line.stream)
        if opened is not None:
            if self._goes_on(opened, text):
                if opened.depth <= 0:
                    del self._open[line.stream]
                    found += self._whole(opened)
                return found
            del self._open[line.stream]
            found += self._given_up(opened)
        if (document := self._single(text)) is not None:
            found.append(document)
        if text[-1:] in ("{", "[") and (bracket := _OPENS.search(text)):
            fresh = _Open(_word(text[: bracket.start()]))
            self._append(fresh, text[bracket.start() :])
            self._open[line.stream] = fresh
        return found

    def close(self) -> Iterator[Document]:
        """What stands alone in documents that never ended."""
        for opened in self._open.values():
            yield from self._given_up(opened)
        self._open.clear()

    def _goes_on(self, opened: _Open, text: str) -> bool:
        """Take the next line, if it can be one of this document."""
        last = opened.parts[-1][-1:]
        if not text or text[0] not in _AFTER.get(last, _CLOSERS):
            return False
        self._append(opened, text)
        return opened.size <= JSON_LIMIT and opened.marks <= JSON_MARKS and opened.depth <= _DEEPEST

    @staticmethod
    def _append(opened: _Open, text: str) -> None:
        opened.parts.append(text)
        opened.size += len(text) + 1
        if text == "[" or text == "{":
            opened.marks += 1
            opened.depth += 1
            return
        bare = _STRING.sub("", text) if '"' in text else text
        up = bare.count("{") + bare.count("[")
        opened.marks += up + bare.count(",")
        opened.depth += up - bare.count("}") - bare.count("]")

    def _whole(self, opened: _Open) -> Iterator[Document]:
        text = "\n".join(opened.parts)
        value = _loads(text)
        if value is None:
            end = max(text.rfind("}"), text.rfind("]")) + 1
            value = _loads(text[:end]) if end < len(text) else None
        if value is None:
            yield from self._given_up(opened)
        else:
            yield Document(value, text, opened.before)

    def _given_up(self, opened: _Open) -> Iterator[Document]:
        return (document for part in opened.parts if (document := self._single(part)) is not None)

    @staticmethod
    def _single(text: str) -> Document | None:
        """The document on one line: the line itself, or what follows a prefix, up to the last bracket."""
        if len(text) < 7:
            return None
        first, last = text[0], text[-1]
        if (first == "{" and last == "}") or (first == "[" and last == "]"):
            value = _loads(text)
            if value is not None:
                return Document(value, text)
        end = max(text.rfind("}"), text.rfind("]")) + 1
        for tried, match in enumerate(_STARTS.finditer(text, 0, end)):
            if tried == _TRIES:
                return None
            at = match.start()
            if in_backticks(text, at) or _in_string(text, at) or _in_prose(text, at) or _in_code(text, at):
                continue
            value = _loads(text[at:end])
            if value is not None:
                return Document(value, text, _word(text[:at]))
        return None


def _in_string(text: str, at: int) -> bool:
    """Whether a document is the text of a tool's call or answer: `content='{"usage": …}'`, `printf '{…}'`."""
    return text[at - 1 : at] in ("'", '"') and _word(text[:at]) in _TEXTS


def _in_code(text: str, at: int) -> bool:
    """Whether source code makes the document: an assignment, or an argument with others behind it."""
    return is_code(text[:at]) or (text.endswith(",") and re.fullmatch(r"[a-z_]\w{0,60}=", text[:at]) is not None)


def _in_prose(text: str, at: int) -> bool:
    """Whether a document stands in a sentence: plain words before it, no mark, and no word for what it is."""
    match = _SENTENCE.search(text[max(0, at - 120) : at])
    return bool(match and not _NAMES.search(match[1]))


def _word(before: str) -> str:
    """The last word before a document, with `total` if that stands before it."""
    match = _LAST_WORDS.search(before[-64:])
    if match is None:
        return ""
    qualified = re.search(
        r"\b(total|cumulative|session|accumulated)[\s_-]+$", before[-64:][: match.start()], re.IGNORECASE
    )
    return f"{qualified[1]}_{match[1]}" if qualified else match[1]


def _loads(text: str) -> Any:
    """A mapping or a list, None if the text is neither. Lone surrogates and the like make it no JSON."""
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict | list) else None
