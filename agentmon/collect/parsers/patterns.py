"""Pattern: the one form of a line pattern, for the built-in tables and for people's own (TOML)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from agentmon.events import Scope

Kind = Literal["git", "tokens"]
Matched = Callable[[str, Mapping[str, Any]], None]  # hears the name of a pattern that matched, and what it took

# The fields of an event that named groups may give. A number behind the name tells alternatives apart (`branch`,
# `branch2`); a name that begins with an underscore is no field (`_quote`, to refer back to).
GROUPS: Mapping[str, frozenset[str]] = {
    "tokens": frozenset(
        {"input", "output", "total", "cache_read", "cache_write", "reasoning", "cost", "model", "step", "whole"}
    ),
    "git": frozenset({"branch", "into", "message", "files", "insertions", "deletions", "sha", "tag", "repo"}),
}

# What stands before a message in a log: time stamps, levels, names of loggers, box borders, bullets, emoji.
# Prose does not pass: a plain word counts only with a mark behind it. Possessive, so that it is linear.
PREFIX = (
    r"^(?:\[[^\[\]]{1,60}\]|[^A-Za-z\d]++|\d++(?:[:.,/_-]\d++)*+(?![kKmM]? (?:input|prompt|in|sent)\b)"
    r"|(?:TRACE|DEBUG|INFO|NOTICE|SUCCESS|WARN(?:ING)?|ERROR|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun"
    r"|Jul|Aug|Sep|Oct|Nov|Dec|UTC|AM|PM)\b"
    r"|(?![Tt]okens?\b|[Cc]ost\b|[Uu]sage\b|[Tt]otal\b|[Ff]inal\b|[Ss]ession\b)[A-Za-z]++(?:[\d._/@-][\w./@-]*+|(?=[\]:)|>=}\d])))*+"
)
# A count as tools print it: 1234, 1,234, 1_234, 2.4k, 1.2M.
COUNT = r"(?:\d{1,3}(?:[,_]\d{3}){1,4}|\d{1,12})(?:\.\d{1,3})?[kKmM]?(?![\w.]\d|\w|/)"
MONEY = r"\d{1,9}(?:\.\d{1,20})?"


@dataclass(frozen=True)
class Pattern:
    """What one shape of line means.

    regex: searched in a clean line; named groups are the fields of the event (`GROUPS`); `whole` takes a word that
    says that this is a total, `step` the step of an agent whose running total this is. It must be linear on any
    input. needles: substrings of which every matching line holds at least one (none: every line is looked at).
    scope: `call`, or `session` for a running total of `of` (`model`: one total for each model). input_includes /
    output_includes: the parts that the printed figure already holds (`cache_read`, `cache_write`; `reasoning`).
    estimated: the tool guesses. tool: whose print it is. seen_in: the tool and version that it was seen in, or how
    else it is known (`no capture`).
    opens: the lines that follow are in the section of this name; within: counts in this section only. A pattern
    that only opens a section has no groups.
    """

    name: str
    kind: Kind
    regex: str
    needles: tuple[str, ...] = ()
    operation: str | None = None
    scope: Scope = "call"
    of: str | None = None
    input_includes: frozenset[str] = frozenset({"cache_read", "cache_write"})
    output_includes: frozenset[str] = frozenset({"reasoning"})
    estimated: bool = False
    tool: str | None = None
    seen_in: str | None = None
    opens: str | None = None
    within: str | None = None

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regex, compiled when it is first needed."""
        return re.compile(self.regex)

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """The named groups that are no fields."""
        return tuple(group for group in self.compiled.groupindex if field_of(group) is None)


@cache
def field_of(group: str) -> str | None:
    """The field that a named group gives; None for one that is only referred back to."""
    return None if group.startswith("_") else group.rstrip("0123456789")


def fields_of(match: re.Match[str]) -> dict[str, str]:
    """What the named groups took, by field; those that took nothing are left out."""
    taken: dict[str, str] = {}
    for group, value in match.groupdict().items():
        if value is not None and (field := field_of(group)) is not None:
            taken.setdefault(field, value)
    return taken
