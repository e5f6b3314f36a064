"""Plots of characters: a curve in a few rows of a terminal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = "  ..::||#"


@dataclass(frozen=True)
class Plot:
    """A curve with its name, what there is to say of it, and how its figures are written."""

    name: str
    words: str
    values: Sequence[float | None]
    format: Callable[[float | None], str]

    @property
    def top(self) -> float:
        """The highest value."""
        return max((value for value in self.values if value is not None), default=0.0)

    def columns(self, times: Sequence[float], width: int) -> list[float | None]:
        """The highest value of each of `width` columns. times: from 0 to 1; a value holds until the next."""
        columns: list[float | None] = [None] * width
        last = -1
        for at, value in zip(times, self.values, strict=True):
            if value is not None:
                column = min(width - 1, int(at * width))
                before = columns[column]
                columns[column] = value if before is None else max(before, value)
                last = max(last, column)
        for column in range(1, last + 1):
            if columns[column] is None:
                columns[column] = columns[column - 1]
        return columns


def block_lines(columns: Sequence[float | None], top: float, rows: int, unicode: bool = True) -> Iterator[str]:
    """The rows of the plot, the highest first. What is known is never quite invisible."""
    blocks = _BLOCKS if unicode else _ASCII
    steps = len(blocks) - 1
    heights = [
        -1 if value is None else max(1, round(value / top * rows * steps)) if top > 0 else 1 for value in columns
    ]  # fmt: skip
    for row in range(rows - 1, -1, -1):
        yield "".join(blocks[min(steps, max(0, height - row * steps))] for height in heights)
