"""Detail: one agent at full size."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from agentmon.usage import Sums
from agentmon.views.board import Shown
from agentmon.views.cards import badge, usage_row
from agentmon.views.figures import clock, count, lasted, many, memory, money
from agentmon.views.phrases import alert, fate, git
from agentmon.views.text import BOLD, CYAN, DIM, GREEN, LEVELS, PLAIN, RED, YELLOW, Ink, Segment, clean, spark

_LABEL = 9


def rows(shown: Shown, columns: int, height: int, now: float, ink: Ink, scroll: int) -> list[str]:
    """The rows of the screen; the log takes what the rest leaves, at least a third. scroll: log entries back."""
    about = [*_about(shown, columns, height, now)]
    about = about[: max(1, height - max(3, height // 3))]
    logs = [*_log(shown)]
    room = max(0, height - len(about) - 1)
    last = max(min(room, len(logs)), len(logs) - scroll)
    kept = logs[max(0, last - room) : last]
    title: list[Segment] = [(DIM, f"log, {len(logs)} kept" + (f", {scroll} back" if scroll else ""))]
    return [ink.row(row, columns) for row in [*about, title, *kept]][:height]


def _about(shown: Shown, columns: int, height: int, now: float) -> Iterator[list[Segment]]:
    watch, state = shown.run, shown.run.state
    yield [
        (BOLD, clean(shown.agent.agent_id, 256)), (DIM, f"  {clean(shown.agent.team_id, 256)}  "),
        badge(shown, now), (DIM, f"  {lasted(watch.lasted(now))}  {clean(state.run_id or '', 256)}"),
    ]  # fmt: skip
    if state.start is not None and state.start.argv:
        where = f"  in {clean(state.start.cwd)}" if state.start.cwd else ""
        yield _row("command", [(PLAIN, clean(" ".join(map(str, state.start.argv)))), (DIM, where)])
    if state.end is not None:
        yield _row("ended", [(PLAIN, fate(state.end))])
    yield from _curves(shown, columns)
    yield _row("usage", usage_row(shown, columns - _LABEL - 1, now))
    for number, item in enumerate(state.alerts[-5:]):
        yield _row("" if number else "alerts", [alert(item)])
    for gap in state.gaps[-3:]:
        what = f"{gap.lost_events} events" if gap.lost_events is not None else f"{gap.lost_bytes} bytes"
        yield _row("missing", [(YELLOW, f"{what} ({clean(gap.reason)})")])
    for number, act in enumerate(islice(reversed(shown.agent.git_activities), max(2, height // 5))):
        yield _row("" if number else "git", git(act))
    if not shown.is_whole:
        yield _row("whole run", _sums(watch.totals))
    for number, (name, sums) in enumerate(watch.by_model.items()):
        yield _row("" if number else "models", [(CYAN, clean(name, 128)), (PLAIN, "  "), *_sums(sums)])
    for number, (name, sums) in enumerate(watch.sums.items() if len(state.agents) > 1 else ()):
        yield _row("" if number else "agents", [(CYAN, clean(name, 128)), (PLAIN, "  "), *_sums(sums)])
    if watch.calls_unknown:
        yield _row("", [(YELLOW, many(watch.calls_unknown, "call", "calls") + " of unknown size")])


def _curves(shown: Shown, columns: int) -> Iterator[list[Segment]]:
    tree, samples = shown.run.tree, shown.run.samples
    cells = max(0, columns - _LABEL - 8 - 14)
    peak = shown.run.state.peak_memory_mb
    for label, style, values, top, text, beside in (
        ("cpu", CYAN, samples.cpu, 100.0, _percent(tree.cpu_percent if tree else None),
         f"{tree.cpu_time_s:.1f} s used" if tree and tree.cpu_time_s is not None else ""),
        ("memory", GREEN, samples.memory, 0.0, memory(tree.memory_mb if tree else None), f"{memory(peak)} at most"),
        ("processes", CYAN, samples.processes, 0.0, str(tree.processes) if tree else "-", ""),
        ("threads", CYAN, samples.threads, 0.0, str(tree.threads) if tree and tree.threads is not None else "-", ""),
    ):  # fmt: skip
        yield _row(label, [(PLAIN, f"{text:>6} "), (style, spark(values, cells, top)), (DIM, f" {beside}")])


def _log(shown: Shown) -> Iterator[list[Segment]]:
    for entry in shown.agent.activity_logs:
        at = _local(entry.timestamp)
        style = LEVELS.get(entry.level, PLAIN)
        first, *others = entry.message.split("\n")
        yield [(DIM, at + " "), (style or DIM, f"{clean(entry.level):7} "), (style, clean(first))]
        for text in others[:20]:
            yield [(PLAIN, " " * 17), (style, clean(text))]


def _sums(sums: Sums) -> list[Segment]:
    row: list[Segment] = [(PLAIN, f"in {count(sums.input_tokens)} out {count(sums.output_tokens)}")]
    if sums.cache_read_tokens is not None:
        row.append((DIM, f" cached {count(sums.cache_read_tokens)}"))
    if sums.reasoning_tokens is not None:
        row.append((DIM, f" reasoning {count(sums.reasoning_tokens)}"))
    return [
        *row,
        (
            RED if sums.cost_usd is None else BOLD,
            "  cost unknown" if sums.cost_usd is None else f"  {money(sums.cost_usd)}",
        ),
    ]


def _row(label: str, segments: list[Segment]) -> list[Segment]:
    return [(DIM, f"{label:<{_LABEL}} "), *segments]


def _local(timestamp: str) -> str:
    """The local time of what is written as ISO 8601."""
    try:
        return clock(datetime.fromisoformat(timestamp).timestamp())
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"
