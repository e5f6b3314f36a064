"""The table of figures by model, one column for each, that Gemini CLI and its relatives draw for `/stats model`."""

import re
from collections.abc import Iterator, Mapping

from agentmon.collect.parsers import usage_shapes
from agentmon.collect.parsers.figures import count
from agentmon.collect.parsers.patterns import COUNT
from agentmon.events import TokenUsage

NEEDLES = (" Metric ",)
_HEADER = re.compile(r"^[\s│┃|]{1,20}Metric {2,80}(?P<models>[^\s│┃|].{0,400}?)[\s│┃|]{0,80}$")
_ROW = re.compile(
    r"^[\s│┃|]{1,20}(?:↳ ?)?(?P<label>[A-Z][a-z]{2,10}(?: [A-Z][a-z]{2,10})?) {2,80}(?P<cells>\d.{0,400})$"
)
_CELL = re.compile(rf"{COUNT}(?: \([\d.]{{1,8}}%\))?")
_NAMES: Mapping[str, str] = {
    "Total": "total", "Prompt": "prompt", "Input": "input", "Cached": "cached", "Cache Reads": "cached",
    "Thoughts": "thoughts", "Tool": "tool", "Output": "candidates",
}  # fmt: skip
_LINES = 40


class StatsTable:
    """Reads one such table, line by line."""

    def __init__(self) -> None:
        self._models: list[str] = []
        self._figures: list[dict[str, int]] = []
        self._lines = 0

    @property
    def open(self) -> bool:
        """Whether a table has begun."""
        return bool(self._models)

    def feed(self, text: str) -> Iterator[TokenUsage]:
        """The totals by model, once the table is over."""
        self._lines += 1
        if " Metric " in text and (header := _HEADER.match(text)):
            yield from self.close()
            self._models = re.split(r" {2,}", header["models"])[:16]
            self._figures = [{} for _ in self._models]
            return
        if not self._models:
            return
        row = _ROW.match(text)
        name = _NAMES.get(row["label"]) if row else None
        if row is not None and name is not None:
            for figures, cell in zip(self._figures, _CELL.findall(row["cells"]), strict=False):
                value = count(cell.split(" ")[0])
                if value is not None:
                    figures[name] = value[0]
        elif self._lines > _LINES or text.lstrip()[:1] in ("╰", "└", "┗"):
            yield from self.close()

    def close(self) -> Iterator[TokenUsage]:
        """The table that is open."""
        models, figures = self._models, self._figures
        self._models, self._figures, self._lines = [], [], 0
        for model, row in zip(models, figures, strict=True):
            counts = usage_shapes.counts(row, named=True)
            if counts is not None and not counts.nothing:
                yield TokenUsage(
                    model=model,
                    input_tokens=counts.input,
                    output_tokens=counts.output,
                    total_tokens=counts.total,
                    cache_read_tokens=counts.cache_read,
                    reasoning_tokens=counts.reasoning,
                    scope="session",
                )
