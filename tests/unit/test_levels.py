"""Levels: read where a logger puts them, and tracebacks as one entry."""

import pytest

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.levels import Entry, Levels, level_of, structured

LINES = {
    "just words": "info",
    "": "info",
    "ERROR:root:it broke": "error",
    "time=2025-01-02T03:04:05Z level=ERROR msg=broke": "error",
    "3:04PM ERR it broke error=EOF": "error",
    "3:04PM WRN it may break": "warning",
    "Uncaught Error: it broke": "error",
    'Exception in thread "main" java.lang.RuntimeException: it broke': "error",
    "/opt/a b/mod.py:12: DeprecationWarning: old": "warning",
    "(node:12) Warning: old": "warning",
    "2025-01-02 03:04:05,678 - crew - ERROR - it broke": "error",
    "2025-01-02 03:04:05.678 | WARNING  | crew:main:3 - careful": "warning",
    "2025-01-02 [error    ] it broke key=1": "error",
    "[WARN] careful": "warning",
    "CRITICAL: no way out": "error",
    "level=error msg=broke": "error",
    'time="x" level=warning msg="y"': "warning",
    "npm ERR! code 1": "error",
    "npm warn deprecated": "warning",
    "fatal: not a git repository": "error",
    "error: pathspec 'x' did not match": "error",
    "error[E0308]: mismatched types": "error",
    "warning: unused variable": "warning",
    "ValueError: bad value": "error",
    "crew.errors.AgentError: bad": "error",
    "UserWarning: careful": "warning",
    "panic: runtime error": "error",
    "INFO: 3 errors were fixed, ERROR count 0": "info",
    "0 errors, 2 warnings": "info",
    "no warnings": "info",
    "the error handler ran": "info",
    "ERRORS ARE FUN": "info",
    "Warning: careful": "warning",
}


@pytest.mark.parametrize("text", LINES)
def test_level_of_a_line(text: str) -> None:
    assert level_of(text) == LINES[text]


RECORDS = {
    '{"level":"error","msg":"x"}': ("error", None),
    '{"level":"WARN","time":"2025-01-02T03:04:05Z"}': ("warning", 1735787045.0),
    '{"level":50,"time":1735787045000}': ("error", 1735787045.0),
    '{"level":30}': ("info", None),
    '{"severity":"INFO","timestamp":1735787045.5}': ("info", 1735787045.5),
    '{"levelname":"CRITICAL"}': ("error", None),
    '{"text":"x","record":{"level":{"name":"ERROR","no":40},"time":{"timestamp":1735787045.5}}}': (
        "error",
        1735787045.5,
    ),
    '{"level":true}': None,
    '{"level":7}': None,
    '{"msg":"x"}': None,
    '{"level":': None,
    "[1]": None,
}


@pytest.mark.parametrize("text", RECORDS)
def test_json_log_lines(text: str) -> None:
    assert structured(text) == RECORDS[text]


def _entries(text: str) -> list[Entry]:
    levels = Levels()
    found = [
        entry
        for number, line in enumerate(text.split("\n"))
        for entry in levels.feed(Line("stderr", line, float(number)))
    ]
    return [*found, *levels.close()]


TRACE = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: bad'


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-14:00"],
)
def test_a_time_that_cannot_be_is_none(time: str) -> None:
    assert structured(f'{{"level": "error", "time": "{time}"}}') == ("error", None)


def test_a_traceback_is_one_entry() -> None:
    entries = _entries(f"before\n{TRACE}\nafter")
    assert [(e.text, e.level, e.time) for e in entries] == [
        ("before", "info", 0.0),
        (TRACE, "error", 1.0),
        ("after", "info", 5.0),
    ]


def test_a_traceback_at_the_end() -> None:
    (entry,) = _entries(TRACE.rpartition("\n")[0])
    assert entry.level == "error"
    assert entry.text.startswith("Traceback")


def test_a_traceback_without_end_is_cut_off() -> None:
    entries = _entries("Traceback (most recent call last):\n" + "\n".join(f"  line {i}" for i in range(2000)))
    assert len(entries) > 1
    assert max(e.text.count("\n") for e in entries) < 500
    assert sum(e.text.count("\n") + 1 for e in entries) == 2001
