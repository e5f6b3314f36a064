"""No line makes a pattern superlinear: near-misses of 64 KiB, made of the pattern's own matches."""

import re
import time
from collections.abc import Iterator

import pytest
from test_tokens import LABELS, LINES, OBJECTS

from agentmon.collect.parsers import Line, labels, literals, stats_table, tokens
from agentmon.collect.parsers.agent_marks import MARKS
from agentmon.collect.parsers.agents import Agents
from agentmon.collect.parsers.token_patterns import TOKENS

SIZE = 64 * 1024
QUICK = 0.05  # seconds for one line of SIZE; only what takes longer is measured for growth
FILLERS = (" ", "1", "a", "1,", "a ", "─", "│ ", "[", "a.", "'a': 1, ")
SEEDS = [
    *(text.splitlines()[-1] for text, _ in LINES.values()),
    *(text for text, _ in OBJECTS),
    *(text for text, _ in LABELS),
    "│  Agent: Tech Lead        │", "---------- assistant ----------", "assistant (to user):",
    "╭──── Task Started ────╮",
    "╭──── Agent Name Researcher [Max Loops: 1] ────╮", "[root]: x", "# AuthorRole.ASSISTANT - A: x",
    " - Alice(Product Manager): to do", "│  Model Usage     Reqs   Input Tokens  Output Tokens │",
]  # fmt: skip
REGEXES: dict[str, re.Pattern[str]] = {
    **{p.name: p.compiled for p in TOKENS},
    **{f"agents-{m.name}": m.compiled for m in MARKS},
    **{
        f"{module.__name__.rsplit('.', 1)[1]}{name}": value
        for module in (labels, literals, stats_table, tokens)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    },
}


def near_misses(size: int) -> Iterator[str]:
    """Beginnings of real lines that go on for ever, and whole ones again and again."""
    for seed in SEEDS:
        for part in (3, 2):
            head = seed[: len(seed) * (part - 1) // part]
            yield (head * (size // max(len(head), 1) + 1))[:size]
    for filler in FILLERS:
        yield (filler * size)[:size]
        for seed in SEEDS[::6]:
            yield (seed[: len(seed) // 2] + filler * size)[:size]


MATCHED_IN_PLACE = {"literals_TOKEN", "literals_BARE", "literals_WORD", "tokens_JSON"}  # never searched with


def seconds(name: str, text: str) -> float:
    regex = REGEXES[name]
    began = time.process_time()
    if name in MATCHED_IN_PLACE:
        regex.match(text)
    else:
        for at, _ in enumerate(regex.finditer(text)):
            if at > 200:
                break
    return time.process_time() - began


@pytest.mark.parametrize("name", REGEXES)
def test_regex(name: str) -> None:
    for number, text in enumerate(near_misses(SIZE)):
        if seconds(name, text) < QUICK:
            continue
        # the least of several: on a busy machine one may take any time
        whole, quarter = (min(seconds(name, part) for _ in range(3)) for part in (text, text[: SIZE // 4]))
        assert whole < 8 * max(quarter, 1e-4), (number, text[:80])  # 4 times where it is linear, 16 where quadratic


def test_parsers() -> None:
    """The parsers around the regexes: a line of the greatest length takes them no longer than a few of its kind."""
    for text in near_misses(SIZE):
        began = time.process_time()
        parser, agents = tokens.Tokens(), Agents()
        for _ in range(2):
            line = Line("stdout", text, 0.0)
            agents.feed(line)
            list(parser.feed(line))
        assert time.process_time() - began < 2, text[:80]
