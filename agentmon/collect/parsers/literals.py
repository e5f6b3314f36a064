"""Literals: what programs print of their objects, read back as mappings.

Python reprs (`Usage(input_tokens=5, details={...})`, `{'input_tokens': 5}`), what `util.inspect` prints
(`{ inputTokens: 5 }`), Rust's and Go's debug forms (`TokenUsage { input_tokens: 5 }`) and pairs without brackets
(`input_tokens=5 output_tokens=6`) are one grammar here. Nothing is evaluated; depth and size are bounded, and
every character is read once.
"""

import re
from typing import Any

DEPTH = 24
VALUES = 4000
_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
      (?P<string>[bruf]{0,2}(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"))
    | (?P<number>[-+]?\d[\d_]*+(?:\.\d++)?(?:[eE][-+]?\d++)?)n?(?![\w.:])
    | (?P<word>[^\W\d][\w.$]*+)
    | (?P<opaque><[^<>]{0,300}>|\.\.\.)
    | (?P<mark>[{}()\[\]:=,|])
    )""",
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[^\s,;|)\]}]{0,200}")
_WORD = re.compile(r"[^\s,;|)\]}'\"{(\[]{1,200}")
_CONSTANTS: dict[str, Any] = {
    "None": None, "null": None, "undefined": None, "nil": None, "NaN": None, "nan": None, "inf": None,
    "True": True, "true": True, "False": False, "false": False,
}  # fmt: skip
_CLOSING = {"(": ")", "{": "}", "[": "]"}


class Record(dict[str, Any]):
    """A mapping that was printed with the name of its class."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class NotALiteral(Exception):
    """This text is none. unfinished: it could still become one, with more text."""

    def __init__(self, unfinished: bool = False) -> None:
        super().__init__()
        self.unfinished = unfinished


def read(text: str, at: int = 0) -> tuple[Any, int]:
    """The literal that begins at `at`, and where it ends. Raises NotALiteral."""
    reader = _Reader(text, at)
    value = reader.value(0)
    return value, reader.at


def read_pairs(text: str, at: int = 0) -> tuple[dict[str, Any], int]:
    """The pairs `key=value key=value ...` from `at` on, and where they end."""
    reader = _Reader(text, at)
    pairs: dict[str, Any] = {}
    end = at
    while True:
        try:
            kind, key = reader.next()
            if kind != "word" or reader.next() != ("mark", "="):
                break
            start = reader.at
            try:
                value = reader.value(1)
            except NotALiteral:
                value = None
                reader.at = start
            bare = _BARE.match(text, reader.at)
            if bare is None:
                break
            if bare.end() > reader.at:  # `model=gpt-4o`: a word with marks in it
                word = _WORD.match(text, start)
                if word is None:
                    break
                value, reader.at = word[0], word.end()
            pairs[key] = value
        except NotALiteral:
            break
        end = reader.at
        if text[end : end + 1] == ",":
            reader.at = end + 1
    return pairs, end


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self._values = 0

    def next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            rest = self.text[self.at : self.at + 400].strip()
            raise NotALiteral(unfinished=not rest or (rest[0] in "'\"<" and len(rest) < 400))
        self.at = match.end()
        kind = match.lastgroup or ""
        return kind, match[kind]

    def peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match["mark"] or "" if match else ""

    def value(self, depth: int) -> Any:
        self._values += 1
        if depth > DEPTH or self._values > VALUES:
            raise NotALiteral
        kind, token = self.next()
        match kind:
            case "string":
                value = _unquoted(token)
                while self.text[self.at : self.at + 64].lstrip()[:1] in ("'", '"'):  # pprint splits long strings
                    more_kind, more = self.next()
                    if more_kind != "string":
                        raise NotALiteral
                    value += _unquoted(more)
                return value
            case "number":
                return _number(token)
            case "opaque":
                return None
            case "word":
                return self._word(token, depth)
        if token not in _CLOSING:
            raise NotALiteral
        record, items = self._items(Record(""), _CLOSING[token], depth)
        if token == "{":
            return dict(record)
        return items if not record else dict(record)

    def _word(self, word: str, depth: int) -> Any:
        mark = self.peek()
        if mark in ("(", "{") and word not in _CONSTANTS:
            self.next()
            record, items = self._items(Record(word), _CLOSING[mark], depth)
            if record or not items:
                return record
            return _wrapped(items[0]) if len(items) == 1 else items
        return _CONSTANTS.get(word, word)

    def _items(self, record: Record, closing: str, depth: int) -> tuple[Record, list[Any]]:
        """Pairs and plain items up to `closing`; commas between them may be missing, as Go prints them."""
        items: list[Any] = []
        while True:
            mark = self.peek()
            if mark in (",", "|"):
                self.next()
                continue
            if mark == closing:
                self.next()
                return record, items
            value = self.value(depth + 1)
            if self.peek() in (":", "="):
                self.next()
                record[str(value)] = self.value(depth + 1)
            else:
                items.append(value)


def _unquoted(token: str) -> str:
    quote = token[-1]
    body = token[token.index(quote) + 1 : -1]
    return body.replace("\\n", "\n").replace("\\" + quote, quote).replace("\\\\", "\\") if "\\" in body else body


def _number(token: str) -> int | float | None:
    if len(token) > 40:
        return None
    plain = token.replace("_", "")
    try:
        return int(plain)
    except ValueError:
        return float(plain)


def _wrapped(value: Any) -> Any:
    """What `Decimal('0.1')` or `Some(5)` holds."""
    if isinstance(value, str):
        try:
            return float(value) if len(value) < 40 else value
        except ValueError:
            return value
    return value
