"""Figures under plain labels: `Prompt tokens: 84, Completion tokens: 14`, on one line or one to a line.

LangChain's callback, OpenAI's Agents SDK examples, AutoGen's summary, LlamaIndex, ChatDev and most scripts of
people's own print usage in this way. A label must be a known one as a whole: `Max input tokens: 128000` is none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agentmon.collect.parsers.figures import count, money
from agentmon.collect.parsers.patterns import COUNT
from agentmon.collect.parsers.quotes import in_backticks, is_unused

NEEDLES = (
    "equests: ", "okens:", "okens =", "okens=", "okens :", "okens':", "oken Usage:", "oken usage:", "oken count:",
    "oken Count:", "okens Used:", "okens used:", "okens Cached:", "oken_count=", "oken_count:", "eval count:",
    "okens │", "okens ┃", "okens  ",
    *(f"{word}: {digit}" for word in ("nput", "rompt") for digit in "123456789"),
)  # fmt: skip
_PAIR = re.compile(
    r"(?<![\w\"'])['\"]?(?P<label>[A-Za-z][A-Za-z_]{0,30}(?:[ -][A-Za-z_]{1,20}){0,5})(?P<unit> \(USD\))?'?"
    rf" {{0,20}}[:=│┃] {{0,30}}(?P<money>\$)?(?P<value>{COUNT}|\d{{1,9}}\.\d{{1,20}})"
    r"(?P<tokens> tok(?:en)?s?\b(?:\(s\))?(?!/))?"
    r"(?P<more>%| {0,20}[│┃] {0,20}\d| ?/ ?\d| ?(?:per|of|left|remaining|saved|max)\b)?"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TOTAL = ("total", "cumulative", "overall", "session", "final", "grand", "all")
_FILLER = ("llm", "model", "number", "of", "num", "used", "usage", "count")
_ROLES: Mapping[str, str] = {
    "prompt tokens": "input", "input tokens": "input", "prompt token": "input", "input token": "input",
    "tokens in": "input", "tokens sent": "input", "request tokens": "input",
    "completion tokens": "output", "output tokens": "output", "response tokens": "output", "generated tokens": "output",
    "completion token": "output", "output token": "output", "candidates token": "output", "response token": "output",
    "tokens out": "output", "tokens received": "output", "candidates tokens": "output",
    "tokens": "total", "token": "total",
    "cached tokens": "cache_read", "prompt tokens cached": "cache_read", "cached input tokens": "cache_read",
    "cache read tokens": "cache_read", "cached prompt tokens": "cache_read",
    "cache read input tokens": "cache_read_apart",
    "cached content token": "cache_read", "input tokens cached": "cache_read", "cached": "cache_read",
    "cache write tokens": "cache_write", "cache creation tokens": "cache_write",
    "cache creation input tokens": "cache_write_apart",
    "reasoning tokens": "reasoning", "thinking tokens": "reasoning", "reasoning output tokens": "reasoning",
    "thoughts token": "reasoning_apart",
    "embedding tokens": "embedding",
    "cost": "cost", "cost usd": "cost", "requests": "requests", "successful requests": "requests",
    "api calls": "requests", "calls": "requests", "api requests": "requests",
}  # fmt: skip
_BARE: Mapping[str, str] = {  # labels that mean tokens where the word stands behind the figure
    "input": "input", "prompt": "input", "in": "input", "output": "output", "completion": "output", "out": "output",
    "response": "output", "prompt eval": "input", "eval": "output", "total": "total",
}  # fmt: skip
_GAP = 2  # other lines that may stand between the lines of one block
_LINES = 24


@dataclass(slots=True)
class Labelled:
    """Figures that belong together. running: a label or a number of requests says that it is a total."""

    figures: dict[str, int | float] = field(default_factory=dict)
    estimated: bool = False
    running: bool = False

    @property
    def complete(self) -> bool:
        """Whether input and output are known, and more than nothing."""
        return {"input", "output"} <= self.figures.keys() and any(self.figures[n] for n in ("input", "output"))


def pairs(text: str) -> Iterator[tuple[str, int | float, bool, bool]]:
    """The known labels of a line: role, value, whether it was rounded, whether the label says `total`."""
    first = True
    for match in _PAIR.finditer(text):
        role, total = _role(match["label"], _BARE if match["tokens"] else _ROLES)
        if role is None or match["more"] or (match["money"] and role != "cost"):
            continue
        if (
            first
            and role != "cost"
            and (in_backticks(text, match.start()) or is_unused(text, match.start("value"), match.end()))
        ):
            return
        first = False
        if role == "cost":
            amount = money(match["value"])
            if amount is not None and (match["money"] or match["unit"]):
                yield role, amount, False, False
            continue
        value = count(match["value"])
        if value is not None:
            yield role, value[0], value[1], total


def _role(label: str, also: Mapping[str, str]) -> tuple[str | None, bool]:
    words = _CAMEL.sub(" ", label).replace("_", " ").replace("-", " ").split()
    while len(words) > 1 and words[0].isupper() and words[0] not in ("LLM",):  # `INFO Input tokens`
        words = words[1:]
    lower = [word.lower() for word in words]
    total = lower[0] in _TOTAL and len(lower) > 1
    plain = " ".join(word for i, word in enumerate(lower) if word not in _FILLER and not (i == 0 and total))
    return _ROLES.get(plain, also.get(plain)), total


class Labels:
    """Gathers labelled figures over consecutive lines."""

    def __init__(self) -> None:
        self._block = Labelled()
        self._gap = self._lines = 0

    @property
    def attentive(self) -> bool:
        """Whether a block is open."""
        return bool(self._block.figures)

    def feed(self, text: str) -> Iterator[Labelled]:
        """The blocks that this line completes."""
        found = list(pairs(text))
        roles = {role for role, *_ in found}
        if not found or roles <= {"cost", "requests"}:
            opened = bool(self._block.figures)
            for role, value, _, _ in found:
                if role not in self._block.figures and (opened or role == "requests"):
                    self._block.figures[role] = value
            self._gap += not found
            self._lines += 1
            if self._gap > _GAP or self._lines > _LINES:
                yield from self.close()
            return
        if roles & self._block.figures.keys() & {"input", "output", "total"}:
            yield from self.close()
        for role, value, rounded, total in found:
            self._block.figures.setdefault(role, value)
            self._block.estimated |= rounded
            # LlamaIndex's counter tells those of embeddings beside the others: it counts everything.
            self._block.running |= (total and role in ("input", "output")) or role == "embedding"
        self._gap = 0
        self._lines += 1
        if {"input", "output"} <= roles:  # nothing more is to come
            yield from self.close()

    def close(self) -> Iterator[Labelled]:
        """The block that is open, if it is whole."""
        block, self._block = self._block, Labelled()
        self._gap = self._lines = 0
        if block.complete:
            block.running |= block.figures.get("requests", 0) > 1
            yield block
