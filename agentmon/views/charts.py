"""Charts: curves as inline SVG that stretches with the page; labels are HTML beside it, to stay legible."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 1000, 100
_X_LABELS = 4
_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One curve. kind: its colour, a class of the style sheet; base: what it is stacked on; lined: else only an area;
    steps: it holds its value until the next."""

    kind: str
    values: Values
    base: Values | None = None
    lined: bool = True
    filled: bool = True
    steps: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened, from 0 to 1 on the axis: the sign, what it was, and the anchor that tells more."""

    at: float
    sign: str
    title: str
    anchor: str


@dataclass(frozen=True)
class Chart:
    """name: what the script knows it by; words: HTML; tops: round figures to end the axis with, if not decimal ones."""

    name: str
    title: str
    words: str
    lines: Sequence[Line]
    format: Callable[[float | None], str]
    tops: Sequence[float] = ()

    @property
    def top(self) -> float:
        """A round figure that holds all."""
        highest = max((v for line in self.lines for v in line.values if v is not None), default=0.0)
        if not highest > 0:
            return 1.0
        unit: float = 10.0 ** math.floor(math.log10(highest))
        tops = self.tops or [unit * step for step in _STEPS]
        return next((top for top in tops if top >= highest), highest)


def figure(chart: Chart, times: Sequence[float], marks: Sequence[Mark], labels: Callable[[float], str]) -> str:
    """The chart as HTML. labels: the time at a place on the axis."""
    top = chart.top
    drawn = "".join(part for line in chart.lines for part in _paths(line, times, top))
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>' for y in (0, _HEIGHT // 2, _HEIGHT)
    )  # fmt: skip
    acts = "".join(
        f'<line class="act" x1="{_x(m.at)}" x2="{_x(m.at)}" y1="0" y2="{_HEIGHT}"/>' for m in marks if m.sign != "○"
    )  # fmt: skip
    lane = "".join(
        f'<a href="#{m.anchor}" style="left:{m.at * 100:.2f}%" title="{escape(m.title)}">{m.sign}</a>' for m in marks
    )
    y_labels = "".join(f"<span>{escape(chart.format(value))}</span>" for value in (top, top / 2, 0))
    x_labels = "".join(f"<span>{escape(labels(n / _X_LABELS))}</span>" for n in range(_X_LABELS + 1))
    return (
        f"<figure><figcaption><output></output><b>{escape(chart.title)}</b><span>{chart.words}</span></figcaption>"
        f'<div class="chart"><div class="y">{y_labels}</div>'
        f'<div class="plot" data-chart="{chart.name}" tabindex="0" role="img" aria-label="{chart.title} over time">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{grid}{acts}{drawn}</svg>'
        f'<div class="cross"></div></div><div class="lane">{lane}</div><div class="x">{x_labels}</div></div></figure>\n'
    )


def gathered(marks: Iterable[Mark], apart: float = 0.03) -> list[Mark]:
    """Marks that would cover each other become one: of the first sign that is no plain circle, with all titles."""
    groups: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda m: m.at):
        if groups and mark.at - groups[-1][0].at < apart:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return [_joined(group) for group in groups]


def _joined(group: list[Mark]) -> Mark:
    chief = next((m for m in group if m.sign != "○"), group[0])
    titles = [m.title for m in group[:6]] + ([f"and {len(group) - 6} more"] if len(group) > 6 else [])
    return Mark(chief.at, chief.sign, "\n".join(titles), chief.anchor)


def _paths(line: Line, times: Sequence[float], top: float) -> Iterator[str]:
    """Area and curve, from one known value to the next."""
    known = [(at, n) for n, at in enumerate(times) if line.values[n] is not None]
    if not known:
        return
    upper = _points(known, line.values, top, line.steps)
    if line.filled:
        base = line.base or [0.0] * len(times)
        lower = _points(known, base, top, line.steps)
        yield f'<path class="area {line.kind}" d="M{"L".join(upper + lower[::-1])}Z"/>'
    if line.lined:
        yield f'<path class="curve {line.kind}" d="M{"L".join(upper)}"/>'


def _points(known: Sequence[tuple[float, int]], values: Values, top: float, steps: bool) -> list[str]:
    out: list[str] = []
    before = ""
    for at, n in known:
        x, y = _x(at), f"{_HEIGHT - (values[n] or 0.0) / top * _HEIGHT:.1f}"
        if steps and before:
            out.append(f"{x} {before}")
        out.append(f"{x} {y}")
        before = y
    return out


def _x(at: float) -> str:
    return f"{at * _WIDTH:.1f}"
