"""History: runs as rows, and sums over them with bars."""

import csv
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmon.ndjson import finite
from agentmon.views.figures import clock, count, lasted, money
from agentmon.views.text import BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, Ink, Segment, clean, fit, width

Row = Mapping[str, Any]

_YEAR_S = 360 * 86400
_LEAST = 6  # cells of a name
_MOST = 32
_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"
_STATES = {"stopped": ("ok", GREEN), "running": ("running", CYAN), "lost": ("lost", YELLOW)}


def table(rows: Sequence[Row], ids: Sequence[str], cells: int | None, ink: Ink) -> Iterator[str]:
    """A line a run. ids: as much of each run id as tells it apart. cells: how wide; None for as wide as it takes."""
    agents = [clean(str(row["agent_id"] or "-"), 256) for row in rows]
    teams = [clean(str(row["team_id"] or "-"), 256) for row in rows]
    shown = [clean(name, 256) for name in ids]
    id_cells = max([3, *map(width, shown)])
    agent_cells, team_cells = _widest("AGENT", agents, _MOST), _widest("TEAM", teams, 16)
    fixed = 11 + 1 + 8 + 1 + 6 + 1 + 6 + 1 + 6 + 1 + 9 + 1 + 1 + id_cells  # all but agent, team and git
    git = cells is None or cells >= fixed + agent_cells + team_cells + 1 + 4
    team = cells is None or cells >= fixed + min(agent_cells, 10) + 1 + min(team_cells, 8)
    if cells is not None:
        left = cells - fixed - (5 if git else 0)
        if team:
            team_cells = min(team_cells, max(_LEAST, left - 1 - agent_cells))
            left -= team_cells + 1
        agent_cells = max(_LEAST, min(agent_cells, left))
    head = f"{'STARTED':11} {'STATE':8} {'TIME':>6} {fit('AGENT', agent_cells)}"
    head += (f" {fit('TEAM', team_cells)}" if team else "") + f" {'IN':>6} {'OUT':>6} {'COST':>9}"
    yield ink.paint(BOLD, _row(ink, [(PLAIN, head + (" GIT" if git else "") + (" " if git else "") + " RUN")], cells))
    for row, agent, name, in_team in zip(rows, agents, shown, teams, strict=True):
        state, style = _state(row)
        about = "~" if row["estimated"] else ""
        segments: list[Segment] = [
            (PLAIN, f"{_when(row['started']):11} "), (style, f"{state:8}"),
            (PLAIN, f" {lasted(row['duration_s']):>6} "),
            (CYAN, fit(agent, agent_cells)), (PLAIN, f" {fit(in_team, team_cells)}" if team else ""),
            (PLAIN, f" {about + count(row['input_tokens']):>6} {about + count(row['output_tokens']):>6}"),
            (PLAIN, f" {money(row['cost_usd']):>9}"), (PLAIN, f" {row['commits'] or '-':>4}" if git else ""),
            (DIM, f" {name}"),
        ]  # fmt: skip
        yield _row(ink, segments, cells)


def bars(rows: Sequence[Row], by: str, cells: int | None, ink: Ink) -> Iterator[str]:
    """A line a group; the bar is its part of what most is: cost, or tokens where no cost is known, or runs."""
    measure = next((m for m in ("cost_usd", "total_tokens") if any(row[m] for row in rows)), "runs")
    most = max((row[measure] or 0 for row in rows), default=0) or 1
    names = [clean(str(row[by] or "(unknown)"), 256) for row in rows]
    fixed = 1 + 6 + 1 + 6 + 1 + 6 + 1 + 6 + 1 + 10 + 2
    names_cells = _widest(by.upper(), names, _MOST if cells is None else max(_LEAST, cells - fixed - _BAR))
    bar_cells = _BAR * 3 if cells is None else max(0, min(60, cells - fixed - names_cells))
    head = f"{fit(by.upper(), names_cells)} {'RUNS':>6} {'FAILED':>6} {'IN':>6} {'OUT':>6} {'COST':>10}"
    yield ink.paint(BOLD, _row(ink, [(PLAIN, head)], cells))
    for row, name in zip(rows, names, strict=True):
        cost = money(row["cost_usd"]) + ("+" if _is_part(row) else " ")
        yield _row(
            ink,
            [
                (CYAN, fit(name, names_cells)), (PLAIN, f" {row['runs']:>6} "),
                (RED if row["failed"] else PLAIN, f"{row['failed'] or '-':>6}"),
                (PLAIN, f" {count(row['input_tokens']):>6} {count(row['output_tokens']):>6} {cost:>10}"),
                (GREEN, "  " + _bar((row[measure] or 0) / most, bar_cells)),
            ],
            cells,
        )  # fmt: skip
    if any(_is_part(row) for row in rows):
        yield ink.paint(DIM, _row(ink, [(PLAIN, "+ and more, for models whose price is not known")], cells))


def as_json(rows: Sequence[Row]) -> str:
    """One array, a line an object."""
    return "[" + ",".join(f"\n{_json(row)}" for row in rows) + "\n]\n"


def _json(row: Row) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:  # a sum that a damaged log made infinite
        return json.dumps(finite(row), ensure_ascii=False)


def as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """With a head; what is not known is empty, lists and objects are JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return out.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _row(ink: Ink, segments: list[Segment], cells: int | None) -> str:
    if cells is None:
        return "".join(ink.paint(style, text) for style, text in segments).rstrip()
    return ink.row(segments, cells).rstrip()


def _widest(head: str, names: Sequence[str], most: int) -> int:
    return min(most, max([len(head), *map(width, names)]))


def _state(row: Row) -> tuple[str, str]:
    state = row["state"]
    if state == "error":
        return (row["signal"] or (f"exit {row['exit_code']}" if row["exit_code"] is not None else "error"))[:8], RED
    return _STATES.get(state, (state, PLAIN))


def _when(timestamp: float | None) -> str:
    """Without the year for what is younger than one."""
    young = timestamp is not None and abs(time.time() - timestamp) < _YEAR_S
    return clock(timestamp, "%m-%d %H:%M" if young else "%Y-%m-%d")[:11]


def _is_part(row: Row) -> bool:
    return bool(row["cost_unknown"]) and row["cost_usd"] is not None


def _bar(part: float, cells: int) -> str:
    eighths = max(1, round(part * cells * 8)) if part > 0 and cells else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
