"""Own patterns: runs what people brought, within a time budget."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agentmon.collect.parsers import Line, Parser
from agentmon.collect.parsers.accounts import Accounts
from agentmon.collect.parsers.budget import OverBudget, limited
from agentmon.collect.parsers.figures import count, usage_of
from agentmon.collect.parsers.patterns import Pattern, fields_of
from agentmon.events import Finding, GitActivity

LINE_SECONDS = 0.1
SECTION_LINES = 40


class Own:
    """Runs people's own patterns before the parsers behind it, which do not see a line that one of them takes.

    A pattern that takes too long on a line is switched off, with one notice.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        behind: Sequence[Parser],
        notice: Callable[[str], None],
        matched: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._patterns = list(patterns)
        self._behind = behind
        self._notice, self._matched = notice, matched
        self._accounts = Accounts()
        self._section: str | None = None
        self._section_lines = 0
        own = (n for p in patterns for n in p.needles)
        self.needles = tuple(dict.fromkeys((*own, *(n for p in behind for n in p.needles))))

    @property
    def attentive(self) -> bool:
        """Whether a pattern without needles, a section, or a parser behind wants to see every line."""
        return (
            self._section is not None
            or any(not p.needles and p.within is None for p in self._patterns)
            or any(parser.attentive for parser in self._behind)
        )

    def feed(self, line: Line) -> Iterable[Finding]:
        """What the first pattern that matches says; else what the parsers behind see."""
        found = self._search(line.text)
        if found is None:
            for parser in self._behind:
                yield from parser.feed(line)
            return
        pattern, groups = found
        if self._matched is not None:
            self._matched(pattern.name, groups)
        if pattern.kind == "git":
            yield Finding(_git(pattern, groups))
            return
        usage = usage_of(pattern, groups) if groups else None
        if usage is not None:
            step = int(text) if (text := groups.get("step")) and text.isdecimal() else None
            part = (usage.model or "") if pattern.of == "model" else ""
            for placed in self._accounts.place(usage, part=part, certain=True, exact=False, step=step):
                yield Finding(placed)

    def close(self) -> Iterable[Finding]:
        """What the parsers behind still hold."""
        for parser in self._behind:
            yield from parser.close()

    def _search(self, text: str) -> tuple[Pattern, dict[str, str]] | None:
        self._section_lines += 1
        if self._section_lines > SECTION_LINES:
            self._section = None
        for pattern in tuple(self._patterns):
            if pattern.within is not None and pattern.within != self._section:
                continue
            if pattern.needles and not any(needle in text for needle in pattern.needles):
                continue
            try:
                with limited(LINE_SECONDS):
                    match = pattern.compiled.search(text)
            except OverBudget:
                self._patterns.remove(pattern)
                self._notice(
                    f"pattern {pattern.name!r} took longer than {LINE_SECONDS:g} s on one line and is switched off"
                )
                continue
            if match is not None:
                if pattern.opens is not None:
                    self._section, self._section_lines = pattern.opens, 0
                return pattern, fields_of(match)
        return None


def _git(pattern: Pattern, groups: Mapping[str, str | None]) -> GitActivity:
    assert pattern.operation is not None
    figures = {name: count(text) for name in ("files", "insertions", "deletions") if (text := groups.get(name))}
    numbers = {name: figure[0] for name, figure in figures.items() if figure is not None}
    return GitActivity(
        pattern.operation,
        branch=groups.get("into") or groups.get("branch"),
        message=groups.get("message") or groups.get("tag"),
        files_changed=numbers.get("files"),
        insertions=numbers.get("insertions"),
        deletions=numbers.get("deletions"),
        sha=groups.get("sha"),
        repo=groups.get("repo"),
    )
