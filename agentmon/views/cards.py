"""Cards: one agent in a box of a given size."""

from collections.abc import Iterator
from itertools import islice

from agentmon.views.board import Shown, Status
from agentmon.views.figures import count, lasted, memory, money
from agentmon.views.phrases import alert, git
from agentmon.views.text import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    LEVELS,
    PLAIN,
    RED,
    YELLOW,
    Ink,
    Segment,
    clean,
    cut,
    spark,
    width,
)

_BADGES: dict[Status, Segment] = {
    "running": (GREEN, "● running"),
    "stopped": (DIM, "○ stopped"),
    "error": (f"{BOLD};{RED}", "✗ error"),
    "stalled": (f"{BOLD};{YELLOW}", "◐ stalled"),
    "lost": (f"{BOLD};{RED}", "? lost"),
}
LEAST_HEIGHT = 4
LEAST_WIDTH = 36


def badge(shown: Shown, now: float) -> Segment:
    """The status, of an error with its exit code or signal."""
    status = shown.run.status(now)
    style, text = _BADGES[status]
    end = shown.run.state.end
    if status == "error" and end is not None and (end.signal or end.exit_code is not None):
        text += f" {clean(end.signal) if end.signal else end.exit_code}"
    return style, text


def card(shown: Shown, cells: int, rows: int, now: float, ink: Ink, selected: bool = False) -> list[str]:
    """The rows of a card, each of exactly `cells` cells."""
    frame = f"{BOLD};{CYAN}" if selected else DIM
    corners = "┏━┓┃┗┛" if selected else "╭─╮│╰╯"
    inner = cells - 4
    style, fate = badge(shown, now)
    name = cut(clean(_name(shown), 256), max(4, inner - width(fate) - 4))
    team = clean(shown.agent.team_id, 256)
    team = cut(f" {team}", inner - width(fate) - width(name) - 3)
    fill = max(0, inner - width(name) - width(team) - width(fate) - 3)
    head = (
        ink.paint(frame, corners[0] + corners[1]) + " " + ink.paint(BOLD, name) + ink.paint(DIM, team) + " "
        + ink.paint(frame, corners[1] * fill) + " " + ink.paint(style, fate) + " " + ink.paint(frame, corners[2])
    )  # fmt: skip
    side = ink.paint(frame, corners[3])
    body = [f"{side} {ink.row(row, inner)} {side}" for row in _body(shown, inner, rows - 2, now)]
    return [head, *body, ink.paint(frame, corners[4] + corners[1] * (cells - 2) + corners[5])]


def line(shown: Shown, cells: int, now: float, ink: Ink, selected: bool = False) -> str:
    """A card in one row, where there is no room for more."""
    style, fate = badge(shown, now)
    tree = shown.run.tree
    cpu = f" {tree.cpu_percent:.0f}%" if tree and tree.cpu_percent is not None else ""
    money_spent = f" {money(shown.sums.cost_usd)}" if shown.sums.cost_usd is not None else ""
    mark = "> " if selected else ""
    return ink.row(
        [(CYAN, mark), (style, fate[0] + " "), (BOLD, clean(_name(shown), 256)), (PLAIN, cpu + money_spent)], cells
    )


def usage_row(shown: Shown, cells: int, now: float) -> list[Segment]:
    """Tokens and cost, of the whole run on its own card; where that is too much, the cached tokens go first."""
    sums = shown.sums
    about = "~" if sums.estimated else ""
    row = [
        (DIM, "all in " if shown.is_whole and len(shown.run.state.agents) > 1 else "in "),
        (PLAIN, about + count(sums.input_tokens)),
        (DIM, " out "),
        (PLAIN, about + count(sums.output_tokens)),
    ]
    cached = [(DIM, " cached "), (PLAIN, count(sums.cache_read_tokens))]
    cost = [(DIM, " cost "), (PLAIN, "-")] if sums.cost_usd is None else [(BOLD, "  " + about + money(sums.cost_usd))]
    rate = shown.run.cost_per_hour(now)
    if rate is not None and shown.is_whole:
        cost.append((DIM, f" {money(rate)}/h"))
    return row + (cached if _cells(row + cached + cost) <= cells else []) + cost


def _cells(row: list[Segment]) -> int:
    return sum(width(text) for _, text in row)


def last_alert(shown: Shown) -> list[Segment] | None:
    """The newest alert of the run."""
    alerts = shown.run.state.alerts
    if not alerts:
        return None
    style, text = alert(alerts[-1])
    more = f" +{len(alerts) - 1}" if len(alerts) > 1 else ""
    return [(f"{BOLD};{style}", "! "), (style, text + more)]


def _name(shown: Shown) -> str:
    if shown.is_main:
        return shown.agent.agent_id
    return f"{shown.agent.agent_id} ({shown.run.state.agent_id})"


def _body(shown: Shown, cells: int, rows: int, now: float) -> Iterator[list[Segment]]:
    """What matters most, as far as there are rows; the rest of them is log."""
    told: list[list[Segment]] = [_process_row(shown, cells), usage_row(shown, cells, now)]
    if (alerted := last_alert(shown)) is not None:
        told.append(alerted)
    room = rows - len(told) - 1  # one row is for what was said last
    if room >= 1:
        told.append(_git_row(shown, now))
    if room >= 2:
        told.insert(1, _counts_row(shown, cells, now))
    if room >= 3:
        told.insert(3, _model_row(shown))
    yield from told[: max(0, rows)]
    left = rows - len(told)
    if left > 0:
        logs = [*islice(reversed(shown.agent.activity_logs), left)][::-1]
        for entry in logs:
            style = LEVELS.get(entry.level) or DIM
            yield [(style, clean(entry.message, 4 * cells + 64))]
        for _ in range(left - len(logs)):
            yield []


def _process_row(shown: Shown, cells: int) -> list[Segment]:
    tree, samples = shown.run.tree, shown.run.samples
    peak = shown.run.state.peak_memory_mb
    cpu = f"{tree.cpu_percent:.0f}%" if tree and tree.cpu_percent is not None else "-"
    used = memory(tree.memory_mb if tree else None) if tree or peak is None else f"≤{memory(peak)}"
    bars = max(0, (cells - 22) // 2)
    return [
        (DIM, "cpu "), (PLAIN, f"{cpu:>5} "), (CYAN, spark(samples.cpu, bars, 100.0)),
        (DIM, " mem "), (PLAIN, f"{used:>5} "), (GREEN, spark(samples.memory, bars)),
    ]  # fmt: skip


def _counts_row(shown: Shown, cells: int, now: float) -> list[Segment]:
    tree, samples = shown.run.tree, shown.run.samples
    bars = max(0, min(12, (cells - 30) // 2))
    processes = str(tree.processes) if tree else "-"
    threads = str(tree.threads) if tree and tree.threads is not None else "-"
    return [
        (DIM, "procs "), (PLAIN, f"{processes:>3} "), (CYAN, spark(samples.processes, bars)),
        (DIM, " threads "), (PLAIN, f"{threads:>3} "), (CYAN, spark(samples.threads, bars)),
        (DIM, f" {lasted(shown.run.lasted(now))}"),
    ]  # fmt: skip


def _model_row(shown: Shown) -> list[Segment]:
    model = shown.run.models.get(shown.agent.agent_id)
    unknown = shown.run.calls_unknown if shown.is_main else 0
    row: list[Segment] = [(DIM, "model "), (PLAIN, clean(model, 128) if model else "-")]
    return [*row, (YELLOW, f" +{unknown} calls unknown")] if unknown else row


def _git_row(shown: Shown, now: float) -> list[Segment]:
    if not shown.agent.git_activities:
        return [(DIM, "git -")]
    return [(DIM, "git "), *git(shown.agent.git_activities[-1])]
