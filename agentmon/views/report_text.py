"""The report in the terminal: small plots and tables. In a pipe it is the same text without colours."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentmon.views import rows
from agentmon.views.figures import count, counted, duration, mebibytes, money, offset, percent
from agentmon.views.plot import Plot, block_lines
from agentmon.views.report import Report
from agentmon.views.text import printable

GIT_SHOWN = 15
_WIDE = 140  # columns from which plots stand side by side
_ROWS = 4
_STATUS = {
    "stopped": "green", "error": "bold red", "running": "bold green", "lost": "bold red", "empty": "bold red",
}  # fmt: skip
_GAP, _FIXED, _FLEXIBLE = 2, 28, 8  # columns between cells, at most of a fixed cell, at least of a flexible one
_LABEL = 9  # columns left of a plot
_MARKS = {"commit": "●", "merge": "◆", "push": "▲", "": "○"}
_ASCII_MARKS = {"commit": "c", "merge": "m", "push": "p", "": "o"}


def show(report: Report, console: Console) -> None:
    """Print all of it."""
    if report.state.run_id is None:
        console.print(Text("no events", "bold"))
        for where, what in report.missing():
            console.print(Text(f"{where}: {printable(what)}"))
        return
    with console.capture() as text:
        for part in parts(report, console.width, _is_unicode(console)):
            console.print(part)
    for line in text.get().splitlines():
        console.file.write(f"{line if console.is_terminal else line.rstrip()}\n")


def parts(report: Report, width: int, unicode: bool) -> Iterator[RenderableType]:
    """The sections, each begins with its heading; what is not known is left out."""
    yield _header(report)
    yield from _plots(report, width, unicode)
    usage = [*rows.usage(report)]
    if usage:
        yield _heading("Tokens and cost")
        yield _table(usage, rows.USAGE_HEAD, rows.USAGE_RIGHT, {"agent", "model"}, width)
    told = [*rows.sources(report)]
    if told:
        yield _heading("Who told these figures")
        yield _table(told, rows.SOURCE_HEAD, rows.USAGE_RIGHT, {"off the exact figures"}, width)
    if report.git or report.state.git_operations:
        yield _heading("Git", rows.git_words(report))
    if report.git:
        acts = [*rows.git(report)]
        if len(acts) > GIT_SHOWN:
            yield Text(f"  … {len(acts) - GIT_SHOWN:,} more before", "dim")
        yield _table(acts[-GIT_SHOWN:], rows.GIT_HEAD, {"files", "lines"}, {"branch", "message"}, width)
    levels = report.state.log_levels
    if levels.get("error") or levels.get("warning"):
        yield _heading("Log", counted({name: levels[name] for name in ("error", "warning", "info") if name in levels}))
        for at, agent, message in rows.errors(report):
            line = Text(f"{at:>8}  ", "dim").append(f"{printable(agent)}  ", "not dim")
            line.append(printable(rows.essence(message)), "not dim red").truncate(width, overflow="ellipsis")
            yield line
    if report.alerts:
        yield _heading("Alerts")
        yield _table([*rows.alerts(report)], rows.ALERT_HEAD, {"value", "limit"}, {"action"}, width)
    missing = [*report.missing()]
    if missing:
        yield _heading("Missing")
        for where, what in missing:
            yield Text(f"  {printable(where)}: ").append(printable(what), "red")


def _header(report: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, value in rows.about(report):
        text = Text(printable(value, 400))
        if name == "ended":
            text.stylize(_STATUS[report.status])
        elif name == "run":
            text.stylize("bold")
        grid.add_row(name, text)
    lasted = duration(report.duration_s)
    used = f", {duration(report.cpu_time_s)} of CPU" if report.cpu_time_s is not None else ""
    grid.add_row("so far" if report.status == "running" else "took", lasted + used)
    return grid


def _plots(report: Report, width: int, unicode: bool) -> Iterator[RenderableType]:
    plots = [*_each_plot(report)]
    if not plots:
        return
    if width < _WIDE or len(plots) == 1:
        for plot, style in plots:
            yield _plot(report, plot, style, width, unicode)
        yield _times(report, width, unicode)
        return
    grid = Table.grid(padding=(0, 4))
    half = (width - 4) // 2
    drawn = [_plot(report, plot, style, half, unicode) for plot, style in plots]
    for pair in itertools.zip_longest(drawn[::2], drawn[1::2]):
        grid.add_row(*pair)
    grid.add_row(_times(report, half, unicode), _times(report, half, unicode))
    yield grid


def _each_plot(report: Report) -> Iterator[tuple[Plot, str]]:
    curves = report.curves
    usages = curves.usages()
    if curves.cpu.count:
        yield Plot("CPU", rows.cpu(report), [p.cpu.peak for p in curves.points], percent), "cyan"
    if curves.memory.count:
        yield Plot("Memory", rows.memory(report), [p.memory.peak for p in curves.points], mebibytes), "magenta"
    spent = [_known_sum(u.input_tokens, u.output_tokens) if u else None for u in usages]
    sums = report.state.usage.totals()
    if any(spent):
        words = ", ".join(
            f"{value:,} {name}"
            for name, value in (("input", sums.input_tokens), ("output", sums.output_tokens)) if value is not None
        )  # fmt: skip
        yield Plot("Tokens", f"{words}, summed up over time", spent, count), "green"
    costs = [u.cost_usd if u else None for u in usages]
    if any(costs):
        yield Plot("Cost", f"{money(sums.cost_usd)}, summed up over time", costs, money), "yellow"


def _plot(report: Report, plot: Plot, style: str, width: int, unicode: bool) -> RenderableType:
    top = plot.format(plot.top)
    columns = max(10, width - _LABEL - 2)
    lines: list[RenderableType] = [_heading(plot.name, plot.words)]
    drawn = block_lines(plot.columns([*report.curves.times()], columns), plot.top, _ROWS, unicode)
    for number, line in enumerate(drawn):
        name = top if number == 0 else plot.format(0) if number == _ROWS - 1 else ""
        lines.append(Text(f"{name:>{_LABEL}} ", "dim", no_wrap=True).append(line, style))
    lines.append(_axis(report, columns, unicode))
    return Group(*lines)


def _axis(report: Report, columns: int, unicode: bool) -> Text:
    """The time axis, with a mark where git was active."""
    marks = _MARKS if unicode else _ASCII_MARKS
    axis = ["─" if unicode else "-"] * columns
    for moment in report.git:
        at = min(columns - 1, int(report.curves.at(moment.time) * columns))
        mark = marks.get(moment.what.operation, marks[""])
        if mark != marks[""] or axis[at] not in marks.values():
            axis[at] = mark
    return Text(" " * (_LABEL + 1) + "".join(axis), "dim", no_wrap=True, overflow="crop")


def _times(report: Report, width: int, unicode: bool) -> Text:
    """What is below the last axis: from when to when, and what the marks are."""
    marks = _MARKS if unicode else _ASCII_MARKS
    key = "  ".join(f"{mark} {name or 'other'}" for name, mark in marks.items()) if report.git else ""
    span = offset(report.curves.span, report.curves.span)
    return Text(
        " " * (_LABEL + 1) + "0" + f"{key:^{max(0, width - _LABEL - 3 - len(span))}}" + span, "dim", no_wrap=True
    )


def _heading(name: str, words: str = "") -> Text:
    text = Text(f"\n{name}", "bold")
    return text.append(f"  {words}", "not bold") if words else text


def _table(
    made: Sequence[Sequence[str]], head: Sequence[str], right: Iterable[str], flexible: Iterable[str], width: int
) -> Table:  # fmt: skip
    """Columns that are not flexible keep their width while there is room; those without a cell are left out."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, _GAP, 0, 0))
    used = [number for number, name in enumerate(head) if name in flexible or any(row[number] for row in made)]
    widest = {n: min(_FIXED, max(len(head[n]), *(len(row[n]) for row in made))) for n in used}
    least = {n: min(_FLEXIBLE, widest[n]) if head[n] in flexible else widest[n] for n in used}
    roomy = sum(least.values()) + _GAP * len(used) <= width
    for n in used:
        table.add_column(
            head[n], justify="right" if head[n] in right else "left", no_wrap=roomy and head[n] not in flexible,
            min_width=least[n] if roomy else None,
        )  # fmt: skip
    for row in made:
        table.add_row(*(Text(printable(row[n], 200), no_wrap=True, overflow="ellipsis") for n in used))
    return table


def _known_sum(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
