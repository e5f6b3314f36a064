"""Top: a frame of cards that fits the terminal, or one agent at full size."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentmon.usage import Sums
from agentmon.views import detail
from agentmon.views.board import Board, Shown
from agentmon.views.cards import LEAST_HEIGHT, LEAST_WIDTH, card, line
from agentmon.views.figures import clock, count, money
from agentmon.views.text import BOLD, DIM, PLAIN, RED, YELLOW, Ink, Segment, clean

_GOOD_HEIGHT = 9
_TALLEST = 16
_ONCE_HEIGHT = 12
_NARROW = 24  # below this a box is mostly border


@dataclass(slots=True)
class Grid:
    """How cards lie: columns, their width, and their height in rows; 1 is a list without boxes."""

    columns: int
    width: int
    height: int

    @property
    def boxed(self) -> bool:
        """Whether there is room for boxes."""
        return self.height >= LEAST_HEIGHT


def grid(cards: int, columns: int, rows: int) -> Grid:
    """The fewest columns at which all cards are of a good height; else as many as fit."""
    if rows < LEAST_HEIGHT or columns < _NARROW:
        return Grid(1, columns, 1)
    most = max(1, min(columns // LEAST_WIDTH, cards))
    for across in range(1, most + 1):
        height = rows // -(-cards // across)
        wide = columns // across > 110 and across < most  # a card as wide as a big screen is mostly empty
        if height >= _GOOD_HEIGHT and not wide:
            return Grid(across, columns // across, min(height, rows if cards <= across else max(_TALLEST, height)))
    height = max(LEAST_HEIGHT, min(_TALLEST, rows // -(-cards // most)))
    return Grid(most, columns // most, height)


@dataclass(slots=True)
class Choice:
    """What the person at the keys has chosen: which card, whether at full size, which filter."""

    key: tuple[str, str] | None = None
    full: bool = False
    scroll: int = 0
    filter: str = ""
    typing: bool = False
    team: str | None = None
    columns: int = 1  # of the grid that was drawn last
    hidden: int = 0  # cards that did not fit
    keys: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def press(self, key: str) -> bool:
        """Take one key; False where it means the end."""
        if self.typing:
            self._type(key)
        elif key == "q":
            return False
        elif key == "/":
            self.typing, self.full = True, False
        elif key == "escape":
            if self.full:
                self.full = False
            else:
                self.filter = ""
        elif key == "enter":
            self.full, self.scroll = bool(self.keys), 0
        elif self.full and key in _SCROLLS:
            self.scroll = max(0, self.scroll + _SCROLLS[key])
        else:
            self._move(key)
        return True

    def _type(self, key: str) -> None:
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter += key

    def _move(self, key: str) -> None:
        steps = {
            "j": 1, "k": -1, "right": 1, "left": -1, "l": 1, "h": -1, "down": self.columns, "up": -self.columns,
            "home": -len(self.keys), "end": len(self.keys), "tab": 1,
        }  # fmt: skip
        if key in steps and self.keys:
            at = self.keys.index(self.key) if self.key in self.keys else 0
            self.key = self.keys[max(0, min(len(self.keys) - 1, at + steps[key]))]


_SCROLLS = {"up": 1, "k": 1, "down": -1, "j": -1, "page up": 10, "page down": -10}


class Frames:
    """Frames of a board. A card is drawn anew where something in it changed, or once a second for its clock."""

    def __init__(self, board: Board, ink: Ink) -> None:
        self._board, self._ink = board, ink
        self._drawn: dict[tuple[str, str], tuple[object, list[str]]] = {}

    def frame(self, choice: Choice, columns: int, rows: int) -> list[str]:
        """The rows of a screen of this size, each filled up."""
        now = time.time()
        shown = [item for item in self._board.shown(choice.team) if _matches(item, choice.filter, now)]
        choice.keys = [item.key for item in shown]
        if choice.key not in choice.keys:
            choice.key, choice.full = (choice.keys[0] if choice.keys else None), False
        chosen = next((item for item in shown if item.key == choice.key), None)
        head = self._ink.row(self._head(shown, now), columns)
        area = max(1, rows - 2)
        choice.hidden = 0
        if choice.full and chosen is not None:
            body = detail.rows(chosen, columns, area, now, self._ink, choice.scroll)
        else:
            body = self._grid(shown, choice, columns, area, now)
        foot = self._ink.row(_foot(choice), columns)
        body += [" " * columns] * (area - len(body))
        return [head, *body[:area], foot][:rows]

    def once(self, team: str | None, columns: int) -> list[str]:
        """All cards, as long as it takes; for scripts and pipes."""
        now = time.time()
        shown = [*self._board.shown(team)]
        lines = [self._ink.row(self._head(shown, now), columns)]
        if not shown:
            return [*lines, *_NOTHING]
        across = max(1, min(columns // LEAST_WIDTH, len(shown), 4))
        if columns < _NARROW:
            return [*lines, *(line(item, columns, now, self._ink) for item in shown)]
        for start in range(0, len(shown), across):
            lines += _beside(
                [card(i, columns // across, _ONCE_HEIGHT, now, self._ink) for i in shown[start : start + across]]
            )
        return lines

    def _grid(self, shown: list[Shown], choice: Choice, columns: int, rows: int, now: float) -> list[str]:
        if not shown:
            return ["", *(self._ink.row([(DIM, "  " + text)], columns) for text in _nothing(choice))]
        laid = grid(len(shown), columns, rows)
        choice.columns = laid.columns
        at = next(i for i, item in enumerate(shown) if item.key == choice.key)
        if not laid.boxed:
            first = max(0, min(at - rows // 2, len(shown) - rows))
            choice.hidden = max(0, len(shown) - rows)
            return [line(i, columns, now, self._ink, i.key == choice.key) for i in shown[first : first + rows]]
        visible = max(1, rows // laid.height)
        first_row = max(0, min(at // laid.columns - visible // 2, -(-len(shown) // laid.columns) - visible))
        first = first_row * laid.columns
        seen = shown[first : first + visible * laid.columns]
        choice.hidden = len(shown) - len(seen)
        lines: list[str] = []
        for start in range(0, len(seen), laid.columns):
            group = seen[start : start + laid.columns]
            cards = [self._card(item, laid, now, len(shown) > 1 and item.key == choice.key) for item in group]
            missing = columns - len(group) * laid.width
            lines += [text + " " * missing for text in _beside(cards)]
        return lines

    def _card(self, shown: Shown, laid: Grid, now: float, selected: bool) -> list[str]:
        over = shown.run.over_at is not None
        what = (shown.run.version, laid.width, laid.height, selected, None if over else int(now))
        known = self._drawn.get(shown.key)
        if known is None or known[0] != what:
            known = self._drawn[shown.key] = (what, card(shown, laid.width, laid.height, now, self._ink, selected))
        return known[1]

    def _head(self, shown: list[Shown], now: float) -> list[Segment]:
        watches = {item.run.name: item.run for item in shown}.values()
        statuses = [watch.status(now) for watch in watches]
        going = sum(status in ("running", "stalled") for status in statuses)
        sums = Sums()
        for watch in watches:
            sums.add(watch.totals)
        row = [(BOLD, "agentmon top"), (DIM, f"  {clock(now)}  "), (PLAIN, f"{going} running")]
        for status, style in (("stalled", YELLOW), ("error", RED), ("lost", RED), ("stopped", DIM)):
            if number := statuses.count(status):  # type: ignore[arg-type]
                row.append((style, f"  {number} {status}"))
        row.append((PLAIN, f"  {len(shown)} agents" if len(shown) != 1 else "  1 agent"))
        if sums.input_tokens is not None or sums.output_tokens is not None:
            row.append((PLAIN, f"  in {count(sums.input_tokens)} out {count(sums.output_tokens)}"))
        if sums.cost_usd is not None:
            row.append((BOLD, f"  {money(sums.cost_usd)}"))
        return row


_NOTHING = ("no run is going on; start one with `agentmon run -- COMMAND`, or name one: `agentmon top RUN`",)


def _nothing(choice: Choice) -> Sequence[str]:
    return (f"no agent matches {clean(choice.filter)!r}",) if choice.filter else _NOTHING


def _foot(choice: Choice) -> list[Segment]:
    if choice.typing:
        return [(BOLD, "/"), (PLAIN, choice.filter), (BOLD, "_"), (DIM, "   Enter keep  Esc clear")]
    row: list[Segment] = [(DIM, "q quit  ")]
    if choice.full:
        row.append((DIM, "Esc back  up/down scroll the log"))
    else:
        row.append((DIM, "arrows/jk select  Enter full size  / filter"))
    if choice.hidden:
        row.insert(0, (YELLOW, f"{choice.hidden} more, move on to see them  "))
    return [*row, (YELLOW, f"  filter: {clean(choice.filter)}")] if choice.filter else row


def _matches(shown: Shown, text: str, now: float) -> bool:
    if not text:
        return True
    state = shown.run.state
    told = (shown.agent.agent_id, shown.agent.team_id, state.run_id or "", state.agent_id or "",
            shown.run.models.get(shown.agent.agent_id, ""), shown.run.status(now))  # fmt: skip
    return text.casefold() in " ".join(told).casefold()


def _beside(cards: list[list[str]]) -> list[str]:
    return ["".join(parts) for parts in zip(*cards, strict=True)]
