"""The report as Markdown, for a merge request or a wiki. Foreign text stands in code spans: there nothing is a link, a
mention, a tag or a heading."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence

from agentmon.views import rows
from agentmon.views.report import Report
from agentmon.views.text import printable

_MESSAGE = 300
_OURS = rows.USAGE_RIGHT | {"at", "files", "lines", "value", "limit", "in the sums", "off the exact figures"}
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def markdown(report: Report) -> str:
    """The whole text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    state = report.state
    yield f"# Run {code(state.run_id)}" if state.run_id else "# No events"
    yield ""
    if state.run_id is not None:
        for name, value in rows.about(report):
            yield f"- {name}: {code(value) if name in ('run', 'agent', 'command', 'in', 'labels', 'ended') else value}"
        yield ""
        names, values = zip(*report.headline(), strict=True)
        yield from _table([values], names, ours=names)
    if report.curves.cpu.count:
        yield f"CPU: {rows.cpu(report)}. Memory: {rows.memory(report)}."
        yield ""
    for title, made, head, right in (
        ("Tokens and cost", rows.usage(report), rows.USAGE_HEAD, rows.USAGE_RIGHT),
        ("Who told these figures", rows.sources(report), rows.SOURCE_HEAD, rows.USAGE_RIGHT),
        ("Git", rows.git(report), rows.GIT_HEAD, {"files", "lines"}),
        ("Last errors", _errors(report), rows.LOG_HEAD, ()),
        ("Alerts", rows.alerts(report), rows.ALERT_HEAD, {"value", "limit"}),
        ("Missing", report.missing(), rows.MISSING_HEAD, ()),
    ):
        cells = [*made]
        words = rows.git_words(report) if title == "Git" else ""
        if cells or words:
            yield f"## {title}"
            yield ""
            if words:
                yield code(words) + "\n"
        if cells:
            yield from _table(cells, head, right)


def _errors(report: Report) -> Iterator[rows.Row]:
    for at, agent, message in rows.errors(report):
        yield at, agent, rows.essence(message)


def _table(
    made: Iterable[Sequence[str]], head: Sequence[str], right: Container[str] = (), ours: Container[str] = _OURS
) -> Iterator[str]:  # fmt: skip
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('--:' if name in right else '---' for name in head)} |"
    for row in made:
        cells = (cell if name in ours else code(cell) for name, cell in zip(head, row, strict=True))
        yield f"| {' | '.join(cells)} |"
    yield ""


def code(text: str) -> str:
    """Foreign text as code. Where a backtick or a bar would end a span or a table's cell, every sign of punctuation is
    a character reference."""
    text = printable(text, _MESSAGE)
    if not text:
        return ""
    if "`" in text or "|" in text:
        return f"<code>{escaped(text)}</code>"
    return f"`{text}`"


def escaped(text: str) -> str:
    """Text without any sign that could mean something in Markdown."""
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", text)
