"""Rows: the tables of a report in words, for every rendering alike. A cell is text that may be foreign: not escaped."""

from collections.abc import Iterator

from agentmon.events import Alert, GitActivity
from agentmon.telemetry import figure
from agentmon.views.figures import UNKNOWN, clock, counted, mebibytes, money, percent, whole
from agentmon.views.report import Moment, Report, SourceRow

USAGE_HEAD = ("agent", "model", "input", "cached", "output", "cost", "cost by", "source")
USAGE_RIGHT = frozenset({"input", "cached", "output", "cost"})
SOURCE_HEAD = ("source", "input", "output", "cost", "in the sums", "off the exact figures")
GIT_HEAD = ("at", "operation", "branch", "message", "files", "lines")
ALERT_HEAD = ("at", "rule", "severity", "value", "limit", "action")
LOG_HEAD = ("at", "agent", "message")
MISSING_HEAD = ("where", "what")

Row = tuple[str, ...]


def usage(report: Report) -> Iterator[Row]:
    """Per agent and model, and the sum of all where there are several."""
    rows = report.usage_rows()
    for row in rows:
        sums = row.sums
        estimated = " (estimated)" if sums.estimated else ""
        yield (
            row.agent, row.model or UNKNOWN, whole(sums.input_tokens), whole(sums.cache_read_tokens),
            whole(sums.output_tokens), money(sums.cost_usd), ", ".join(row.costs),
            ", ".join(row.sources) + estimated,
        )  # fmt: skip
    if len(rows) > 1:
        sums = report.state.usage.totals()
        yield (
            "all", "", whole(sums.input_tokens), whole(sums.cache_read_tokens), whole(sums.output_tokens),
            money(sums.cost_usd), "", "",
        )  # fmt: skip


def sources(report: Report) -> Iterator[Row]:
    """Per source; nothing where one source alone told everything."""
    rows = report.source_rows()
    if len(rows) < 2:
        return
    for row in rows:
        sums = row.sums
        yield (
            row.source, whole(sums.input_tokens), whole(sums.output_tokens), money(sums.cost_usd),
            "yes" if row.counted else "no", _off(row),
        )  # fmt: skip


def git(report: Report) -> Iterator[Row]:
    """The timeline, oldest first."""
    for moment in report.git:
        yield report.since_start(moment.time), *_act(moment.what)


def git_words(report: Report) -> str:
    """How many acts of which kind; which of them are in the timeline, if not all."""
    seen = sum(report.state.git_operations.values())
    rest = f"; the last {len(report.git):,} in detail" if seen > len(report.git) > 0 else ""
    return counted(report.state.git_operations) + rest


def errors(report: Report) -> Iterator[Row]:
    """The last error entries."""
    for moment in report.errors:
        yield report.since_start(moment.time), moment.agent, moment.what.message


def essence(message: str) -> str:
    """The line of a message that says most: of a Python traceback the last."""
    lines = [line for line in message.splitlines() if line.strip()]
    return (lines[-1] if lines[0].startswith("Traceback (") else lines[0]) if lines else ""


def alerts(report: Report) -> Iterator[Row]:
    """Limits that were reached."""
    for moment in report.alerts:
        yield report.since_start(moment.time), *_alert(moment)


def about(report: Report) -> Iterator[tuple[str, str]]:
    """What the run was: names and values."""
    state = report.state
    start = state.start
    yield "run", state.run_id or UNKNOWN
    yield "agent", f"{state.agent_id} in team {state.team_id}"
    if start is not None and start.argv:
        yield "command", " ".join(start.argv)
    if start is not None and start.cwd:
        yield "in", f"{start.cwd} on {start.host or UNKNOWN}"
    if start is not None and start.labels:
        yield "labels", ", ".join(f"{key}={value}" for key, value in start.labels.items())
    if start is not None and start.parent_run_id:
        yield "inside of", start.parent_run_id
    if state.started_at is not None:
        yield "started", clock(state.started_at, "%Y-%m-%d %H:%M:%S")
    yield "ended", report.fate()


def cpu(report: Report) -> str:
    """CPU in words."""
    peak = report.curves.cpu.peak
    return f"mean {percent(report.cpu_mean)}, peak {percent(peak)} of one core"


def memory(report: Report) -> str:
    """Memory in words."""
    peak = f"peak {mebibytes(report.state.peak_memory_mb)}"
    return peak if report.recalled else f"mean {mebibytes(report.curves.memory.mean)}, {peak}"


def _act(act: GitActivity) -> Row:
    sha = f"{act.sha[:8]} " if act.sha and act.operation == "commit" else ""
    lines = ""
    if act.insertions is not None or act.deletions is not None:
        lines = f"+{act.insertions or 0:,} -{act.deletions or 0:,}"
    files = f"{act.files_changed:,}" if act.files_changed is not None else ""
    return act.operation.replace("_", " "), act.branch or "", sha + (act.message or ""), files, lines


def _alert(moment: Moment[Alert]) -> Row:
    alert = moment.what
    value = UNKNOWN if alert.value is None else figure(alert.value)
    limit = UNKNOWN if alert.limit is None else figure(alert.limit)
    return alert.rule, alert.severity, value, limit, alert.action


def _off(row: SourceRow) -> str:
    names = {"input_tokens": "input", "output_tokens": "output", "cost_usd": "cost"}
    return ", ".join(
        f"{names[name]} {share:+.1%}" if share else f"{names[name]} equal" for name, share in row.off.items()
    )
