"""The three basic shapes that orchestrators print themselves, behind the prefixes of real logs."""

import re
from collections.abc import Iterable

from agentmon.collect.parsers import Line
from agentmon.events import Finding, TokenUsage

_PREFIX = r"^[^A-Za-z]{0,80}(?:(?:[A-Za-z0-9_.:,|/\[\](){}<>=+-]{1,60}[^A-Za-z]{1,40}){0,6}?)"
_TOKENS = re.compile(r"Token usage: ([\d,]{1,15}) input, ([\d,]{1,15}) output\b")


class Basic:
    """`Creating branch: X`, `Committed changes: 5 files`, `Switched to branch: X`, `Token usage: N input, M output`."""

    needles = ("Token usage: ",)
    attentive = False

    def feed(self, line: Line) -> Iterable[Finding]:
        if match := _TOKENS.search(line.text):
            given, made = (int(g.replace(",", "")) for g in match.groups())
            yield Finding(TokenUsage(input_tokens=given, output_tokens=made, total_tokens=given + made))

    def close(self) -> Iterable[Finding]:
        return ()
