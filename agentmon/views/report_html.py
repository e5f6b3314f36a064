"""The report as one page: no network, nothing to build. All foreign text is escaped, and the page's own policy lets
only its one script run, known by its hash."""

import base64
import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from html import escape

from agentmon import __version__, ndjson
from agentmon.views import page, rows
from agentmon.views.charts import Chart, Line, Mark, figure, gathered
from agentmon.views.figures import count, mebibytes, money, offset, percent
from agentmon.views.report import Report
from agentmon.views.text import printable, visible

_SIGNS = {"commit": "●", "merge": "◆", "push": "▲"}
_OTHER_SIGN = "○"
_LEGEND = (*((sign, name) for name, sign in _SIGNS.items()), (_OTHER_SIGN, "other"))
_MEMORY_TOPS = tuple(2.0**n * part for n in range(40) for part in (1, 1.5))  # MiB


def html(report: Report) -> str:
    """The whole page."""
    script = page.script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = f"{report.state.agent_id or 'no events'} · {report.state.run_id or ''}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{_text(title)}</title>
<style>
{page.style()}</style>
</head>
<body>
{"".join(_body(report))}<footer>agentmon {escape(__version__)}. Times count from the start of the run.</footer>
<script type="application/json" id="points">{_points(report)}</script>
<script>{script}</script>
</body>
</html>
"""


def _body(report: Report) -> Iterator[str]:
    state = report.state
    look = {"stopped": "good", "running": "good"}.get(report.status, "bad")
    badge = f'<span class="badge {look}">{report.status}</span>'
    yield f"<header>\n<h1>{_text(state.agent_id or 'No events')} {badge}</h1>\n"
    if state.run_id is not None:
        facts = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in rows.about(report))
        yield f'<dl class="about">{facts}</dl>\n'
        tiles = (f"<span>{name}</span><b>{_text(value)}</b>" for name, value in report.headline())
        yield '<div class="tiles">' + "".join(f'<div class="tile">{tile}</div>' for tile in tiles) + "</div>\n"
    yield "</header>\n"
    charts = [*_charts(report)]
    if charts:
        marks = gathered(_marks(report))
        times = [*report.curves.times()]
        span = report.curves.span
        yield '<h2>Over time</h2>\n<div class="charts">\n'
        for chart in charts:
            yield figure(chart, times, marks, lambda at: offset(at * span, span))
        yield "</div>\n"
        if marks:
            signs = " &ensp; ".join(f"{sign} {name}" for sign, name in _LEGEND)
            yield f'<p class="marks">git: {signs}</p>\n'
    yield from _tables(report)


def _tables(report: Report) -> Iterator[str]:
    if usage := [*rows.usage(report)]:
        yield "<h2>Tokens and cost</h2>\n" + _table(usage, rows.USAGE_HEAD, rows.USAGE_RIGHT)
    if told := [*rows.sources(report)]:
        yield "<h2>Who told these figures</h2>\n" + _table(told, rows.SOURCE_HEAD, rows.USAGE_RIGHT)
    acts = [*rows.git(report)]
    if words := rows.git_words(report):
        yield f"<h2>Git<small>{_text(words)}</small></h2>\n"
    if acts:
        yield _table(acts, rows.GIT_HEAD, {"files", "lines"}, "git-")
    levels = report.state.log_levels
    if report.errors:
        counts = f"<small>{levels.get('error', 0):,} errors, {levels.get('warning', 0):,} warnings</small>"
        yield f"<h2>Last errors{counts}</h2>\n" + _table(
            rows.errors(report), rows.LOG_HEAD, blocks={"message"}
        )  # fmt: skip
    if alerts := [*rows.alerts(report)]:
        yield "<h2>Alerts</h2>\n" + _table(alerts, rows.ALERT_HEAD, {"value", "limit"})
    if missing := [*report.missing()]:
        yield "<h2>Missing</h2>\n" + _table(missing, rows.MISSING_HEAD)


def _table(
    made: Iterable[Sequence[str]], head: Sequence[str], right: Container[str] = (), anchor: str = "",
    blocks: Container[str] = (),
) -> str:  # fmt: skip
    """right: columns of figures; blocks: columns of text in several lines; anchor: what the rows' ids begin with."""
    names = "".join(f'<th scope="col"{_number(name, right)}>{escape(name)}</th>' for name in head)
    lines = []
    for n, row in enumerate(made):
        cells = "".join(
            f'<td data-name="{name}"{_number(name, right)}>{_block(text) if name in blocks else _text(text)}</td>'
            for name, text in zip(head, row, strict=True)
        )
        lines.append(f'<tr id="{anchor}{n}">{cells}</tr>\n' if anchor else f"<tr>{cells}</tr>\n")
    return f'<div class="table"><table><thead><tr>{names}</tr></thead><tbody>\n{"".join(lines)}</tbody></table></div>\n'


def _charts(report: Report) -> Iterator[Chart]:
    curves = report.curves
    usages = curves.usages()
    sums = report.state.usage.totals()
    if curves.cpu.count:
        mean, peak = [p.cpu.mean for p in curves.points], [p.cpu.peak for p in curves.points]
        lines = [Line("cpu", peak, lined=False), Line("cpu", mean, filled=False)]
        yield Chart("cpu", "CPU", f"{escape(rows.cpu(report))} (line: mean, shade: peak)", lines, percent)
    if curves.memory.count:
        line = Line("memory", [p.memory.peak for p in curves.points])
        yield Chart("memory", "Memory", escape(rows.memory(report)), [line], mebibytes, _MEMORY_TOPS)
    given = [u.input_tokens if u else None for u in usages]
    made = [u.output_tokens if u else None for u in usages]
    if any(given) or any(made):
        both = [None if g is None and m is None else (g or 0) + (m or 0) for g, m in zip(given, made, strict=True)]
        words = (
            f'<span class="key input">{sums.input_tokens or 0:,} input</span>'
            f'<span class="key output">{sums.output_tokens or 0:,} output</span>'
        )
        lines = [Line("output", both, base=given, steps=True), Line("input", given, steps=True)]
        yield Chart("tokens", "Tokens", words, lines, count)
    cost = [u.cost_usd if u else None for u in usages]
    if any(cost):
        yield Chart("cost", "Cost", f"{money(sums.cost_usd)} in all", [Line("cost", cost, steps=True)], _dollars)


def _marks(report: Report) -> Iterator[Mark]:
    for n, (moment, row) in enumerate(zip(report.git, rows.git(report), strict=True)):
        title = " ".join(printable(part, 80) for part in row[:4] if part)
        yield Mark(report.curves.at(moment.time), _SIGNS.get(moment.what.operation, _OTHER_SIGN), title, f"git-{n}")


def _points(report: Report) -> str:
    """Figures alone, no foreign text."""
    curves = report.curves
    usages = curves.usages()
    return ndjson.dumps(
        {
            "span": round(curves.span, 3), "times": [round(at, 5) for at in curves.times()],
            "cpu": _rounded([p.cpu.mean for p in curves.points]),
            "cpu_peak": _rounded([p.cpu.peak for p in curves.points]),
            "memory": _rounded([p.memory.peak for p in curves.points]),
            "input": [u.input_tokens if u else None for u in usages],
            "output": [u.output_tokens if u else None for u in usages],
            "cost": [u.cost_usd if u else None for u in usages],
        }
    ).decode().replace("<", "\\u003c")  # fmt: skip


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 1) for value in values]


def _dollars(value: float | None) -> str:
    return f"${value or 0:.3g}"


def _number(name: str, right: Container[str]) -> str:
    return ' class="number"' if name in right else ""


def _text(text: str) -> str:
    return escape(printable(text))


def _block(text: str) -> str:
    """Several lines as they are."""
    lines = (escape(visible(line)) for line in text.splitlines())
    return "<pre>" + "\n".join(lines) + "</pre>"
