"""Pattern files: people's own patterns as TOML, and the built-in ones in the same form."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from agentmon.collect.parsers.patterns import GROUPS, Kind, Pattern, field_of
from agentmon.errors import AgentmonError
from agentmon.events import OPERATIONS, Scope

_TEXTS = ("name", "kind", "regex", "operation", "scope", "of", "tool", "seen_in", "opens", "within")
_LISTS: Mapping[str, frozenset[str] | None] = {
    "needles": None,
    "input_includes": frozenset({"cache_read", "cache_write"}),
    "output_includes": frozenset({"reasoning"}),
}
_KEYS = (*_TEXTS, *_LISTS, "estimated")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(Kind), "scope": get_args(Scope), "operation": OPERATIONS,
}  # fmt: skip


def load(path: str | Path) -> Sequence[Pattern]:
    """The patterns of a TOML file. Raises AgentmonError with the place of what is wrong."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AgentmonError(f"{path}: not UTF-8") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Sequence[Pattern]:
    """As `load`, of the text of a file called `name`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+)", str(error))
        raise AgentmonError(f"{name}:{place[1] if place else len(text.splitlines())}: {error}") from None
    entries = document.pop("pattern", [])
    if document:
        key = next(iter(document))
        raise AgentmonError(f"{name}:{_line_of(text, key)}: unknown key {key!r} (entries are [[pattern]])")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AgentmonError(f"{name}:{_line_of(text, 'pattern')}: `pattern` must be written as [[pattern]] entries")
    patterns = [_Entry(text, name, number, entry).pattern() for number, entry in enumerate(entries)]
    known: set[str] = set()
    for number, pattern in enumerate(patterns):
        if pattern.name in known:
            raise _Entry(text, name, number, entries[number]).wrong("name", f"there are two patterns {pattern.name!r}")
        known.add(pattern.name)
    return patterns


class _Entry:
    """One [[pattern]] of a file."""

    def __init__(self, text: str, file: str, number: int, entry: Mapping[str, Any]) -> None:
        self._text, self._file, self._number, self._entry = text, file, number, entry

    def pattern(self) -> Pattern:
        entry = self._entry
        for key, value in entry.items():
            self._check(key, value)
        for key in ("name", "kind", "regex"):
            if not entry.get(key):
                raise self.wrong(None, f"{key} is missing")
        if entry["kind"] == "git" and "operation" not in entry:
            raise self.wrong(None, f"operation is missing (one of {', '.join(OPERATIONS)})")
        try:
            compiled = re.compile(entry["regex"])
        except (re.error, OverflowError, RecursionError) as error:
            raise self.wrong("regex", f"bad regex: {error}") from None
        allowed = GROUPS[entry["kind"]]
        for group in compiled.groupindex:
            if (field := field_of(group)) is not None and field not in allowed:
                raise self.wrong(
                    "regex", f"unknown group {group!r} (groups of {entry['kind']}: {', '.join(sorted(allowed))})"
                )
        if entry["kind"] == "tokens" and not compiled.groupindex and not entry.get("opens") and not entry.get("within"):
            raise self.wrong("regex", f"no named group (groups of tokens: {', '.join(sorted(allowed))})")
        lists: dict[str, Any] = {
            k: tuple(entry[k]) if k == "needles" else frozenset(entry[k]) for k in _LISTS if k in entry
        }
        return Pattern(**{k: v for k, v in entry.items() if k not in _LISTS}, **lists)

    def _check(self, key: str, value: Any) -> None:
        if key not in _KEYS:
            raise self.wrong(key, f"unknown key {key!r} (keys: {', '.join(_KEYS)})")
        if key in _LISTS:
            among = _LISTS[key]
            if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
                raise self.wrong(key, f"{key} must be a list of texts")
            if among is not None and not among.issuperset(value):
                raise self.wrong(key, f"{key}: only {', '.join(sorted(among))}")
        elif key == "estimated":
            if not isinstance(value, bool):
                raise self.wrong(key, "estimated must be true or false")
        elif not isinstance(value, str):
            raise self.wrong(key, f"{key} must be a text")
        elif key in _CHOICES and value not in _CHOICES[key]:
            raise self.wrong(key, f"{key} must be one of {', '.join(_CHOICES[key])}")

    def wrong(self, key: str | None, message: str) -> AgentmonError:
        return AgentmonError(f"{self._file}:{_line_of(self._text, key, self._number)}: {message}")


def _line_of(text: str, key: str | None, number: int | None = None) -> int:
    """The line of a key, in the entry of this number or anywhere; the entry's own if the key is not found."""
    header, seen = 1, -1
    for at, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if re.match(r"\[\[\s*pattern\s*\]\]", bare):
            seen += 1
            if seen == number:
                header = at
        elif (
            (number is None or seen == number)
            and key is not None
            and re.match(rf"\[?\s*[\"']?{re.escape(key)}\b", bare)
        ):
            return at
    return header


def toml(patterns: Iterable[Pattern]) -> str:
    """The patterns in the form of such a file."""
    return "\n".join(_entry(pattern) for pattern in patterns)


def _entry(pattern: Pattern) -> str:
    plain = Pattern(pattern.name, pattern.kind, pattern.regex)
    lines = ["[[pattern]]"]
    for key in ("name", "kind", "tool", "seen_in", "scope", "of", "operation", "opens", "within", "regex"):
        value = getattr(pattern, key)
        if value is not None and (key in ("name", "kind", "regex", "scope") or value != getattr(plain, key)):
            lines.append(f"{key} = {_quoted(value)}")
    if pattern.needles:
        lines.append(f"needles = [{', '.join(map(_quoted, pattern.needles))}]")
    for key in ("input_includes", "output_includes"):
        if getattr(pattern, key) != getattr(plain, key):
            lines.append(f"{key} = [{', '.join(map(_quoted, sorted(getattr(pattern, key))))}]")
    if pattern.estimated:
        lines.append("estimated = true")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    if "'''" not in text and not text.startswith("\n") and not text.endswith("'"):
        return f"'''{text}'''"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
