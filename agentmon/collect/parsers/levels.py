"""Log levels: which lines are warnings or errors, and which lines make one traceback.

A level is read where a logger puts it, not wherever the word stands: `0 errors` and `no warnings` are information,
and what goes to stderr is no error for that alone. Formats seen: logging (Python 3.9 to 3.13), loguru 0.7,
structlog 25, pino 9, bunyan, logfmt, npm, git, cargo.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from agentmon.collect.parsers import Line
from agentmon.events import Level

NEEDLES = (
    "ERROR", "CRITICAL", "FATAL", "SEVERE", "WARN", "ERR!", "rror:", "rror]", "rror ", "rror\"", "xception", "arning",
    "arn]", "arn\"", "atal", "panic", "Traceback", "\"level\"", "\"levelname\"", "\"severity\"", "level=", "lvl=",
    " ERR ", " WRN ", "Interrupt", "Group Traceback", "critical", "npm error",
)  # fmt: skip

_WORDS: dict[str, Level] = {
    "critical": "error", "crit": "error", "fatal": "error", "error": "error", "err": "error", "severe": "error",
    "alert": "error", "emergency": "error", "panic": "error", "exception": "error", "warning": "warning",
    "warn": "warning", "wrn": "warning",
    "info": "info", "debug": "info", "trace": "info", "notice": "info", "success": "info", "verbose": "info",
}  # fmt: skip
_UPPER = re.compile(
    r"(?:^|[\s\[|:(<-])(CRITICAL|FATAL|SEVERE|ERROR|ERR|WARNING|WARN|WRN|INFO|DEBUG|TRACE|NOTICE|SUCCESS)(?=$|[\s\]|:)>,-])"
)
_LOWER = re.compile(
    r"""\[(critical|fatal|error|warning|warn|info|debug)\s*\]
      | \b(?:level|lvl)=["']?(?i:(critical|fatal|error|warning|warn|info|debug))\b""",
    re.VERBOSE,
)
_LOWER_FIRST = re.compile(r"[^a-zA-Z]{0,40}(fatal|error|warning|critical)(?:\[[A-Z]\d+\])?:\s|npm (ERR!|error|warn)\s")
_MIXED = re.compile(r"^(?:\(node:\d{1,9}\) |[^a-zA-Z]{0,16})(?:Uncaught )?(Error|Warning|Fatal|Critical):\s")
_WARNED = re.compile(r"^\S.{0,160}?:\d{1,7}: [A-Za-z]{0,40}Warning: ")  # by Python's warnings
_RAISED = re.compile(
    r"^[\s|+]{0,40}(?:[A-Za-z_][\w.]{0,200})?(Error|Exception|KeyboardInterrupt|SystemExit|Warning)(?:$|:\s|:$)"
)
_PANIC = re.compile(r"^(?:panic: |Exception in thread \"|thread '[^']{0,100}' (?:\(\d+\) )?panicked at )")
_PINO: tuple[tuple[int, Level], ...] = ((60, "error"), (50, "error"), (40, "warning"), (10, "info"))
_OPENER = re.compile(r"[ +|]{0,400}(?:Exception Group )?")
_TRACEBACK = "Traceback (most recent call last):"
_TRACEBACK_LINES = 400
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # in UTC a time of the year 9999 may be one that has no name


class Entry(NamedTuple):
    """One log entry to be: text (several lines for a traceback), its level, and its own time if it tells one."""

    text: str
    level: Level
    time: float
    truncated: bool = False


def level_of(text: str) -> Level:
    """The level that a line of a text log gives itself, `info` where it gives none."""
    head = text[:200]
    first, lower = _UPPER.search(head), _LOWER_FIRST.match(head)
    if lower and (first is None or first.start() > 0):
        first = lower
    if "[" in head or "evel=" in head or "lvl=" in head:  # a search costs five times as much as the rest together
        lower = _LOWER.search(head)
        if lower and (first is None or lower.start() < first.start()):
            first = lower
    if first is not None:
        return _WORDS[first[first.lastindex or 0].lower().rstrip("!")]
    if match := _MIXED.match(head) or _RAISED.match(head):
        return "warning" if match[1] == "Warning" else "error"
    if "Warning: " in head and _WARNED.match(head):
        return "warning"
    return "error" if _PANIC.match(head) else "info"


def structured(text: str) -> tuple[Level, float | None] | None:
    """Level and time (Unix seconds) of a JSON log line; None if it is none."""
    if not _is_structured(text):
        return None
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    value = record.get("level", record.get("levelname", record.get("severity")))
    if value is None and isinstance(inner := record.get("record"), dict):  # loguru 0.7, serialized
        record, value = inner, inner.get("level")
    if isinstance(value, dict):
        value = value.get("name")
    if isinstance(value, str) and value.lower() in _WORDS:
        level = _WORDS[value.lower()]
    elif isinstance(value, int) and not isinstance(value, bool) and 10 <= value <= 60:  # pino, bunyan
        level = next(name for least, name in _PINO if value >= least)
    else:
        return None
    return level, _time(next((record[k] for k in ("time", "timestamp", "ts", "@timestamp") if k in record), None))


def _is_structured(text: str) -> bool:
    """Whether it may tell a level; most records do not, and another parser has read them already."""
    return '"level"' in text or '"levelname"' in text or '"severity"' in text


def _time(value: Any) -> float | None:
    if isinstance(value, dict):
        value = value.get("timestamp")
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) and value > 0:
        for unit in (1, 1e3, 1e6, 1e9):
            if 1e8 <= value / unit < 1e10:
                return float(value / unit)
        return None
    if isinstance(value, str) and len(value) < 64:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        return seconds if 0 < seconds < _LAST else None  # many a logger has the year 1 for none
    return None


class Levels:
    """Lines of one stream in, entries out: tracebacks are gathered, everything else passes."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0
        self._time = 0.0

    @property
    def attentive(self) -> bool:
        """Whether a traceback is open: then every line is needed."""
        return bool(self._lines)

    def of(self, line: Line) -> tuple[Level, float | None] | None:
        """Level and own time (Unix seconds) of a line that is an entry of its own as it stands; None for any other,
        which is to be fed."""
        text = line.text
        if self._lines or _TRACEBACK in text:
            return None
        return (text.startswith("{") and structured(text)) or (level_of(text), None)

    def feed(self, line: Line) -> Iterable[Entry]:
        """The entries that this line completes."""
        text = line.text
        if self._lines:
            indent = len(text) - len(text.lstrip(" "))
            if (indent > self._indent or not text.strip()) and len(self._lines) < _TRACEBACK_LINES:
                self._lines.append(text)
                return
            ended = bool(_RAISED.match(text) or re.match(r"^\s{0,40}[A-Za-z_][\w.]{0,200}(?::\s|$)", text))
            if ended and indent == self._indent:
                self._lines.append(text)
                yield from self.close()
                return
            yield from self.close()
        at = text.find(_TRACEBACK)
        if at >= 0 and not text.startswith("{"):
            opener = text[:at]
            self._indent = len(opener) - len(opener.lstrip(" ")) if _OPENER.fullmatch(opener) else 0
            self._lines, self._time = [text], line.time
            return
        if text.startswith("{") and (known := structured(text)):
            yield Entry(text, known[0], known[1] or line.time, line.truncated)
        else:
            yield Entry(text, level_of(text), line.time, line.truncated)

    def close(self) -> Iterable[Entry]:
        """The traceback that is open, if any."""
        if self._lines:
            while not self._lines[-1].strip():
                self._lines.pop()
            yield Entry("\n".join(self._lines), "error", self._time)
            self._lines = []
